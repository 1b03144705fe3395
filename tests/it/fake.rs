//! Successors made by hand: they take the channel from the environment and speak the protocol as bytes, wrongly.

use nix::sys::signal::{Signal, raise};

use crate::support::{
    Release,
    frames::{self, Wire},
    this,
};

/// The next restart starts a successor that takes these steps, one after the other:
///
/// - `take`: hears HELLO, the sockets, END. `hear:NAME`: reads on until that frame.
/// - `NAME`: says the frame of this name as it was recorded. `half:NAME`: only its first half.
/// - `claim:9`: READY with this socket. `speak:9`: ACCEPTED of this version. `refuse:why`: REFUSED for a reason of its own.
/// - `able:final-state,hand-over`: ACCEPTED, and what it can do.
/// - `offered:9`: reads on until so many live connections have been offered. `taken:9`: the same, and takes all that were;
///   `declined:9`: and declines them; `taking:9`: takes what comes as it comes, and tells how many: `took …`.
/// - `share`: another process has the channel too, for ever.
/// - `say:bytes`, `close` (the channel).
/// - `tell:line`: on stdout, to the test; `write:line`: on stderr.
/// - `await:fifo`: until the test lets it go on.
/// - `exit:9`, `kill` (itself, with SIGKILL), `linger` (for ever).
pub fn release(release: &Release, steps: &str) {
    release.script(&becomes(steps));
}

/// The line of shell that becomes this successor.
pub fn becomes(steps: &str) -> String {
    format!("HR_FAKE='{steps}' exec '{}' {}", this().display(), ARGUMENTS.join(" "))
}

const ARGUMENTS: [&str; 6] = ["fake::successor", "--exact", "--ignored", "--nocapture", "--test-threads=1", "--quiet"];

/// Not a test: what [`release`] starts.
#[test]
#[ignore = "a successor that the other tests start"]
fn successor() {
    let channel = std::env::var("TOKIO_HOTRESTART_CHANNEL").expect("started by a predecessor");
    let number = channel.split(':').next().and_then(|number| number.parse().ok()).expect("a descriptor");
    let channel = Wire(number);
    // The fleet ends every process that it has heard of, also one that lingers because a test has failed.
    println!("fake pid={}", std::process::id());
    for step in std::env::var("HR_FAKE").expect("the steps").split(' ') {
        play(step, &channel);
    }
    panic!("a successor made by hand says how it ends");
}

/// One step, over this channel.
pub fn play(step: &str, channel: &Wire) {
    match step.split_once(':').unwrap_or((step, "")) {
        ("take", _) => take(channel),
        ("hear", name) => drop(channel.until(name)),
        ("half", name) => {
            let frame = frames::recorded(name);
            channel.say(&frame[..frame.len() / 2]);
        }
        ("claim", place) => channel.say(&frames::ready(&[number(place)])),
        ("speak", version) => channel.say(&frames::accepted(number(version) as u16)),
        ("able", capabilities) => {
            channel.say(&frames::able(1, &capabilities.split(',').collect::<Vec<_>>()));
        }
        ("offered", many) => drop(ids(channel, many)),
        ("taken", many) => channel.say(&frames::taken(ids(channel, many))),
        ("declined", many) => channel.say(&frames::declined(ids(channel, many), "not today")),
        ("taking", many) => taking(channel, number(many) as usize),
        ("share", _) => drop(share()),
        ("refuse", why) => channel.say(&frames::refused(&why.replace('_', " "))),
        ("say", bytes) => channel.say(bytes.as_bytes()),
        ("FINAL-TAKEN", _) => channel.say(&frames::final_taken()),
        ("close", _) => nix::unistd::close(channel.0).expect("it was open"),
        ("tell", line) => println!("{}", line.replace('_', " ")),
        ("write", line) => eprintln!("{}", line.replace('_', " ")),
        ("await", fifo) => drop(std::fs::read(fifo).expect("a FIFO")),
        ("exit", status) => std::process::exit(number(status) as i32),
        ("kill", _) => raise(Signal::SIGKILL).expect("killed"),
        ("linger", _) => loop {
            std::thread::park();
        },
        (name, _) => channel.say(&frames::recorded(name)),
    }
}

/// Of those that are offered, until they are so many. Their descriptors are closed.
fn ids(channel: &Wire, many: &str) -> Vec<u64> {
    channel.offers(number(many) as usize).into_iter().map(|(offered, _)| offered.id).collect()
}

fn taking(channel: &Wire, many: usize) {
    let mut took = 0;
    while took < many {
        let ids: Vec<_> = channel.offers(1).into_iter().map(|(offered, _)| offered.id).collect();
        took += ids.len();
        channel.say(&frames::taken(ids));
    }
    println!("took count={took} pid={}", std::process::id());
}

/// Started by this one, it inherits what this one has.
fn share() -> std::process::Child {
    let mut other = std::process::Command::new(this());
    other.args(ARGUMENTS).env("HR_FAKE", "linger").spawn().expect("started")
}

/// Each batch of sockets is acknowledged, or END never comes.
fn take(channel: &Wire) {
    loop {
        let (kind, payload) = channel.next().expect("a predecessor passes its sockets");
        if kind == frames::kind("SOCKETS") {
            channel.say(&frames::frame(frames::kind("ARRIVED"), frames::MUST_UNDERSTAND, &payload[..4], 0));
        }
        if kind == frames::kind("END") {
            return;
        }
    }
}

fn number(text: &str) -> u32 {
    text.parse().expect("a number")
}

//! A server that knows nothing of this crate: it finds its sockets as systemd passes them, by hand, and says by hand that it
//! is ready. It accepts from its first moment on.

use std::{
    env, io,
    os::{
        fd::RawFd,
        linux::net::SocketAddrExt,
        unix::{
            net::{SocketAddr, UnixDatagram},
            process::CommandExt,
        },
    },
    process::Command,
    time::Duration,
};

use nix::sys::{
    signal::{Signal, raise},
    socket::{MsgFlags, SockFlag, accept4, recv, send},
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{Fleet, Line, Open, Release, nobody::NOBODY, process, server::say, this};

/// The next restart starts such a server, which takes these steps, one after the other, and then serves until SIGTERM. Then it says `STOPPING=1`
/// and finishes what it has begun:
///
/// - `hold`: stands still before it has opened anything, until SIGCONT.
/// - `serve`: accepts at everything that is called `… echo` or `many …`, and says which sockets it has.
/// - `NAME=value`: says this to the notify socket; `;` begins a line, `_` in a value is a space. `other:NAME=value`: another process
///   of its own says it. `stranger:NAME=value`: a process of another user's says it.
/// - `delay:9` (milliseconds), `write:line` (on stderr), `exit:9`, `kill` (itself, with SIGKILL).
pub fn release(release: &Release, steps: &str) {
    release.script(&format!("HR_STEPS='{steps}' exec '{}' {}", this().display(), ARGUMENTS.join(" ")));
}

const ARGUMENTS: [&str; 6] = ["activated", "--exact", "--ignored", "--nocapture", "--test-threads=1", "--quiet"];

/// What it has said of its sockets, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    pub name: String,
    /// As in the kernel's `socket:[1234]`.
    pub socket: String,
}

/// Waits until it serves. Its pid, and its sockets.
pub fn serving(fleet: &mut Fleet) -> (i32, Vec<Passed>) {
    let line = fleet.until("serving");
    let passed = |text: &str| {
        let (name, socket) = text.split_once('|').expect("two");
        Passed { name: name.replace('_', " "), socket: socket.to_owned() }
    };
    (line.pid(), line["sockets"].split(',').map(passed).collect())
}

/// Stops it, and waits until it has finished.
pub fn stop(fleet: &mut Fleet, pid: i32) -> Line {
    fleet.signal(pid, Signal::SIGTERM);
    fleet.until("finished")
}

pub fn main() {
    // The fleet ends every process that it has heard of.
    say(format_args!("activated pid={}", std::process::id()));
    let steps = env::var("HR_STEPS").expect("the steps");
    let steps = match steps.strip_prefix("hold") {
        Some(rest) => {
            say(format_args!("held at=begin pid={}", std::process::id()));
            raise(Signal::SIGSTOP).expect("stopped");
            rest.trim_start()
        }
        None => &steps,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(run(steps));
    // Not by returning: libtest would add its own words to the last line.
    std::process::exit(0);
}

async fn run(steps: &str) {
    let mut stop = signal(SignalKind::terminate()).expect("a handler");
    let (over, mut served) = (CancellationToken::new(), JoinSet::new());
    for step in steps.split(' ').filter(|step| !step.is_empty()) {
        match step.split_once(':').unwrap_or((step, "")) {
            ("serve", _) => serve(&over, &mut served),
            ("other", notice) => says(&mut Command::new(this()), notice),
            ("stranger", notice) => says(Command::new(this()).uid(NOBODY).gid(NOBODY), notice),
            ("delay", time) => tokio::time::sleep(Duration::from_millis(time.parse().expect("a number"))).await,
            ("write", line) => eprintln!("{}", line.replace('_', " ")),
            ("exit", code) => std::process::exit(code.parse().expect("a number")),
            ("kill", _) => raise(Signal::SIGKILL).expect("killed"),
            _ => tell(step).expect("said"),
        }
    }
    stop.recv().await.expect("it may come again and again");
    say(format_args!("told pid={}", std::process::id()));
    // Who has started it may have ended.
    let _ = tell("STOPPING=1");
    over.cancel();
    while let Some(served) = served.join_next().await {
        served.expect("no panic");
    }
    say(format_args!("finished pid={}", std::process::id()));
}

/// Another process, and to its end.
fn says(other: &mut Command, notice: &str) {
    let said = other.args(ARGUMENTS).env("HR_STEPS", format!("{notice} exit:0")).status();
    assert!(said.expect("started").success(), "said");
}

/// A notice, at an abstract name.
fn tell(notice: &str) -> io::Result<()> {
    let name = env::var("NOTIFY_SOCKET").expect("somebody listens");
    let address = SocketAddr::from_abstract_name(name.strip_prefix('@').expect("abstract")).expect("short enough");
    let socket = UnixDatagram::unbound().expect("a socket");
    let lines = notice.split(';').map(|line| line.split_once('=').expect("an assignment"));
    let lines: Vec<_> = lines.map(|(name, value)| format!("{name}={}", value.replace('_', " "))).collect();
    socket.send_to_addr(lines.join("\n").as_bytes(), &address).map(drop)
}

/// All descriptors that are passed, with their names, as sd_listen_fds_with_names(3) finds them.
fn passed() -> Vec<(RawFd, String)> {
    let variable = |name| env::var(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(variable("LISTEN_PID"), std::process::id().to_string(), "meant for this process");
    assert!(env::var_os("TOKIO_HOTRESTART_CHANNEL").is_none(), "which it would not know");
    let names: Vec<_> = variable("LISTEN_FDNAMES").split(':').map(str::to_owned).collect();
    assert_eq!(variable("LISTEN_FDS"), names.len().to_string());
    (3..).zip(names).collect()
}

fn serve(over: &CancellationToken, served: &mut JoinSet<()>) {
    let pid = std::process::id();
    let mut said = Vec::new();
    for (number, name) in passed() {
        let target = process::target(pid as i32, number);
        said.push(format!("{}|{}", name.replace(' ', "_"), target.display()));
        if name.ends_with("echo") || name.starts_with("many") {
            served.spawn(accept(watch(Open(number)).expect("registered"), over.clone()));
        }
    }
    say(format_args!("serving pid={pid} sockets={}", said.join(",")));
}

#[allow(deprecated, reason = "numbers come by the environment, and unsafe code is for `src/sys`")]
fn watch(open: Open) -> io::Result<AsyncFd<Open>> {
    AsyncFd::new(open)
}

async fn accept(listener: AsyncFd<Open>, over: CancellationToken) {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    // The predecessor shares it, and is as fast: then there is nobody to accept.
    let accepted = || listener.async_io(Interest::READABLE, |it| Ok(Open(accept4(it.0, flags)?)));
    let mut clients = JoinSet::new();
    while let Some(client) = over.run_until_cancelled(accepted()).await {
        clients.spawn(echo(client.expect("accepted")));
    }
    drop(listener);
    while let Some(client) = clients.join_next().await {
        // A client that leaves in the middle is nothing to fail for: whoever counts sees it.
        let _ = client.expect("no panic");
    }
}

/// Lines are short, and each is answered before the next one is sent: there is always room for an answer.
async fn echo(client: Open) -> io::Result<()> {
    let client = watch(client)?;
    let mut bytes = [0; 4096];
    loop {
        let receive = |it: &Open| Ok(recv(it.0, &mut bytes, MsgFlags::empty())?);
        match client.async_io(Interest::READABLE, receive).await? {
            0 => return Ok(()),
            count => assert_eq!(send(client.get_ref().0, &bytes[..count], MsgFlags::MSG_NOSIGNAL)?, count),
        }
    }
}

//! Who never stops talking: what means nothing, and what would mean something once.
#![allow(clippy::disallowed_methods)] // the frames are sent by hand, and numbers are what goes with them

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use tokio_hotrestart::ErrorKind;

use crate::{
    heir::{Heir, Trial},
    predecessor::{Predecessor, Way},
    support::{Clients, Control, Fifo, Footprint, echo::Client, frames},
};

/// Some later version's optional frame.
fn nothing() -> Vec<u8> {
    frames::frame(999, 0, b"", 0)
}

/// For so many milliseconds.
fn extend(milliseconds: u64) -> Vec<u8> {
    frames::frame(frames::kind("EXTEND"), frames::MUST_UNDERSTAND, &milliseconds.to_le_bytes(), 0)
}

/// A bound for a broken run, and never part of what is tested.
const PATIENCE: Duration = Duration::from_secs(60);

/// Until the other end has had enough: as many at a time as are written with one call, which is faster than anybody reads
/// them one by one.
fn flood(mut to: &UnixStream, frame: &[u8]) {
    let (many, began) = (frame.repeat(5_000), Instant::now());
    to.set_write_timeout(Some(PATIENCE)).unwrap();
    while to.write_all(&many).is_ok() {
        assert!(began.elapsed() < PATIENCE, "it never has had enough");
    }
}

/// The same beside what else this test does.
fn flooding(to: &UnixStream, frame: Vec<u8>) -> JoinHandle<()> {
    let to = to.try_clone().unwrap();
    thread::spawn(move || flood(&to, &frame))
}

// --------------------------------------------------------------------------------------------------------- successors

/// It takes these steps and then says this without end. Why the restart failed; the next one does not.
#[track_caller]
fn fails(steps: &str, frame: &[u8], kind: ErrorKind) -> String {
    let trial = Trial::new();
    let floods = |heir: Heir| {
        heir.plays(steps);
        flood(heir.stream(), frame);
        None
    };
    let why = trial.fails(floods, kind);
    trial.succeeds();
    why.to_string()
}

/// Were its words heard as long as there are any, no deadline would ever act, nor anything else be heard.
#[test]
fn a_successor_that_never_stops_talking_is_given_up_at_its_deadline() {
    let why = fails("take ACCEPTED", &nothing(), ErrorKind::Deadline);
    assert_eq!(why, "the successor was not ready by its deadline");
}

/// Each is heard when the deadline has come, and asks for nothing that would put it off.
#[test]
fn a_successor_that_asks_for_no_time_without_end_is_given_up_at_its_deadline() {
    let why = fails("take ACCEPTED", &extend(0), ErrorKind::Deadline);
    assert_eq!(why, "the successor was not ready by its deadline");
}

/// The time that it asks for is for getting ready, which it will not.
#[test]
fn a_successor_that_says_that_it_ends_and_then_asks_for_time_without_end_gets_none() {
    let why = fails("take ACCEPTED STOPPING", &extend(3_600_000), ErrorKind::Exited);
    assert!(why.starts_with("the successor ended before it was confirmed for good: "), "{why}");
}

/// What it gives up for its successor waits at a FIFO, before COMMIT.
fn with_a_release(at: &Control, hook: &str) -> (Fifo, crate::support::Setup) {
    let hold = Fifo::new(at.path().with_extension("hold"));
    let setup = at.setup().with("HOOKS", format!("0:before_commit:lock:{hook}")).with("HOLD", hold.path());
    (hold, setup)
}

/// And then its probation, its LET GO and the drain, each in its time.
#[test]
fn a_successor_that_is_ready_without_end_does_not_keep_the_release_from_its_end() {
    let at = Control::new();
    let (hold, setup) = with_a_release(&at, "wait");
    let mut first = setup.with("HOOK_DEADLINE_MS", "600000").with("PROBATION_MS", "50").start();
    let clients = Clients::on(&first);
    let heir = Heir::come(&at);
    heir.plays("take ACCEPTED READY");
    let floods = flooding(heir.stream(), frames::recorded("READY"));
    first.until("begun generation=0 moment=before_commit name=lock");
    clients.until_served();
    assert_eq!(at.now(), (0, "restarting".into()));
    assert_eq!(clients.off(), 0);
    hold.release();
    first.until("through generation=0 moment=before_commit name=lock");
    heir.plays("hear:COMMIT hear:LET-GO");
    let done = first.until("done generation=0");
    assert_eq!((done.number("code"), &done["lost"]), (0, "false"));
    floods.join().unwrap();
    first.until_all_have_ended();
}

/// It is given up, and what was given up for it is taken back.
#[test]
fn a_successor_that_is_ready_without_end_does_not_keep_the_release_from_failing() {
    for (hook, why) in
        [("fail/ok", "the hook `lock` failed: no space left"), ("hang/ok", "the hook `lock` was not done within 1s")]
    {
        let hooks = format!("0:before_commit:lock:{hook}");
        let trial = Trial::with(|setup| setup.with("HOOKS", hooks).with("HOOK_DEADLINE_MS", "1000"));
        let floods = |heir: Heir| {
            heir.plays("take ACCEPTED READY");
            flood(heir.stream(), &frames::recorded("READY"));
            None
        };
        let failed = trial.fails(floods, ErrorKind::Hook);
        assert_eq!(failed.to_string(), why);
        trial.succeeds();
    }
}

// ------------------------------------------------------------------------------------------------------- predecessors

/// It is told to stop while it hears this without end, finishes what it has begun, and ends.
fn ends_in_time(way: Way, frame: &str) {
    let mut it = Predecessor::new(way);
    it.until_ready();
    it.commit();
    let mut client = Client::served(it.address());
    let floods = flooding(it.stream(), frames::recorded(frame));
    it.heir.signal(it.heir.first(), Signal::SIGTERM);
    it.heir.until("ending generation=7 ");
    client.line().unwrap();
    drop(client);
    assert_eq!(it.heir.until("done generation=7").number("code"), 0);
    it.heir.until_all_have_ended();
    floods.join().unwrap();
}

/// That it is confirmed, which it is.
#[test]
fn a_predecessor_that_spawns_and_confirms_without_end_does_not_keep_its_successor_from_its_end() {
    ends_in_time(Way::Spawned, "COMMIT");
}

#[test]
fn a_predecessor_that_is_met_and_confirms_without_end_does_not_keep_its_successor_from_its_end() {
    ends_in_time(Way::Met, "COMMIT");
}

#[test]
fn a_predecessor_that_lets_go_without_end_does_not_keep_its_successor_from_its_end() {
    ends_in_time(Way::Spawned, "LET-GO");
}

// ----------------------------------------------------------------------------------------------------------- visitors

/// Nothing that it has said was a wish, and the operator reads who that is.
#[test]
fn a_visitor_that_never_stops_talking_is_sent_away_and_delays_nobody() {
    let at = Control::new();
    let mut fleet = at.start();
    let before = Footprint::of(fleet.first());
    let visitor = at.connect();
    let floods = flooding(&visitor, nothing());
    let began = Instant::now();
    assert_eq!(at.now(), (0, "ready".into()));
    assert!(began.elapsed() < Duration::from_secs(4), "at once, and not when the other is sent away");
    floods.join().unwrap();
    fleet.until_logged("a visitor of the control path has not said what is wanted", 1);
    let log = fleet.log();
    let told = log.lines().find(|line| line.contains("has not said what is wanted")).unwrap();
    let who = format!("visitor_pid={}", std::process::id());
    assert!(told.contains(" WARN ") && told.split_whitespace().any(|word| word == who), "{told}");
    // It is told nothing, for it has asked for nothing.
    let mut said = Vec::new();
    if let Err(error) = (&visitor).read_to_end(&mut said) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
    assert_eq!(said, b"");
    drop(visitor);
    before.returns(fleet.first());
    fleet.stop(fleet.first(), 0);
}

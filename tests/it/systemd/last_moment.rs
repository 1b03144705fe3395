//! A successor that is stopped, alone, just before its predecessor lets go: nobody else will clear away what both have.

use std::path::PathBuf;

use nix::sys::signal::Signal;

use super::told::up;
use crate::support::{Control, Fleet, Setup, echo::Client, notify::NotifySocket, process};

/// All that a server leaves in the file system if nobody clears it away.
struct Traces {
    at: Control,
    paths: [PathBuf; 3],
}

impl Traces {
    fn new() -> (Self, Setup) {
        let at = Control::new();
        let beside = |name: &str| at.path().with_extension(name);
        let paths = [at.path(), beside("sock"), beside("pid")];
        let setup = at.setup().with("UNIX_ECHO", &paths[1]).with("PID_FILE", &paths[2]).with("STORE", "1");
        (Self { at, paths }, setup)
    }

    /// All have ended, and the main process was this one.
    #[track_caller]
    fn are_none(&self, manager: &NotifySocket, mut fleet: Fleet, main: i32) {
        fleet.until_all_have_ended();
        let left: Vec<_> = self.paths.iter().filter(|path| path.exists()).collect();
        assert!(left.is_empty(), "{left:?}\n{}", fleet.log());
        let all = manager.all();
        let stopping: Vec<_> = all.iter().filter(|said| said.says("STOPPING=1")).map(|said| said.pid).collect();
        assert_eq!(stopping, [main], "{}", fleet.log());
        for name in ["http", "echo", "unix echo"] {
            assert_eq!(manager.stored(name), 0, "{name}");
        }
    }
}

/// The predecessor stands still at this step meanwhile. `served`: whether the successor has something to drain.
#[track_caller]
fn nothing_is_left_at(step: &str, served: bool) {
    let manager = NotifySocket::new();
    let (traces, setup) = Traces::new();
    let mut fleet = up(&manager, setup.with("AT", format!("0:{step}:hold")));
    assert_eq!(traces.at.now(), (0, "ready".into()));
    let first = fleet.first();
    fleet.signal(first, Signal::SIGUSR2);
    fleet.until_held(step);
    let second = fleet.until("ready generation=1").pid();
    let client = served.then(|| Client::served(fleet.echo));
    fleet.signal(second, Signal::SIGTERM);
    fleet.until("ending generation=1 ");
    process::go_on(first);
    fleet.until("ending generation=0 ");
    drop(client);
    traces.are_none(&manager, fleet, second);
}

#[test]
fn nothing_is_left_of_one_that_drains_before_it_is_named() {
    nothing_is_left_at("NameSuccessor", true);
}

#[test]
fn nothing_is_left_of_one_that_has_nothing_to_drain_before_it_is_named() {
    nothing_is_left_at("NameSuccessor", false);
}

#[test]
fn nothing_is_left_of_one_that_drains_before_it_is_let_go() {
    nothing_is_left_at("LetGo", true);
}

#[test]
fn nothing_is_left_of_one_that_has_nothing_to_drain_before_it_is_let_go() {
    nothing_is_left_at("LetGo", false);
}

/// As when an operator signals one process only while systemd is slow to hear who follows.
#[test]
fn nothing_is_left_of_one_that_is_stopped_while_systemd_is_told() {
    for served in [true, false] {
        let manager = NotifySocket::new();
        let (traces, setup) = Traces::new();
        let mut fleet = up(&manager, setup);
        manager.hold_barriers();
        fleet.signal(fleet.first(), Signal::SIGUSR2);
        manager.until("BARRIER=1");
        let second = fleet.until("ready generation=1").pid();
        let client = served.then(|| Client::served(fleet.echo));
        fleet.signal(second, Signal::SIGTERM);
        fleet.until("ending generation=1 ");
        drop(client);
        traces.are_none(&manager, fleet, second);
    }
}

/// systemd's stop, to all at once.
#[test]
fn nothing_is_left_of_two_that_are_stopped_while_systemd_is_told() {
    let manager = NotifySocket::new();
    let (traces, setup) = Traces::new();
    let mut fleet = up(&manager, setup);
    manager.hold_barriers();
    let first = fleet.first();
    fleet.signal(first, Signal::SIGUSR2);
    manager.until("BARRIER=1");
    let second = fleet.until("ready generation=1").pid();
    for pid in [second, first] {
        fleet.signal(pid, Signal::SIGTERM);
    }
    traces.are_none(&manager, fleet, second);
}

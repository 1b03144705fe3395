//! What only one generation may have goes to the successor, and comes back when that one fails.

use std::path::PathBuf;

use nix::sys::signal::Signal;

use crate::{
    fake,
    support::{Fleet, Line, Setup, echo::echo, lock::is_held},
};

/// Long enough that it is not over before a successor in it was ended, on a slow machine as well.
const PROBATION: &str = "3000";

fn with_lock() -> (PathBuf, Setup) {
    let setup = Setup::new();
    let path = setup.place().join("lock");
    let setup = setup.with("LOCK", &path);
    (path, setup)
}

/// Who took and gave up the lock, in the order in which that happened.
fn holders(lines: &[Line]) -> Vec<(bool, u64)> {
    let lines = lines.iter().filter(|line| line.says("locked") || line.says("unlocked"));
    lines.map(|line| (line.says("locked"), line.number("generation"))).collect()
}

#[test]
fn a_lock_goes_through_ten_restarts_and_never_has_two_holders() {
    let (path, setup) = with_lock();
    let mut fleet = setup.start();
    let mut pid = fleet.first();
    for generation in 0..10 {
        assert!(is_held(&path));
        pid = fleet.restart(generation, pid);
        fleet.until(&format!("done generation={generation}"));
    }
    assert!(is_held(&path));
    fleet.stop(pid, 10);
    let holders = holders(&fleet.until_all_have_ended());
    let expected: Vec<_> = (0..10).flat_map(|number| [(true, number), (false, number)]).chain([(true, 10)]).collect();
    assert_eq!(holders, expected);
    assert!(!is_held(&path));
}

/// The successor fails in this way, and this generation has the lock again, if it ever was without it, and serves; and the
/// next restart works.
#[track_caller]
fn comes_back(setup: Setup, path: PathBuf, fails: impl FnOnce(&mut Fleet), given_up: &[(bool, u64)]) {
    let mut fleet = setup.start();
    fails(&mut fleet);
    let said = fleet.answer(0);
    assert!(!said.starts_with("replaced by"), "{said}");
    assert!(is_held(&path), "when the answer has come, it is back");
    echo(fleet.echo).unwrap();
    fleet.release.good();
    let successor = fleet.restart(0, fleet.first());
    fleet.until("done generation=0");
    assert!(is_held(&path));
    fleet.stop(successor, 1);
    let expected = [&[(true, 0)], given_up, &[(false, 0), (true, 1)]].concat();
    assert_eq!(holders(&fleet.until_all_have_ended()), expected);
}

fn ask(fleet: &Fleet) {
    fleet.ask(fleet.first());
}

#[test]
fn a_successor_that_exits_before_it_is_ready_never_gets_it() {
    let (path, setup) = with_lock();
    let fails = |fleet: &mut Fleet| {
        fleet.release.script("exit 3");
        ask(fleet);
    };
    comes_back(setup, path, fails, &[]);
}

#[test]
fn a_successor_that_is_killed_before_it_is_ready_never_gets_it() {
    let (path, setup) = with_lock();
    let fails = |fleet: &mut Fleet| {
        fake::release(&fleet.release, "take ACCEPTED kill");
        ask(fleet);
    };
    comes_back(setup, path, fails, &[]);
}

#[test]
fn it_comes_back_from_a_successor_that_is_killed_on_probation() {
    let (path, setup) = with_lock();
    let fails = |fleet: &mut Fleet| {
        ask(fleet);
        let successor = fleet.until("ready generation=1").pid();
        fleet.signal(successor, Signal::SIGKILL);
    };
    comes_back(setup.with("PROBATION_MS", PROBATION), path, fails, &[(false, 0), (true, 1), (true, 0)]);
}

#[test]
fn it_comes_back_from_a_successor_that_dies_before_it_has_taken_it() {
    let (path, setup) = with_lock();
    let fails = |fleet: &mut Fleet| {
        fake::release(&fleet.release, "take ACCEPTED READY hear:COMMIT kill");
        ask(fleet);
    };
    comes_back(setup.with("PROBATION_MS", PROBATION), path, fails, &[(false, 0), (true, 0)]);
}

/// It finishes what it has accepted and ends in its own time, and until then the lock is its own.
#[test]
fn it_comes_back_from_a_successor_that_is_stopped_on_probation() {
    let (path, setup) = with_lock();
    let fails = |fleet: &mut Fleet| {
        ask(fleet);
        let successor = fleet.until("ready generation=1").pid();
        fleet.signal(successor, Signal::SIGTERM);
    };
    comes_back(setup.with("PROBATION_MS", PROBATION), path, fails, &[(false, 0), (true, 1), (true, 0)]);
}

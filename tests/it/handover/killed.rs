//! Real generations that stand still or are killed in the midst of handing over. Each client's connection has one owner: it
//! is served by that one, or has ended with it.

use std::collections::BTreeMap;

use nix::sys::signal::Signal;

use super::{all, server};
use crate::support::{
    Fleet, Setup,
    crowd::{Crowd, Fate},
    process,
};

/// How many connections of a `serve` may be undecided at a time.
const UNDECIDED: usize = 48;

/// As many connections as are many, and fit what a process may open here.
const MANY: usize = 4_000;

/// More than that.
const CLIENTS: usize = 60;

/// A restart whose successor stands still when its predecessor has let go: the window is full, and the others are served
/// on, on one thread, so that an answer to a later request tells that an earlier one is not answered there. The
/// successor's pid.
fn held(setup: Setup) -> (Fleet, Crowd, i32) {
    let mut fleet = setup.with("THREADS", "1").with("AT", "1:PredecessorLetGo:hold").start();
    let mut crowd = Crowd::served(fleet.http, CLIENTS);
    fleet.signal(fleet.first(), Signal::SIGUSR2);
    let successor = fleet.until_held("PredecessorLetGo");
    crowd.until_waiting(UNDECIDED);
    (fleet, crowd, successor)
}

/// The same with a deadline that comes soon. Only those are left that were offered.
fn held_briefly() -> (Fleet, Crowd, i32) {
    let (fleet, mut crowd, successor) = held(server().with("RESTART_DEADLINE_MS", "2000"));
    crowd.leave_but_for_who_waits();
    (fleet, crowd, successor)
}

#[test]
fn a_successor_that_stands_still_with_its_window_full_and_goes_on_serves_all() {
    let (mut fleet, mut crowd, successor) = held(server());
    process::go_on(successor);
    assert_eq!(crowd.answers(), all(Fate::Kept(1), UNDECIDED), "each once, and by nobody else");
    assert_eq!(fleet.until("done generation=0").number("handed"), CLIENTS as u64);
    assert_eq!(crowd.ask(), all(Fate::Kept(1), CLIENTS));
    drop(crowd);
    fleet.stop(successor, 1);
}

/// The predecessor gives them up, counts them, and ends; nobody else may have them, until the successor is dead.
#[test]
fn a_successor_that_stands_still_for_ever_holds_nobody_up_beyond_the_deadline() {
    let (mut fleet, mut crowd, successor) = held_briefly();
    assert_eq!(fleet.until("cut generation=0")["why"], format!("http1:undecided:{UNDECIDED}"));
    let done = fleet.until("done generation=0");
    assert_eq!(["handed", "cut", "code"].map(|count| done.number(count)), [0, UNDECIDED as u64, 0]);
    assert!(fleet.first_exit().success());
    fleet.signal(successor, Signal::SIGKILL);
    assert_eq!(crowd.answers(), all(Fate::Ended, UNDECIDED));
}

/// What has been offered to it is its own when its predecessor has given up and gone.
#[test]
fn a_successor_that_stands_still_beyond_the_deadline_and_goes_on_serves_what_it_was_offered() {
    let (mut fleet, mut crowd, successor) = held_briefly();
    fleet.until("done generation=0");
    assert!(fleet.first_exit().success());
    process::go_on(successor);
    assert_eq!(crowd.answers(), all(Fate::Kept(1), UNDECIDED));
    assert_eq!(crowd.ask(), all(Fate::Kept(1), UNDECIDED));
    drop(crowd);
    fleet.stop(successor, 1);
}

#[test]
fn a_successor_that_is_killed_with_its_window_full_leaves_all_to_its_predecessor() {
    let (mut fleet, mut crowd, successor) = held(server());
    fleet.signal(successor, Signal::SIGKILL);
    assert_eq!(crowd.settle(), all(Fate::Told(0), CLIENTS));
    let done = fleet.until("done generation=0");
    assert_eq!(["handed", "told", "cut", "code"].map(|count| done.number(count)), [0, CLIENTS as u64, 0, 1]);
}

/// What was offered is the successor's to take, and the rest has died with its owner.
#[test]
fn a_predecessor_that_is_killed_with_the_window_full_leaves_what_it_has_offered() {
    let (mut fleet, mut crowd, successor) = held(server());
    fleet.signal(fleet.first(), Signal::SIGKILL);
    fleet.first_exit();
    process::go_on(successor);
    crowd.send();
    let fates = crowd.answers();
    assert_eq!(fates, BTreeMap::from([(Fate::Kept(1), UNDECIDED), (Fate::Ended, CLIENTS - UNDECIDED)]));
    assert_eq!(crowd.ask(), all(Fate::Kept(1), UNDECIDED));
    drop(crowd);
    fleet.stop(successor, 1);
}

#[test]
fn a_predecessor_that_stands_still_stops_nobody_who_was_offered() {
    let (mut fleet, mut crowd, successor) = held(server());
    fleet.freeze_first();
    process::go_on(successor);
    assert_eq!(crowd.answers(), all(Fate::Kept(1), UNDECIDED));
    process::go_on(fleet.first());
    assert_eq!(fleet.until("done generation=0").number("handed"), CLIENTS as u64);
    drop(crowd);
    fleet.stop(successor, 1);
}

/// Nobody serves after it, so whatever it has taken it finishes and tells, and the rest is the predecessor's as before.
#[test]
fn a_successor_that_is_stopped_with_its_window_full_loses_nobody() {
    let (mut fleet, mut crowd, successor) = held(server());
    fleet.signal(successor, Signal::SIGTERM);
    process::go_on(successor);
    let mut told = 0;
    while told < CLIENTS {
        for (fate, many) in crowd.ask() {
            match fate {
                Fate::Kept(_) => {}
                Fate::Told(_) => told += many,
                Fate::Ended => panic!("{many} have ended"),
            }
        }
    }
    for generation in [0, 1] {
        let done = fleet.until(&format!("done generation={generation}"));
        assert_eq!(["raced", "cut", "code"].map(|count| done.number(count)), [0; 3], "{done:?}");
    }
    fleet.until_all_have_ended();
}

/// What waits for its turn is drained, and what was offered is the successor's to decide.
#[test]
fn a_predecessor_that_is_stopped_with_the_window_full_offers_nothing_more() {
    let (mut fleet, mut crowd, successor) = held(server());
    fleet.signal(fleet.first(), Signal::SIGTERM);
    while crowd.members() > UNDECIDED {
        crowd.send();
        crowd.look();
    }
    process::go_on(successor);
    assert_eq!(crowd.answers(), all(Fate::Kept(1), UNDECIDED));
    let done = fleet.until("done generation=0");
    let counts = ["handed", "told", "cut", "code"].map(|count| done.number(count));
    assert_eq!(counts, [UNDECIDED as u64, (CLIENTS - UNDECIDED) as u64, 0, 0]);
    drop(crowd);
    fleet.stop(successor, 1);
}

/// A predecessor that is killed just before it does this: what has become of its connections, and somebody serves on.
#[track_caller]
fn killed_at(step: &str, fate: Fate) {
    let mut fleet = server().with("AT", format!("0:{step}:kill")).start();
    let mut crowd = Crowd::served(fleet.http, CLIENTS);
    fleet.signal(fleet.first(), Signal::SIGUSR2);
    let successor = fleet.until("ready generation=1").pid();
    fleet.first_exit();
    assert_eq!(crowd.ask(), all(fate, CLIENTS), "killed at {step}");
    assert_eq!(Crowd::served(fleet.http, 1).ask(), all(Fate::Kept(1), 1));
    drop(crowd);
    fleet.stop(successor, 1);
}

#[test]
fn a_predecessor_that_is_killed_before_it_has_let_go_takes_its_connections_with_it() {
    for step in ["Confirm", "ProbationOver", "LetGo"] {
        killed_at(step, Fate::Ended);
    }
}

#[test]
fn a_predecessor_that_is_killed_when_all_have_gone_takes_nobody_with_it() {
    for step in ["OthersDrained", "EndLast", "Finish"] {
        killed_at(step, Fate::Kept(1));
    }
}

/// A restart in whose midst it is now: the predecessor has closed its copies of so many. The successor's pid.
fn in_the_midst(given: usize) -> (Fleet, Crowd, i32) {
    let mut fleet = server().with("AT", "0:LetGo:hold").start();
    let crowd = Crowd::served(fleet.http, MANY);
    fleet.signal(fleet.first(), Signal::SIGUSR2);
    let first = fleet.until_held("LetGo");
    let successor = fleet.until("ready generation=1").pid();
    let before = process::open(first);
    process::go_on(first);
    process::until(|| process::open(first) + given <= before);
    (fleet, crowd, successor)
}

/// At the beginning, where the first copies that are closed are those of listeners, and later.
const GIVEN: [usize; 3] = [20, MANY / 20, MANY / 3];

/// Wherever it is in the midst of them: nobody is served by two, nobody is lost but with its owner, and what the
/// predecessor has counted is what the clients have seen.
#[test]
fn a_successor_that_is_killed_in_the_midst_of_thousands_takes_only_its_own_with_it() {
    for given in GIVEN {
        let (mut fleet, mut crowd, successor) = in_the_midst(given);
        fleet.signal(successor, Signal::SIGKILL);
        let fates = crowd.settle();
        let count = |fate| fates.get(&fate).copied().unwrap_or_default();
        let (ended, told) = (count(Fate::Ended), count(Fate::Told(0)));
        println!("{given} given: {ended} ended, {told} told");
        assert!(ended + told == MANY && ended > 0, "{fates:?}");
        let done = fleet.until("done generation=0");
        assert_eq!(["handed", "told", "cut"].map(|count| done.number(count)), [ended as u64, told as u64, 0]);
    }
}

#[test]
fn a_predecessor_that_is_killed_in_the_midst_of_thousands_takes_only_its_own_with_it() {
    for given in GIVEN {
        let (mut fleet, mut crowd, successor) = in_the_midst(given);
        fleet.signal(fleet.first(), Signal::SIGKILL);
        fleet.first_exit();
        let fates = crowd.ask();
        let count = |fate| fates.get(&fate).copied().unwrap_or_default();
        let (kept, ended) = (count(Fate::Kept(1)), count(Fate::Ended));
        println!("{given} given: {kept} kept, {ended} ended");
        assert!(kept + ended == MANY && kept > 0, "{fates:?}");
        assert_eq!(crowd.ask(), all(Fate::Kept(1), kept));
        drop(crowd);
        fleet.stop(successor, 1);
    }
}

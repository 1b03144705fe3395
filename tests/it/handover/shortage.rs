//! Descriptors run out, on either side: what can't go stays and is drained, and nobody is lost.

use nix::sys::signal::Signal;

use super::{all, server};
use crate::{
    shortage::{leave_descriptors, limit},
    support::{
        crowd::{Crowd, Fate},
        process,
    },
};

const CLIENTS: usize = 200;

/// Everybody is answered, by the predecessor or by the successor; and both count them so. How many have gone.
#[track_caller]
fn gone(free: usize) -> usize {
    let mut fleet = server().with("AT", "0:LetGo:hold").start();
    let mut crowd = Crowd::served(fleet.http, CLIENTS);
    fleet.signal(fleet.first(), Signal::SIGUSR2);
    let first = fleet.until_held("LetGo");
    let successor = fleet.until("ready generation=1").pid();
    leave_descriptors(successor, free);
    process::go_on(first);
    let fates = crowd.settle();
    let count = |fate| fates.get(&fate).copied().unwrap_or_default();
    let (gone, told) = (count(Fate::Kept(1)), count(Fate::Told(0)));
    assert_eq!(gone + told, CLIENTS, "{fates:?}");
    let done = fleet.until("done generation=0");
    let counts = ["handed", "told", "raced", "cut", "code"].map(|count| done.number(count));
    assert_eq!(counts, [gone as u64, told as u64, 0, 0, 0], "{}", fleet.log());
    limit(successor, "nofile", 1024);
    drop(crowd);
    fleet.stop(successor, 1);
    gone
}

#[test]
fn a_successor_with_room_for_some_takes_some() {
    let gone = gone(120);
    assert!(gone > 0 && gone < 120, "some are kept for what must go on: {gone}");
}

#[test]
fn a_successor_with_no_room_takes_nobody_and_is_none_the_worse() {
    assert_eq!(gone(0), 0);
    assert_eq!(gone(3), 0, "these are for what must go on");
}

/// To hand over takes none.
#[test]
fn a_predecessor_with_none_left_hands_all_over() {
    let mut fleet = server().with("AT", "0:LetGo:hold").start();
    let mut crowd = Crowd::served(fleet.http, CLIENTS);
    fleet.signal(fleet.first(), Signal::SIGUSR2);
    let first = fleet.until_held("LetGo");
    let successor = fleet.until("ready generation=1").pid();
    leave_descriptors(first, 0);
    process::go_on(first);
    assert_eq!(fleet.until("done generation=0").number("handed"), CLIENTS as u64);
    assert_eq!(crowd.ask(), all(Fate::Kept(1), CLIENTS));
    drop(crowd);
    fleet.stop(successor, 1);
}

//! Either process is killed, at each step of the restart. Whoever is left serves, and can restart again.

use std::os::unix::process::ExitStatusExt;

use nix::sys::signal::Signal;

use crate::support::{
    Fleet, Setup,
    echo::{Client, Load, echo},
    process,
};

/// A probation that ends by the successor's death, and never by a slow machine.
const ENDLESS: &str = "60000";

fn killed_at(step: &str) -> Setup {
    Setup::new().with("AT", format!("{step}:kill"))
}

/// The predecessor dies when the successor has all sockets: the successor serves.
fn predecessor_dies_at(step: &str) {
    let mut fleet = killed_at(&format!("0:{step}")).start();
    let load = Load::on(fleet.echo);
    fleet.signal(fleet.first(), Signal::SIGUSR2);
    let second = fleet.until("ready generation=1").pid();
    assert_eq!(fleet.first_exit().signal(), Some(9));
    load.until_served(10);
    let third = fleet.restart(1, second);
    load.until_served(10);
    let tally = load.off();
    assert_eq!(tally.refused, 0, "{tally:?}");
    assert!(tally.cut <= Load::CLIENTS, "more than what it had accepted died with it: {tally:?}");
    stop(&mut fleet, third, 2);
}

/// The successor dies while the predecessor can still take everything back.
fn successor_dies_at(step: &str, why: &str, most_cut: usize) {
    let mut fleet = killed_at(&format!("1:{step}")).with("PROBATION_MS", ENDLESS).start();
    let load = Load::on(fleet.echo);
    let first = fleet.first();
    fleet.ask(first);
    let answer = fleet.answer(0);
    assert!(answer.starts_with(why), "{answer}");
    assert!(answer.contains("signal: 9") || answer.contains("channel closed"), "{answer}");
    load.until_served(10);
    process::until(|| process::children(first).is_empty());
    fleet.release.after("unset HR_AT");
    fleet.signal(first, Signal::SIGUSR2);
    fleet.until("ready generation=1");
    load.until_served(10);
    let tally = load.off();
    assert_eq!(tally.refused, 0, "{tally:?}");
    assert!(tally.cut <= most_cut, "{tally:?}");
    // The probation being endless, this stops both.
    fleet.signal(first, Signal::SIGTERM);
    fleet.until_all_have_ended();
}

/// The successor dies when nothing can be taken back any more, and the predecessor still drains.
fn successor_is_lost_at(step: &str) {
    let mut fleet = killed_at(&format!("1:{step}")).with("STOP_DEADLINE_MS", "200").start();
    let mut client = Client::served(fleet.echo);
    fleet.signal(fleet.first(), Signal::SIGUSR2);
    expect_lost(&mut fleet);
    assert!(client.line().is_err(), "cut at the stop's deadline");
}

fn expect_lost(fleet: &mut Fleet) {
    let done = fleet.until("done generation=0");
    assert_eq!((&done["lost"], done.number("code"), done.number("cut")), ("true", 1, 1));
    assert_eq!(fleet.first_exit().code(), Some(1), "so that a supervisor acts now");
    fleet.until_all_have_ended();
    assert!(echo(fleet.echo).is_err(), "the predecessor keeps no listener that would stand in a replacement's way");
}

fn stop(fleet: &mut Fleet, pid: i32, generation: u64) {
    fleet.stop(pid, generation);
    fleet.until_all_have_ended();
}

/// One test for each step.
macro_rules! each {
    ($($name:ident: $check:ident($($argument:expr),*);)*) => {
        $(#[test] fn $name() { $check($($argument),*); })*
    };
}

mod the_successor_serves_when_the_predecessor_dies {
    use super::predecessor_dies_at;

    each! {
        when_its_sockets_are_accepted: predecessor_dies_at("Accepted");
        with_ready_unheard: predecessor_dies_at("Ready");
        before_it_stops_accepting: predecessor_dies_at("ShutGate");
        before_commit: predecessor_dies_at("Confirm");
        at_the_end_of_the_probation: predecessor_dies_at("ProbationOver");
        before_it_lets_go: predecessor_dies_at("LetGo");
        when_it_has_drained: predecessor_dies_at("Finish");
    }
}

mod the_predecessor_serves_on_when_the_successor_dies {
    use super::{Load, successor_dies_at};

    each! {
        while_it_starts: successor_dies_at("ReadyAsked", "Killed: ", 0);
        before_it_says_ready: successor_dies_at("SayReady", "Killed: ", 0);
        at_commit: successor_dies_at("Confirmed", "Probation: ", 0);
        before_it_accepts: successor_dies_at("OpenGate", "Probation: ", 0);
        when_it_has_begun_to_accept: successor_dies_at("AnswerReady", "Probation: ", Load::CLIENTS);
    }
}

mod the_predecessor_hurries_when_the_successor_dies {
    use super::successor_is_lost_at;

    each! {
        when_it_learns_that_it_is_alone: successor_is_lost_at("PredecessorLetGo");
        before_it_owns_the_names: successor_is_lost_at("OwnNames");
    }
}

#[test]
fn the_predecessor_hurries_when_the_successor_dies_in_the_midst_of_its_drain() {
    let mut fleet = Setup::new().with("STOP_DEADLINE_MS", "200").start();
    let _client = Client::served(fleet.echo);
    let second = fleet.restart(0, fleet.first());
    echo(fleet.echo).unwrap();
    fleet.signal(second, Signal::SIGKILL);
    expect_lost(&mut fleet);
}

/// Its channel ends a moment before it is dead, and a predecessor that had nothing left to do would end in that moment.
#[test]
fn a_successor_that_dies_just_when_the_predecessor_has_drained_is_lost() {
    // Said when it owns the names: its channel is closed by then.
    let mut fleet = Setup::new().with("AT", "1:OwnNames:close,1:ready:hold,0:EndLast:hold").start();
    let first = fleet.first();
    fleet.signal(first, Signal::SIGUSR2);
    assert_eq!(fleet.until_held("EndLast"), first);
    let second = fleet.until_held("ready");
    fleet.signal(first, Signal::SIGCONT);
    fleet.signal(second, Signal::SIGKILL);
    assert_eq!(&fleet.until("done generation=0")["lost"], "true");
    assert_eq!(fleet.first_exit().code(), Some(1), "so that a supervisor acts now");
    fleet.until_all_have_ended();
}

#[test]
fn a_successor_that_has_been_replaced_may_die_without_being_lost() {
    let mut fleet = Setup::new().with("STOP_DEADLINE_MS", "200").start();
    let mut oldest = Client::served(fleet.echo);
    let second = fleet.restart(0, fleet.first());
    let _middle = Client::served(fleet.echo);
    let third = fleet.restart(1, second);
    // It still drains, so its end is a crash.
    fleet.signal(second, Signal::SIGKILL);
    process::until(|| !Fleet::lives(second));
    oldest.line().expect("the oldest drains on in its own time");
    echo(fleet.echo).unwrap();
    drop(oldest);
    let done = fleet.until("done generation=0");
    assert_eq!((&done["lost"], done.number("code"), done.number("cut")), ("false", 0, 0));
    stop(&mut fleet, third, 2);
}

#[test]
fn a_successor_that_was_told_to_stop_is_not_lost() {
    let mut fleet = Setup::new().with("STOP_DEADLINE_MS", "200").start();
    let oldest = Client::served(fleet.echo);
    let second = fleet.restart(0, fleet.first());
    fleet.stop(second, 1);
    process::until(|| !Fleet::lives(second));
    drop(oldest);
    let done = fleet.until("done generation=0");
    assert_eq!((&done["lost"], done.number("code")), ("false", 0));
    fleet.until_all_have_ended();
}

#[test]
fn nothing_is_left_when_the_predecessor_dies_before_it_has_spawned() {
    let mut fleet = killed_at("0:Spawn").start();
    fleet.signal(fleet.first(), Signal::SIGUSR2);
    fleet.until_all_have_ended();
    assert!(echo(fleet.echo).is_err());
}

/// What it says then is heard only if its predecessor had greeted it: without that it has no standard error but a pipe
/// that leads nowhere.
#[test]
fn a_successor_without_all_sockets_serves_nobody_when_the_predecessor_dies() {
    let mut fleet = killed_at("0:Spawned").start();
    fleet.signal(fleet.first(), Signal::SIGUSR2);
    let lines = fleet.until_all_have_ended();
    assert!(!lines.iter().any(|line| line.says("started generation=1")), "{lines:?}");
    assert!(echo(fleet.echo).is_err());
}

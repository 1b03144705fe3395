//! A restart that is asked for too early, too late or twice, and a predecessor that stands still past its deadline.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::{
    Fifo, Setup,
    echo::{Client, echo},
    process,
};

/// READY lies in the channel of a predecessor that stands still, and meanwhile its deadline passes.
#[test]
fn a_ready_that_came_in_time_counts_although_it_is_read_after_the_deadline() {
    let deadline = Duration::from_millis(1500);
    let mut fleet = Setup::new()
        .with("READY_DEADLINE_MS", deadline.as_millis().to_string())
        .with("AT", "0:Accepted:hold,1:SayReady:hold,1:RestartSignalled:hold")
        .start();
    let first = fleet.first();
    let began = Instant::now();
    fleet.ask(first);
    let second = fleet.until_held("SayReady");
    assert_eq!(fleet.until_held("Accepted"), first);
    // What comes after "say READY" is heard only when that is said.
    fleet.signal(second, Signal::SIGUSR2);
    process::go_on(second);
    assert_eq!(fleet.until_held("RestartSignalled"), second);
    process::until(|| began.elapsed() > deadline + Duration::from_millis(100));
    process::go_on(first);
    process::go_on(second);
    assert_eq!(fleet.answer(0), format!("replaced by {second}"));
    let third = fleet.until("ready generation=2").pid();
    fleet.until("done generation=1");
    fleet.stop(third, 2);
    fleet.until_all_have_ended();
}

#[test]
fn a_restart_signal_during_start_up_is_kept_until_it_can_be_followed() {
    let (fifo, setup) = Fifo::before_ready();
    let mut fleet = setup.with("AT", "0:RestartSignalled:hold").spawn();
    let first = fleet.until("started generation=0").pid();
    fleet.signal(first, Signal::SIGUSR2);
    fleet.until_held("RestartSignalled");
    process::go_on(first);
    fifo.release();
    fleet.until("ready generation=0");
    fleet.until("started generation=1");
    fifo.release();
    let second = fleet.until("ready generation=1").pid();
    fleet.until("done generation=0");
    fleet.stop(second, 1);
    fleet.until_all_have_ended();
}

#[test]
fn the_method_refuses_to_restart_what_is_not_ready() {
    let (fifo, setup) = Fifo::before_ready();
    let mut fleet = setup.spawn();
    let first = fleet.until("started generation=0").pid();
    fleet.ask(first);
    let answer = fleet.answer(0);
    assert!(answer.starts_with("NotReady: "), "{answer}");
    fifo.release();
    fleet.until("ready generation=0");
    fleet.stop(first, 0);
    fleet.until_all_have_ended();
}

#[test]
fn a_restart_that_is_asked_for_during_one_joins_it() {
    let mut fleet = Setup::new().with("AT", "1:SayReady:hold,0:RestartAsked:hold").start();
    let first = fleet.first();
    fleet.signal(first, Signal::SIGUSR2);
    let second = fleet.until_held("SayReady");
    fleet.ask(first);
    fleet.until_held("RestartAsked");
    fleet.signal(first, Signal::SIGUSR2);
    process::go_on(first);
    process::go_on(second);
    fleet.until("ready generation=1");
    assert_eq!(fleet.answer(0), format!("replaced by {second}"));
    fleet.until("done generation=0");
    fleet.stop(second, 1);
    let lines = fleet.until_all_have_ended();
    let started = lines.iter().filter(|line| line.says("started")).count();
    assert_eq!(started, 2, "one successor, not two: {lines:?}");
}

#[test]
fn a_restart_is_refused_by_what_drains_and_done_by_its_successor() {
    let mut fleet = Setup::new().start();
    let first = fleet.first();
    let client = Client::served(fleet.echo);
    let second = fleet.restart(0, first);
    fleet.ask(first);
    let answer = fleet.answer(0);
    assert!(answer.starts_with("Ending: "), "{answer}");
    fleet.signal(first, Signal::SIGUSR2);
    let third = fleet.restart(1, second);
    drop(client);
    fleet.until("done generation=0");
    fleet.stop(third, 2);
    fleet.until_all_have_ended();
}

#[test]
fn a_restart_signal_to_a_successor_on_probation_is_kept_until_the_predecessor_has_let_go() {
    let mut fleet = Setup::new().with("AT", "0:ProbationOver:hold,1:RestartSignalled:hold").start();
    let first = fleet.first();
    fleet.signal(first, Signal::SIGUSR2);
    fleet.until_held("ProbationOver");
    let second = fleet.until("ready generation=1").pid();
    fleet.signal(second, Signal::SIGUSR2);
    fleet.until_held("RestartSignalled");
    process::go_on(second);
    echo(fleet.echo).expect("it serves meanwhile");
    process::go_on(first);
    let third = fleet.until("ready generation=2").pid();
    fleet.until("done generation=0");
    fleet.until("done generation=1");
    fleet.stop(third, 2);
    fleet.until_all_have_ended();
}

//! The successor's standard error: always in its place, and its end remembered.

use nix::sys::signal::Signal;

use crate::support::{Fifo, Fleet, Setup, echo::echo, process};

const STDERR: i32 = 2;

#[test]
fn what_a_successor_writes_before_it_is_ready_reaches_the_standard_error() {
    let mut fleet = Setup::new().start();
    fleet.release.after("echo early words >&2");
    let first = fleet.first();
    fleet.restart(0, first);
    fleet.until_logged("early words", 1);
}

#[test]
fn the_successor_has_the_real_standard_error_from_its_confirmation_on() {
    let mut fleet = Setup::new().with("AT", "1:SayReady:hold").start();
    let first = fleet.first();
    let real = process::target(first, STDERR);
    fleet.signal(first, Signal::SIGUSR2);
    let second = fleet.until_held("SayReady");
    assert_ne!(process::target(second, STDERR), real, "a pipe to the predecessor");
    fleet.signal(second, Signal::SIGCONT);
    fleet.until("ready generation=1");
    // A thread puts it back when the loop has said so.
    process::until(|| process::target(second, STDERR) == real);
    let third = fleet.restart(1, second);
    process::until(|| process::target(third, STDERR) == real);
}

/// Counted, and not sought as a line: while both generations pass on what is left, lines may be torn.
fn until_heard(fleet: &Fleet, letter: char, times: usize) {
    process::until(|| fleet.log().matches(letter).count() >= times);
}

#[test]
fn a_flood_before_ready_holds_nobody_up_and_loses_nothing() {
    let mut fleet = Setup::new().with("CHATTER", "1000000").start();
    let first = fleet.first();
    fleet.restart(0, first);
    until_heard(&fleet, 'x', 2_000_000);
}

#[test]
fn the_last_four_kibibytes_are_in_the_error_and_all_of_it_in_its_place() {
    let mut fleet = Setup::new().start();
    fleet.release.script("head -c 100000 /dev/zero | tr '\\0' y >&2; echo last words >&2; exit 3");
    fleet.ask(fleet.first());
    let answer = fleet.answer(0);
    assert!(answer.starts_with("Exited: ") && answer.ends_with("last words"), "{answer}");
    let kept = answer.matches('y').count();
    assert!((4000..=4096).contains(&kept), "{kept}");
    until_heard(&fleet, 'y', 100_000 + kept);
}

/// `eprintln!` panics over a broken pipe. What is written goes to its place also when nobody has read the pipe for a
/// while, and it is more than fits into it.
#[test]
fn the_standard_error_never_breaks_when_the_predecessor_dies_while_the_successor_starts() {
    for step in ["0:Accepted", "0:Ready", "0:ProbationOver"] {
        let setup = Setup::new().with("AT", format!("{step}:kill")).with("CHATTER", "300000");
        let mut fleet = setup.start();
        fleet.signal(fleet.first(), Signal::SIGUSR2);
        let second = fleet.until("ready generation=1").pid();
        assert!(!fleet.first_exit().success(), "killed");
        // All but what the predecessor had in its hands when it died.
        until_heard(&fleet, 'x', 600_000 - 4096);
        echo(fleet.echo).unwrap();
        fleet.signal(second, Signal::SIGTERM);
        fleet.until("done generation=1");
        fleet.until_all_have_ended();
        assert!(!fleet.log().contains("panicked"), "{step}");
    }
}

/// The predecessor is dead for long when the successor begins to write.
#[test]
fn a_successor_that_begins_to_write_when_its_predecessor_is_dead_is_heard() {
    let setup = Setup::new().with("AT", "0:Accepted:kill").with("CHATTER", "300000");
    let fifo = Fifo::new(setup.place().join("fifo"));
    let mut fleet = setup.with("FIFO", fifo.path()).spawn();
    fifo.release();
    let first = fleet.until("ready generation=0").pid();
    fleet.signal(first, Signal::SIGUSR2);
    fleet.until("started generation=1");
    assert!(!fleet.first_exit().success());
    fifo.release();
    fleet.until("ready generation=1");
    fleet.until_logged(", said generation 1", 1);
}

#[test]
fn a_helper_that_still_writes_into_the_pipe_is_passed_on_after_both_have_gone_their_way() {
    let setup = Setup::new();
    let fifo = Fifo::new(setup.place().join("fifo"));
    let mut fleet = setup.start();
    fleet.release.after(&format!("(cat '{}'; echo helper words >&2) >/dev/null &", fifo.path().display()));
    let first = fleet.first();
    let second = fleet.restart(0, first);
    fleet.until("done generation=0");
    process::until(|| process::state(first) == 'Z');
    fifo.release();
    fleet.until_logged("helper words", 1);
    fleet.signal(second, Signal::SIGTERM);
    fleet.until("done generation=1");
}

//! State that goes to the successor, before it is ready and after the point of no return.

use load::{Exchange, Load, Mode};
use nix::sys::signal::Signal;
use tokio_hotrestart::ErrorKind;

use crate::{
    fake, load as loads,
    support::{Clients, Control, Fifo, Fleet, Line, Setup, Traffic, Trial, http::Client, process},
};

const MOST: usize = 16 * 1024 * 1024;

fn with_state(state: &str) -> Setup {
    Setup::new().with("STATE", state)
}

fn with_final_state(state: &str) -> Setup {
    Setup::new().with("FINAL", state)
}

// --------------------------------------------------------------------------------------------------------- before ready

/// One that passes this has a successor that finds these lines to be true by the time when it is ready.
#[track_caller]
fn arrives(state: &str, lines: &[&str]) {
    let mut fleet = with_state(state).start();
    let successor = fleet.restart(0, fleet.first());
    let lines: Vec<_> = lines.iter().map(|line| format!("state generation=1 {line}")).collect();
    fleet.has_heard_in_order(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(fleet.until("done generation=0").number("code"), 0);
    fleet.stop(successor, 1);
}

#[test]
fn state_is_there_before_the_successor_is_ready() {
    arrives("0:blob:3:1000000", &["name=blob version=3 length=1000000 intact=true"]);
}

#[test]
fn an_empty_state_is_one_that_was_passed() {
    arrives("0:blob:4294967295:0", &["name=blob version=4294967295 length=0 intact=true"]);
}

#[test]
fn as_much_state_as_may_be_arrives_whole() {
    let state = ["a", "b", "c", "d"].map(|name| format!("0:{name}:1:{MOST}")).join(",");
    let lines = ["a", "b", "c", "d"].map(|name| format!("name={name} version=1 length={MOST} intact=true"));
    arrives(&state, &lines.each_ref().map(String::as_str));
}

#[test]
fn each_state_comes_under_its_own_name_and_what_was_not_passed_does_not() {
    let lines = ["name=blob version=1 length=7 intact=true", "name=nobody's version=none", "name=sessions version=2"];
    arrives("0:sessions:2:sessions,0:blob:1:7,9:nobody's:1:7", &lines);
}

#[test]
fn the_first_generation_gets_no_state() {
    let mut fleet = with_state("*:blob:1:7").with("FINAL", "*:blob:1:7").start();
    assert_eq!(&fleet.until("state generation=0 name=blob")["version"], "none");
    assert_eq!(&fleet.until("final generation=0 name=blob")["version"], "none");
}

#[test]
fn state_goes_from_generation_to_generation() {
    let mut fleet = with_state("*:trail:1:trail").with("FINAL", "*:trail:1:trail").start();
    let (mut pid, mut trail) = (fleet.first(), String::from("0"));
    for generation in 0..5 {
        pid = fleet.restart(generation, pid);
        let next = generation + 1;
        assert_eq!(&fleet.until(&format!("state generation={next} name=trail"))["text"], trail);
        assert_eq!(&fleet.until(&format!("final generation={next} name=trail"))["text"], generation.to_string());
        fleet.until(&format!("done generation={generation}"));
        trail += &format!(",{next}");
    }
    fleet.stop(pid, 5);
}

// ------------------------------------------------------------------------------------------------------- is not passed

/// The restart fails for this reason, and works when the provider has been mended.
#[track_caller]
fn is_not_passed(state: &str, why: &str) {
    let mut trial = Trial::of(with_state(state));
    assert_eq!(trial.fails("State"), why);
    assert!(!trial.fleet.has_heard("started generation=1"));
    trial.succeeds();
    assert_eq!(trial.fleet.until("state generation=1 name=blob").number("length"), 7);
}

#[test]
fn a_state_that_is_too_large_fails_the_restart_and_both_sizes_are_told() {
    let why = "the state \"blob\" for the successor has 16777217 bytes, the limit is 16777216";
    is_not_passed(&format!("0:blob:1:{}/7", MOST + 1), why);
}

#[test]
fn states_that_are_too_large_together_fail_the_restart() {
    let others = ["a", "aa", "aaa", "aaaa"].map(|name| format!("0:{name}:1:{MOST}/7")).join(",");
    let why = "the state \"blob\" for the successor makes it 67108865 bytes together, the limit is 67108864";
    is_not_passed(&format!("{others},0:blob:1:1/7"), why);
}

#[test]
fn a_provider_that_fails_fails_the_restart() {
    is_not_passed("0:blob:1:fail/7", "the state \"blob\" for the successor failed: no space left");
}

#[test]
fn a_provider_that_panics_fails_the_restart() {
    is_not_passed("0:blob:1:panic/7", "the state \"blob\" for the successor panicked: never mind");
}

#[test]
fn a_provider_that_hangs_fails_the_restart_at_its_deadline() {
    is_not_passed("0:blob:1:hang/7", "the state \"blob\" for the successor was not done within 10s");
}

#[test]
fn a_stop_while_a_provider_is_asked_ends_the_restart() {
    let mut fleet = with_state("0:blob:1:hang").start();
    fleet.ask(fleet.first());
    fleet.until("asked generation=0 name=blob");
    fleet.signal(fleet.first(), Signal::SIGTERM);
    assert!(fleet.answer(0).starts_with("Ending: "));
    fleet.until("done generation=0");
    fleet.until_all_have_ended();
}

// ---------------------------------------------------------------------------------------------------------- is refused

#[test]
fn a_state_of_a_future_version_is_refused_with_the_reason_and_the_predecessor_serves_on() {
    let mut trial = Trial::of(with_state("*:sessions:2:sessions"));
    trial.fleet.release.after("export HR_KNOWS=1");
    let why = trial.fails("Refused");
    assert!(why.starts_with("the successor refused: sessions of version 2, this program knows 1"), "{why}");
    assert!(!trial.fleet.has_heard("ready generation=1"));
    trial.succeeds();
    assert_eq!(&trial.fleet.until("sessions generation=1")["users"], "alice,bob");
}

#[test]
fn a_state_that_cannot_be_read_is_refused_with_what_serde_says() {
    let mut trial = Trial::of(with_state("*:sessions:2:7/sessions"));
    let why = trial.fails("Refused");
    assert!(why.starts_with("the successor refused: expected value at line 1 column 1"), "{why}");
    trial.succeeds();
    assert_eq!(&trial.fleet.until("sessions generation=1")["users"], "alice,bob");
}

#[test]
fn an_operator_is_told_why_a_state_was_refused() {
    let at = Control::new();
    let mut first = at.setup().with("STATE", "*:sessions:2:sessions").start();
    first.release.after("export HR_KNOWS=1");
    let error = at.restart().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert_eq!(error.message(), "the successor refused: sessions of version 2, this program knows 1");
    assert_eq!(at.now(), (0, "ready".into()));
    first.release.good();
    at.restart().unwrap();
    first.until("done generation=0");
}

#[test]
fn a_successor_that_came_by_itself_gets_the_state_and_may_refuse_it() {
    let at = Control::new();
    let state = |setup: Setup| setup.with("STATE", "*:sessions:2:sessions").with("FINAL", "*:blob:1:1000000");
    let mut first = state(at.setup()).start();
    let clients = Clients::on(&first);
    let mut second = state(at.setup()).with("KNOWS", "1").spawn();
    assert_eq!(second.first_exit().code(), Some(21));
    process::until(|| at.now() == (0, "ready".into()));
    let why = at.status().last_restart.unwrap().outcome.unwrap_err();
    assert_eq!(why.kind(), ErrorKind::Refused);
    assert_eq!(why.message(), "the successor refused: sessions of version 2, this program knows 1");
    clients.until_served();
    let mut third = state(at.setup()).spawn();
    third.until("ready generation=1");
    assert_eq!(&third.until("sessions generation=1")["users"], "alice,bob");
    assert!(third.until("final generation=1 name=blob").is_whole(1_000_000));
    first.until("done generation=0");
    clients.until_served();
    clients.off();
}

// -------------------------------------------------------------------------------------------------- a predecessor dies

/// No socket buffer takes so much: what was killed while nobody read had not passed it.
#[test]
fn a_predecessor_that_is_killed_in_the_midst_of_a_large_state_leaves_nobody_who_serves_without_it() {
    let mut fleet = with_state(&format!("0:blob:1:{MOST}")).start();
    fleet.release.after("echo held at=beginning pid=$$; kill -STOP $$");
    fleet.signal(fleet.first(), Signal::SIGUSR2);
    let successor = fleet.until_held("beginning");
    fleet.signal(fleet.first(), Signal::SIGKILL);
    fleet.first_exit();
    process::go_on(successor);
    let lines = fleet.until_all_have_ended();
    // What it wrote went to its predecessor, unless HELLO had come: so nobody may have it.
    assert!(!lines.iter().any(|line| line.says("started generation=1")), "{lines:#?}");
}

#[test]
fn a_predecessor_that_is_killed_when_its_large_state_has_arrived_leaves_a_successor_that_has_it() {
    let mut fleet = with_state(&format!("0:blob:1:{MOST}")).with("AT", "0:Ready:kill").start();
    fleet.signal(fleet.first(), Signal::SIGUSR2);
    let successor = fleet.until("ready generation=1").pid();
    assert!(fleet.until("state generation=1 name=blob").is_whole(MOST as u64));
    fleet.stop(successor, 1);
}

// --------------------------------------------------------------------------------------------------------- final state

impl Line {
    fn is_whole(&self, length: u64) -> bool {
        (self.number("length"), &self["intact"]) == (length, "true")
    }
}

/// The successor has heard COMMIT and reads nothing more, until SIGCONT; this generation has let go. The successor's pid.
#[track_caller]
fn until_nobody_reads(fleet: &mut Fleet) -> i32 {
    fleet.signal(fleet.first(), Signal::SIGUSR2);
    let successor = fleet.until_held("Confirmed");
    fleet.until("ending generation=0 ");
    successor
}

fn slow_reader() -> Setup {
    with_final_state(&format!("0:blob:4:{MOST}")).with("AT", "1:Confirmed:hold")
}

#[test]
fn a_predecessor_with_nothing_else_to_drain_does_not_end_before_its_final_state_has_arrived() {
    let mut fleet = slow_reader().start();
    let successor = until_nobody_reads(&mut fleet);
    process::go_on(successor);
    let state = fleet.until("final generation=1 name=blob");
    assert!(state.number("version") == 4 && state.is_whole(MOST as u64), "{state:?}");
    let done = fleet.until("done generation=0");
    assert_eq!(["cut", "code"].map(|it| done.number(it)), [0, 0]);
    fleet.stop(successor, 1);
}

#[test]
fn a_final_state_that_nobody_takes_is_given_up_at_the_deadline_of_the_drain() {
    let mut fleet = slow_reader().with("RESTART_DEADLINE_MS", "400").start();
    let successor = until_nobody_reads(&mut fleet);
    let done = fleet.until("done generation=0");
    assert_eq!((done.number("code"), done.number("cut"), &done["lost"]), (0, 1, "false"));
    fleet.first_exit();
    process::go_on(successor);
    assert_eq!(&fleet.until("final generation=1 name=blob")["version"], "none");
    fleet.stop(successor, 1);
}

#[test]
fn a_successor_that_dies_while_the_final_state_comes_holds_nobody_up() {
    let mut fleet = slow_reader().start();
    let successor = until_nobody_reads(&mut fleet);
    fleet.signal(successor, Signal::SIGKILL);
    let done = fleet.until("done generation=0");
    assert_eq!((done.number("code"), &done["lost"]), (1, "true"));
    fleet.until_all_have_ended();
}

#[test]
fn a_successor_of_an_earlier_release_that_knows_no_final_state_is_told_none_and_not_waited_for() {
    let mut fleet = with_final_state(&format!("0:blob:4:{MOST}")).start();
    fake::release(&fleet.release, "take speak:1 READY hear:LET-GO linger");
    fleet.signal(fleet.first(), Signal::SIGUSR2);
    fleet.until("ending generation=0 ");
    let done = fleet.until("done generation=0");
    assert_eq!((done.number("code"), done.number("cut"), &done["lost"]), (0, 0, "false"));
}

/// Three answers by the first generation, two by the second, which is restarted before the first's count has come: it is
/// the provider of that one which waits. What the third knows in the end.
#[track_caller]
fn counted_by_all(goes_on: impl FnOnce(&mut Fleet, &Fifo)) -> u64 {
    let setup = with_final_state("0:count:1:wait+count,1:count:1:count");
    let hold = Fifo::new(setup.place().join("hold"));
    let mut fleet = setup.with("HOLD", hold.path()).start();
    let answered_by =
        |fleet: &Fleet, generation| assert_eq!(Client::connect(fleet.http).get("/").generation, generation);
    (0..3).for_each(|_| answered_by(&fleet, 0));
    let second = fleet.restart(0, fleet.first());
    fleet.until("asked generation=0 name=count");
    (0..2).for_each(|_| answered_by(&fleet, 1));
    let third = fleet.restart(1, second);
    // It has had its turn since it let go.
    fleet.signal(second, Signal::SIGUSR1);
    fleet.until("child generation=1");
    assert!(!fleet.has_heard("asked generation=1 name=count"), "a part of what it passes on is still to come");
    goes_on(&mut fleet, &hold);
    fleet.until("final generation=2 name=count version=1");
    fleet.stop(third, 2);
    fleet.until("count generation=2").number("all")
}

#[test]
fn a_restart_that_follows_closely_waits_with_its_final_state_for_the_one_before() {
    let count = counted_by_all(|fleet, hold| {
        hold.release();
        fleet.until("asked generation=1 name=count");
    });
    assert_eq!(count, 5);
}

#[test]
fn a_stop_waits_for_the_final_state_of_the_generation_before() {
    let setup = with_final_state("0:count:1:wait+count");
    let hold = Fifo::new(setup.place().join("hold"));
    let mut fleet = setup.with("HOLD", hold.path()).with("STOP_DEADLINE_MS", "600000").start();
    (0..3).for_each(|_| assert_eq!(Client::connect(fleet.http).get("/").generation, 0));
    let second = fleet.restart(0, fleet.first());
    fleet.until("asked generation=0 name=count");
    fleet.signal(second, Signal::SIGTERM);
    fleet.until("ending generation=1 ");
    // It has had its turn since, with nothing else to wait for.
    fleet.signal(second, Signal::SIGUSR1);
    fleet.until("child generation=1");
    assert!(!fleet.has_heard("done generation=1"), "what came before it is not lost");
    hold.release();
    assert_eq!(fleet.until("done generation=1").number("cut"), 0);
    fleet.until_all_have_ended();
}

#[test]
fn a_generation_that_dies_before_it_has_passed_its_final_state_is_not_waited_for() {
    let count = counted_by_all(|fleet, _| {
        fleet.signal(fleet.first(), Signal::SIGKILL);
        fleet.until("asked generation=1 name=count");
    });
    assert_eq!(count, 2, "without what only the dead one knew");
}

/// The others come, and both generations say why this one does not.
#[track_caller]
fn final_state_is_absent(deed: &str, why: &str) {
    let mut fleet = with_final_state(&format!("0:blob:1:{deed},0:other:1:7")).start();
    let successor = fleet.restart(0, fleet.first());
    assert_eq!(&fleet.until("final generation=1 name=blob")["version"], "none");
    assert!(fleet.until("final generation=1 name=other").is_whole(7));
    fleet.until("done generation=0");
    fleet.stop(successor, 1);
    fleet.until_all_have_ended();
    fleet.until_logged(why, 2);
}

#[test]
fn a_final_state_that_fails_is_absent_and_both_generations_log_why() {
    final_state_is_absent("fail", "failed: no space left");
}

#[test]
fn a_final_state_that_panics_is_absent_and_both_generations_log_why() {
    final_state_is_absent("panic", "panicked: never mind");
}

#[test]
fn a_final_state_that_is_too_large_is_absent_and_both_generations_log_why() {
    final_state_is_absent(&(MOST + 1).to_string(), "has 16777217 bytes, the limit is 16777216");
}

#[test]
fn a_final_state_is_not_asked_for_when_the_restart_fails() {
    let mut trial = Trial::of(with_final_state("0:blob:1:7"));
    trial.fleet.release.script("exit 3");
    trial.fails("Exited");
    assert!(!trial.fleet.has_heard("asked generation=0 name=blob"));
    trial.succeeds();
    trial.fleet.until("asked generation=0 name=blob");
}

#[test]
fn a_counter_goes_through_ten_restarts_under_load_and_counts_each_request_once() {
    let mut fleet = loads::server().with("FINAL", "*:count:1:count").start();
    fleet.until("final generation=0 name=count");
    let modes = [Mode::KeepAlive, Mode::Fresh].map(|mode: fn(Exchange) -> Mode| mode(Exchange::get()));
    let traffic = Traffic::on(modes.map(|mode| Load::new(fleet.http, mode).clients(4)));
    let (mut pid, mut late) = (fleet.first(), 0);
    let mut late_of = |fleet: &mut Fleet, generation: u64| {
        fleet.until(&format!("done generation={generation}"));
        let count = fleet.until(&format!("count generation={generation}"));
        late += count.number("all") - count.number("passed");
    };
    for generation in 0..10 {
        traffic.reach(2);
        pid = fleet.restart(generation, pid);
        // What this one passes on is to be everything, so it has to know all of it.
        let state = fleet.until(&format!("final generation={} name=count", generation + 1));
        assert_eq!(state.number("length"), 8);
        late_of(&mut fleet, generation);
    }
    let tallies = traffic.off();
    fleet.signal(pid, Signal::SIGTERM);
    // As documented: what connections that drain still do after the state was taken is not in it. The last one passes
    // nothing on, so that all is late there.
    late_of(&mut fleet, 10);
    tallies.iter().for_each(|tally| assert_eq!(tally.lost(), 0, "{tally}"));
    let answered: u64 = tallies.iter().map(|tally| tally.answered()).sum();
    assert_eq!(late, answered);
}

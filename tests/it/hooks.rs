//! What the application does at the moments of a restart and of an end, and what follows when it fails there.

use load::{Exchange, Load, Mode};
use nix::sys::signal::Signal;
use tokio_hotrestart::ErrorKind;

use crate::{
    fake, load as loads,
    support::{
        Clients, Control, Fifo, Fleet, Orders, Setup, Trial,
        echo::{Client, echo},
        process,
    },
};

/// A deadline that a hook meets soon which hangs, and no other does on a slow machine.
const SOON: &str = "1000";

/// One that nothing meets: what ends before it has another reason to.
const NEVER: &str = "600000";

fn with_hooks(hooks: &str, deadline: &str) -> Setup {
    Setup::new().with("HOOKS", hooks).with("HOOK_DEADLINE_MS", deadline)
}

/// The deadline that these hooks need.
fn for_these(hooks: &str) -> &'static str {
    if hooks.contains("hang") { SOON } else { NEVER }
}

/// A server that asks for a restart and has come to this hook.
fn at_the_hook(setup: Setup, begun: &str) -> Fleet {
    let mut fleet = setup.start();
    fleet.ask(fleet.first());
    fleet.until(begun);
    fleet
}

// --------------------------------------------------------------------------------------------------- before a successor

/// This restart fails for this reason, no successor is started, and the next one works.
#[track_caller]
fn is_refused(hooks: &str, why: &str) {
    let mut trial = Trial::of(with_hooks(hooks, for_these(hooks)));
    assert_eq!(trial.fails("Hook"), why);
    assert!(!trial.fleet.has_heard("started generation=1"));
    trial.succeeds();
}

#[test]
fn a_restart_that_a_hook_refuses_fails_with_its_reason_and_the_next_works() {
    is_refused("0:before_spawn:disk:fail/ok", "the hook `disk` refused the restart: no space left");
}

#[test]
fn a_restart_whose_hook_hangs_fails_at_its_deadline_and_the_next_works() {
    is_refused("0:before_spawn:disk:hang/ok", "the hook `disk` was not done within 1s");
}

#[test]
fn a_restart_whose_hook_panics_fails_with_the_panic_and_the_next_works() {
    is_refused("0:before_spawn:disk:panic/ok", "the hook `disk` panicked: never mind");
    is_refused("0:before_spawn:disk:burst/ok", "the hook `disk` panicked: no future");
}

#[test]
fn after_a_hook_that_refuses_no_other_is_asked() {
    let mut trial =
        Trial::of(with_hooks("0:before_spawn:one:ok,0:before_spawn:two:fail/ok,0:before_spawn:three:ok", NEVER));
    trial.fails("Hook");
    assert!(trial.fleet.has_heard("through generation=0 moment=before_spawn name=one"));
    assert!(!trial.fleet.has_heard("begun generation=0 moment=before_spawn name=three"));
    trial.succeeds();
}

#[test]
fn an_operator_at_the_control_path_is_told_why_a_hook_refuses() {
    let at = Control::new();
    let mut first = at.setup().with("HOOKS", "0:before_spawn:disk:fail/ok").start();
    let error = at.restart().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Hook);
    assert_eq!(error.message(), "the hook `disk` refused the restart: no space left");
    assert_eq!(at.now(), (0, "ready".into()));
    let last = at.status().last_restart.unwrap().outcome.unwrap_err();
    assert_eq!((last.kind(), last.message()), (error.kind(), error.message()));
    at.restart().unwrap();
    first.until("done generation=0");
}

#[test]
fn a_successor_that_came_by_itself_is_turned_away_when_a_hook_refuses() {
    let at = Control::new();
    let mut first = at.setup().with("HOOKS", "0:before_spawn:disk:fail/ok").start();
    let clients = Clients::on(&first);
    let mut second = at.setup().spawn();
    assert_eq!(second.first_exit().code(), Some(20));
    second.until_logged("not started: the hook `disk` refused the restart: no space left", 1);
    clients.until_served();
    assert_eq!(at.now(), (0, "ready".into()));
    let mut third = at.setup().spawn();
    third.until("ready generation=1");
    first.until("done generation=0");
    clients.off();
}

/// Two come by themselves while the hook of the first one's restart waits: the second is told so at once, and with the first
/// becomes what the hook says.
#[track_caller]
fn of_two_that_come_while_a_hook_is_asked(
    deeds: &str,
    of_the_first: impl FnOnce(&Control, &mut Fleet, Fleet) -> Fleet,
) {
    let at = Control::new();
    let hold = Fifo::new(at.path().with_extension("hold"));
    let hooks = format!("0:before_spawn:disk:{deeds}");
    let setup = at.setup().with("HOOKS", hooks).with("HOOK_DEADLINE_MS", NEVER).with("HOLD", hold.path());
    let mut first = setup.start();
    let clients = Clients::on(&first);
    let second = at.setup().spawn();
    first.until("begun generation=0 moment=before_spawn name=disk");
    let mut third = at.setup().spawn();
    assert_eq!(third.first_exit().code(), Some(20));
    third.until_logged("not started: a restart is under way already", 1);
    clients.until_served();
    hold.release();
    let _serves = of_the_first(&at, &mut first, second);
    clients.until_served();
    clients.off();
    assert!(!first.log().contains("panicked"), "{}", first.log());
}

#[test]
fn of_two_that_come_while_a_hook_is_asked_the_first_takes_over_and_the_second_is_told_that_it_is_too_late() {
    of_two_that_come_while_a_hook_is_asked("wait", |at, first, mut second| {
        second.until("ready generation=1");
        assert_eq!(first.until("done generation=0").number("code"), 0);
        assert_eq!(at.now(), (1, "ready".into()));
        second
    });
}

#[test]
fn of_two_that_come_while_a_hook_is_asked_the_first_is_told_why_the_hook_refuses() {
    of_two_that_come_while_a_hook_is_asked("wait+fail/ok", |at, first, mut second| {
        assert_eq!(second.first_exit().code(), Some(20));
        second.until_logged("not started: the hook `disk` refused the restart: no space left", 1);
        assert_eq!(at.now(), (0, "ready".into()));
        // Who comes now finds nobody in its way.
        let mut next = at.setup().spawn();
        next.until("ready generation=1");
        first.until("done generation=0");
        next
    });
}

#[test]
fn who_asks_while_a_hook_is_asked_joins_that_restart() {
    let mut fleet = with_hooks("0:before_spawn:disk:300", NEVER).start();
    fleet.ask(fleet.first());
    fleet.until("begun generation=0 moment=before_spawn");
    fleet.ask(fleet.first());
    let successor = fleet.until("ready generation=1").pid();
    for _ in 0..2 {
        assert_eq!(fleet.answer(0), format!("replaced by {successor}"));
    }
}

#[test]
fn a_stop_while_a_hook_is_asked_ends_the_restart_before_it_began() {
    let mut fleet =
        at_the_hook(with_hooks("0:before_spawn:disk:hang", NEVER), "begun generation=0 moment=before_spawn");
    fleet.signal(fleet.first(), Signal::SIGTERM);
    assert!(fleet.answer(0).starts_with("Ending: "));
    assert_eq!(fleet.until("done generation=0").number("code"), 0);
    fleet.until_all_have_ended();
    fleet.until_logged("started generation=1", 0);
}

#[test]
fn while_too_many_drain_neither_a_hook_nor_a_provider_is_asked() {
    let setup = with_hooks("0:before_spawn:disk:ok", NEVER).with("STATE", "0:blob:1:7").with("MAX_DRAINING", "0");
    let mut fleet = setup.start();
    fleet.ask(fleet.first());
    assert_eq!(fleet.answer(0), "Busy: 0 earlier generations are still draining");
    assert!(!fleet.has_heard("begun generation=0 moment=before_spawn"));
    assert!(!fleet.has_heard("asked generation=0 name=blob"));
}

// -------------------------------------------------------------------------------------------- between READY and COMMIT

#[test]
fn a_release_runs_when_the_successor_is_ready_and_before_it_is_confirmed() {
    let (fifo, setup) = Fifo::before_ready();
    let mut fleet = setup.with("HOOKS", "0:before_commit:lock:50,0:before_commit:cron:ok").spawn();
    fifo.release();
    let first = fleet.greet();
    fleet.signal(first, Signal::SIGUSR2);
    fleet.until("waiting generation=1");
    assert!(!fleet.has_heard("begun generation=0 moment=before_commit name=lock"));
    fifo.release();
    fleet.until("ready generation=1");
    assert!(fleet.has_heard("through generation=0 moment=before_commit name=lock"));
    assert!(fleet.has_heard("through generation=0 moment=before_commit name=cron"));
    assert!(!fleet.has_heard("begun generation=0 moment=undo name=lock"), "nothing is taken back");
}

/// Without the successor's own.
fn first_words(answer: &str) -> &str {
    answer.split("; it last wrote").next().unwrap_or_default()
}

/// The successor is killed, what was begun is undone, the latest first, then whoever asked is told; and the next restart works.
#[track_caller]
fn is_taken_back(deeds: &str, why: &str) {
    let hooks = format!("0:before_commit:cron:ok,0:before_commit:lock:{deeds},0:before_commit:last:ok");
    let mut trial = Trial::of(with_hooks(&hooks, for_these(&hooks)));
    assert_eq!(first_words(&trial.fails("Hook")), why);
    // Its successor is dead by then, and was never confirmed; and what comes after the one that failed was not begun.
    trial.fleet.has_heard_in_order(&[
        "begun generation=0 moment=undo name=lock alone=true",
        "through generation=0 moment=undo name=lock",
        "begun generation=0 moment=undo name=cron alone=true",
        "through generation=0 moment=undo name=cron",
    ]);
    assert!(!trial.fleet.has_heard("ready generation=1"));
    assert!(!trial.fleet.has_heard("begun generation=0 moment=undo name=last"));
    trial.succeeds();
}

#[test]
fn a_release_that_fails_is_undone_and_the_restart_taken_back() {
    is_taken_back("fail/ok", "the hook `lock` failed: no space left");
}

#[test]
fn a_release_that_hangs_is_undone_and_the_restart_taken_back() {
    is_taken_back("hang/ok", "the hook `lock` was not done within 1s");
}

#[test]
fn a_release_that_panics_is_undone_and_the_restart_taken_back() {
    is_taken_back("panic/ok", "the hook `lock` panicked: never mind");
}

#[test]
fn undos_run_the_other_way_round() {
    let hooks = "0:before_commit:one:ok,0:before_commit:two:ok,0:before_commit:three:fail/ok";
    let mut trial = Trial::of(with_hooks(hooks, for_these(hooks)));
    trial.fails("Hook");
    let undone = ["three", "two", "one"].map(|name| format!("through generation=0 moment=undo name={name}"));
    trial.fleet.has_heard_in_order(&undone.each_ref().map(String::as_str));
    trial.succeeds();
}

/// Whoever asked is told both, and its undo's failure is in the report at the end.
#[track_caller]
fn serves_on_without_it(undo: &str, why: &str) {
    let hooks = format!("0:before_commit:one:ok,0:before_commit:two:fail/ok;{undo}/ok");
    let mut trial = Trial::of(with_hooks(&hooks, for_these(&hooks)));
    let both = format!("the hook `two` failed: no space left; and {why}");
    assert_eq!(first_words(&trial.fails("Hook")), both);
    assert!(trial.fleet.has_heard("through generation=0 moment=undo name=one"), "the others are undone all the same");
    trial.fleet.restart(0, trial.fleet.first());
    let done = trial.fleet.until("done generation=0");
    assert_eq!((done.number("code"), &done["failures"]), (0, why.replace(' ', "_").as_str()));
    assert_eq!(&done["clean"], "false");
}

#[test]
fn an_undo_that_fails_is_in_the_report() {
    serves_on_without_it("fail", "the undo of the hook `two` failed: no space left");
}

#[test]
fn an_undo_that_hangs_is_in_the_report() {
    serves_on_without_it("hang", "the undo of the hook `two` was not done within 1s");
}

#[test]
fn an_undo_that_panics_is_in_the_report() {
    serves_on_without_it("panic", "the undo of the hook `two` panicked: never mind");
}

#[test]
fn an_operator_is_told_what_could_not_be_taken_back_with_what_made_it_necessary() {
    let at = Control::new();
    let hooks = "0:before_commit:one:ok;fail/ok,0:before_commit:two:fail/ok;panic/ok";
    let mut first = at.setup().with("HOOKS", hooks).start();
    let error = at.restart().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Hook);
    // In the order in which it was tried.
    let undone =
        "; and the undo of the hook `two` panicked: never mind; and the undo of the hook `one` failed: no space left";
    assert_eq!(error.message(), format!("the hook `two` failed: no space left{undone}"));
    let last = at.status().last_restart.unwrap().outcome.unwrap_err();
    assert_eq!((last.kind(), last.message()), (error.kind(), error.message()));
    assert_eq!(at.now(), (0, "ready".into()));
    at.restart().unwrap();
    first.until("done generation=0");
}

// ------------------------------------------------------------------------------------------- a successor that fails then

/// Long enough that it is not over before a successor in it was ended, on a slow machine as well.
const PROBATION: &str = "3000";

const RELEASED: &str = "begun generation=0 moment=before_commit name=lock";

/// Asks for a restart, has the successor end in this way, and sees that the undo runs when it is dead, and the answer comes
/// after that. What the answer is.
#[track_caller]
fn undone(mut fleet: Fleet, ends: impl FnOnce(&mut Fleet)) -> String {
    fleet.ask(fleet.first());
    ends(&mut fleet);
    let answer = fleet.answer(0);
    fleet.has_heard_in_order(&[
        "begun generation=0 moment=undo name=lock alone=true",
        "through generation=0 moment=undo name=lock",
    ]);
    echo(fleet.echo).unwrap();
    fleet.release.good();
    fleet.restart(0, fleet.first());
    fleet.until("done generation=0");
    echo(fleet.echo).unwrap();
    answer
}

/// While a release runs, and would run for ever: it is called off before it is undone.
#[track_caller]
fn undone_while_it_is_released(ends: impl FnOnce(&mut Fleet)) -> String {
    let fleet = with_hooks("0:before_commit:lock:hang/ok", NEVER).start();
    undone(fleet, |fleet| {
        ends(fleet);
        let dropped = "dropped generation=0 moment=before_commit name=lock";
        fleet.until(dropped);
        assert!(!fleet.has_heard("begun generation=0 moment=undo"));
    })
}

fn on_probation() -> Setup {
    with_hooks("0:before_commit:lock:ok", NEVER).with("PROBATION_MS", PROBATION)
}

#[test]
fn a_release_is_called_off_and_undone_when_the_successor_is_killed() {
    let answer = undone_while_it_is_released(|fleet| {
        let successor = fleet.until("started generation=1").pid();
        fleet.until(RELEASED);
        fleet.signal(successor, Signal::SIGKILL);
    });
    assert!(answer.starts_with("Killed: "), "{answer}");
}

#[test]
fn a_release_is_called_off_and_undone_when_the_successor_exits() {
    let fleet = with_hooks("0:before_commit:lock:hang/ok", NEVER).start();
    let fifo = Fifo::new(fleet.path("fifo"));
    fake::release(&fleet.release, &format!("take ACCEPTED READY await:{} exit:9", fifo.path().display()));
    let answer = undone(fleet, |fleet| {
        fleet.until(RELEASED);
        fifo.release();
    });
    assert!(answer.starts_with("Exited: "), "{answer}");
}

#[test]
fn what_was_released_is_undone_when_the_successor_exits_on_probation() {
    let fleet = on_probation().start();
    fake::release(&fleet.release, "take ACCEPTED READY hear:COMMIT exit:9");
    let answer = undone(fleet, |_| {});
    assert!(answer.starts_with("Probation: "), "{answer}");
}

#[test]
fn what_was_released_is_undone_when_the_successor_is_killed_on_probation() {
    let answer = undone(on_probation().start(), |fleet| {
        let successor = fleet.until("ready generation=1").pid();
        fleet.signal(successor, Signal::SIGKILL);
    });
    assert!(answer.starts_with("Probation: "), "{answer}");
}

#[test]
fn what_was_released_is_undone_when_the_successor_aborts_on_probation() {
    let answer = undone(on_probation().start(), |fleet| {
        let successor = fleet.until("ready generation=1").pid();
        fleet.signal(successor, Signal::SIGABRT);
    });
    assert!(answer.starts_with("Probation: "), "{answer}");
}

#[test]
fn what_was_released_is_undone_when_a_successor_at_the_control_path_dies() {
    let at = Control::new();
    let setup = at.setup().with("HOOKS", "0:before_commit:lock:ok").with("PROBATION_MS", PROBATION);
    let mut first = setup.start();
    let mut second = at.setup().spawn();
    let successor = second.until("ready generation=1").pid();
    second.signal(successor, Signal::SIGKILL);
    first.until("through generation=0 moment=undo name=lock");
    process::until(|| at.now() == (0, "ready".into()));
    echo(first.echo).unwrap();
    first.stop(first.first(), 0);
}

#[test]
fn a_predecessor_that_is_killed_while_it_releases_leaves_a_successor_that_serves() {
    let mut fleet = at_the_hook(with_hooks("0:before_commit:lock:hang", NEVER), RELEASED);
    fleet.signal(fleet.first(), Signal::SIGKILL);
    let successor = fleet.until("ready generation=1").pid();
    let clients = Clients::on(&fleet);
    clients.off();
    fleet.stop(successor, 1);
    fleet.until_all_have_ended();
}

#[test]
fn a_stop_while_a_release_runs_ends_both() {
    let mut fleet = at_the_hook(with_hooks("0:before_commit:lock:hang", NEVER), RELEASED);
    fleet.signal(fleet.first(), Signal::SIGTERM);
    assert!(fleet.answer(0).starts_with("Ending: "));
    assert_eq!(fleet.until("done generation=0").number("code"), 0);
    let lines = fleet.until_all_have_ended();
    assert!(!lines.iter().any(|line| line.says("ready generation=1")), "{lines:#?}");
    fleet.until_logged("a hook was dropped in its middle: this generation ends hook=\"lock\"", 1);
}

#[test]
fn a_stop_while_an_undo_runs_ends_with_the_answer() {
    let mut fleet =
        at_the_hook(with_hooks("0:before_commit:lock:fail;hang", NEVER), "begun generation=0 moment=undo name=lock");
    fleet.signal(fleet.first(), Signal::SIGTERM);
    assert_eq!(first_words(&fleet.answer(0)), "Hook: the hook `lock` failed: no space left");
    assert_eq!(fleet.until("done generation=0").number("code"), 0);
    fleet.until_all_have_ended();
}

// ------------------------------------------------------------------------------------------------ after the predecessor

const AFTERWARDS: &str = "begun generation=1 moment=after_predecessor name=spool";

#[test]
fn the_first_generation_has_no_predecessor_to_wait_for_and_the_second_waits_once() {
    let mut fleet = with_hooks("*:after_predecessor:spool:ok", NEVER).start();
    let successor = fleet.restart(0, fleet.first());
    fleet.until("done generation=0");
    assert!(!fleet.has_heard(AFTERWARDS), "the predecessor is still there");
    fleet.until(AFTERWARDS);
    fleet.stop(successor, 1);
    let lines = fleet.until_all_have_ended();
    assert_eq!(lines.iter().filter(|line| line.says("begun ")).count(), 0, "{lines:#?}");
}

#[test]
fn what_waits_for_the_predecessors_end_waits_for_its_process() {
    let mut fleet = with_hooks("*:after_predecessor:spool:ok", NEVER).with("LINGER", "yes").start();
    let first = fleet.first();
    let successor = fleet.restart(0, first);
    // It has drained, and does something else before it ends.
    fleet.until("lingering generation=0");
    fleet.signal(successor, Signal::SIGUSR1);
    fleet.until("child generation=1");
    assert!(!fleet.has_heard(AFTERWARDS));
    fleet.signal(first, Signal::SIGKILL);
    fleet.until(AFTERWARDS);
    fleet.signal(successor, Signal::SIGTERM);
    fleet.until("lingering generation=1");
    fleet.signal(successor, Signal::SIGKILL);
}

#[test]
fn a_predecessor_that_is_killed_while_it_drains_is_gone_too() {
    let mut fleet = with_hooks("1:after_predecessor:spool:ok", NEVER).start();
    let client = Client::served(fleet.echo);
    let successor = fleet.restart(0, fleet.first());
    assert!(!fleet.has_heard(AFTERWARDS));
    fleet.signal(fleet.first(), Signal::SIGKILL);
    fleet.until(AFTERWARDS);
    drop(client);
    fleet.stop(successor, 1);
}

#[test]
fn what_is_registered_when_the_predecessor_is_gone_runs_at_once() {
    let (orders, setup) = Orders::to(1, with_hooks("1:after_predecessor:spool:ok", NEVER));
    let mut fleet = setup.start();
    let successor = fleet.restart(0, fleet.first());
    fleet.until(AFTERWARDS);
    orders.give(&mut fleet, "hook 1:after_predecessor:late:ok");
    fleet.until("through generation=1 moment=after_predecessor name=late");
    fleet.stop(successor, 1);
    let lines = fleet.until_all_have_ended();
    assert!(!lines.iter().any(|line| line.says(AFTERWARDS)), "once, {lines:#?}");
}

#[test]
fn what_fails_after_the_predecessor_is_in_the_report_and_the_others_run() {
    let hooks = "1:after_predecessor:one:panic,1:after_predecessor:two:fail,1:after_predecessor:spool:ok";
    let mut fleet = with_hooks(hooks, NEVER).start();
    let successor = fleet.restart(0, fleet.first());
    fleet.until("through generation=1 moment=after_predecessor name=spool");
    fleet.signal(successor, Signal::SIGTERM);
    let done = fleet.until("done generation=1");
    let expected = "the_hook_`one`_panicked:_never_mind,the_hook_`two`_failed:_no_space_left";
    assert_eq!((done.number("code"), &done["failures"]), (0, expected));
}

#[test]
fn a_stop_while_a_hook_waits_after_the_predecessor_ends() {
    let mut fleet = with_hooks("1:after_predecessor:spool:hang", NEVER).start();
    let successor = fleet.restart(0, fleet.first());
    fleet.until(AFTERWARDS);
    fleet.stop(successor, 1);
    fleet.until_all_have_ended();
}

// ------------------------------------------------------------------------------------------------------------- at exit

const AT_EXIT: &str = "*:at_exit:one:20,*:at_exit:two:ok,*:at_exit:three:ok";

#[track_caller]
fn ran_in_order(fleet: &Fleet, generation: u64) {
    let lines = ["one", "two", "three"].map(|name| {
        let what = format!("generation={generation} moment=at_exit name={name}");
        [format!("begun {what}"), format!("through {what}")]
    });
    let lines: Vec<_> = lines.iter().flatten().map(String::as_str).collect();
    fleet.has_heard_in_order(&lines);
}

#[test]
fn exit_hooks_run_in_order_at_a_restart_as_at_a_stop_and_before_the_drain_is_over() {
    let mut fleet = with_hooks(AT_EXIT, NEVER).start();
    let successor = fleet.restart(0, fleet.first());
    fleet.until("done generation=0");
    ran_in_order(&fleet, 0);
    fleet.stop(successor, 1);
    ran_in_order(&fleet, 1);
}

#[test]
fn exit_hooks_wait_until_everything_is_drained() {
    let mut fleet = with_hooks(AT_EXIT, NEVER).start();
    let mut client = Client::served(fleet.echo);
    fleet.signal(fleet.first(), Signal::SIGTERM);
    fleet.until("ending generation=0 ");
    client.line().unwrap();
    assert!(!fleet.has_heard("begun generation=0 moment=at_exit"));
    drop(client);
    fleet.until("done generation=0");
    ran_in_order(&fleet, 0);
}

/// The others run all the same, and the end is told so.
#[track_caller]
fn fails_at_exit(deed: &str, why: &str) {
    let hooks = format!("0:at_exit:one:{deed},0:at_exit:two:ok");
    let mut fleet = with_hooks(&hooks, for_these(&hooks)).start();
    fleet.signal(fleet.first(), Signal::SIGTERM);
    let done = fleet.until("done generation=0");
    assert!(fleet.has_heard("through generation=0 moment=at_exit name=two"));
    assert_eq!((done.number("code"), &done["failures"]), (0, why.replace(' ', "_").as_str()));
    assert_eq!(&done["clean"], "false");
    fleet.until_all_have_ended();
    assert_eq!(fleet.first_exit().code(), Some(0), "to start it again would mend nothing");
}

#[test]
fn an_exit_hook_that_fails_is_in_the_report() {
    fails_at_exit("fail", "the hook `one` failed: no space left");
}

#[test]
fn an_exit_hook_that_panics_is_in_the_report() {
    fails_at_exit("panic", "the hook `one` panicked: never mind");
}

#[test]
fn an_exit_hook_that_hangs_is_ended_at_its_deadline_and_in_the_report() {
    fails_at_exit("hang", "the hook `one` was not done within 1s");
}

#[test]
fn a_second_stop_ends_an_exit_hook_that_hangs() {
    let mut fleet = with_hooks("0:at_exit:one:hang,0:at_exit:two:ok", NEVER).start();
    fleet.signal(fleet.first(), Signal::SIGTERM);
    fleet.until("begun generation=0 moment=at_exit name=one");
    fleet.signal(fleet.first(), Signal::SIGTERM);
    let done = fleet.until("done generation=0");
    let expected = "the_exit_hooks_were_called_off_by_a_second_stop";
    assert_eq!((done.number("code"), &done["clean"], &done["failures"]), (0, "false", expected));
    assert!(!fleet.has_heard("begun generation=0 moment=at_exit name=two"));
    fleet.until_all_have_ended();
}

// ------------------------------------------------------------------------------------------------------------ under load

#[test]
fn restarts_whose_hooks_take_their_time_lose_nothing() {
    let moments = ["before_spawn", "before_commit", "after_predecessor", "at_exit"];
    let hooks = moments.map(|moment| format!("*:{moment}:slow:300")).join(",");
    let modes = [Mode::KeepAlive, Mode::Fresh].map(|mode: fn(Exchange) -> Mode| mode(Exchange::get()));
    let load = |fleet: &mut Fleet| modes.map(|mode| Load::new(fleet.http, mode).clients(4)).into();
    loads::survive(loads::server().with("HOOKS", hooks), load);
}

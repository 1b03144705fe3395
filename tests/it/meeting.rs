//! Servers that are started by anybody, and meet at a path: the second takes over from the first.

use std::{
    fs::File,
    os::{
        fd::{AsFd, AsRawFd, RawFd},
        unix::{
            net::{UnixListener, UnixStream},
            process::ExitStatusExt,
        },
    },
    path::Path,
    process::Command,
    time::Duration,
};

use nix::{
    fcntl::{Flock, FlockArg},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::Signal,
};
use tokio_hotrestart::ErrorKind;

use crate::support::{
    Clients, Control, Fifo, Fleet, Footprint, Outcomes, Setup,
    control::{self, Prober, wait},
    echo::{Client, Load, echo},
    frames::Wire,
    not_run, process,
};

/// What the server ends with when it was refused a start.
const NOT_STARTED: i32 = 20;

/// A probation that ends by what the test does, and never by a slow machine.
const ENDLESS: &str = "60000";

/// Starts another server at the path, and waits until it has taken over as generation `number` and its predecessor has let
/// go.
#[track_caller]
fn takes_over(setup: Setup, number: u64, from: &mut Fleet) -> Fleet {
    let mut fleet = setup.spawn();
    let ready = fleet.until(&format!("ready generation={number}"));
    (fleet.http, fleet.echo) = (ready["http"].parse().unwrap(), ready["echo"].parse().unwrap());
    from.until(&format!("ending generation={} ", number - 1));
    fleet
}

/// A server that was refused: it has said so, and has ended.
#[track_caller]
fn is_refused(mut fleet: Fleet, why: &str) {
    fleet.until_all_have_ended();
    assert_eq!(fleet.first_exit().code(), Some(NOT_STARTED), "{}", fleet.log());
    fleet.until_logged(&format!("not started: {why}"), 1);
}

/// The last one ends, and nothing is left at the path.
#[track_caller]
fn ends(mut fleet: Fleet, number: u64, at: &Control) {
    fleet.stop(fleet.first(), number);
    fleet.until_all_have_ended();
    assert!(!at.path().exists(), "{}", fleet.log());
}

// ----------------------------------------------------------------------------------------------------------- takes over

#[test]
fn each_server_takes_over_from_the_one_before_and_nobody_notices() {
    let at = Control::new();
    let mut fleet = at.start();
    let clients = Clients::on(&fleet);
    let prober = Prober::on(at.path());
    let (file, sockets) = (process::file(&at.path()), process::listening(fleet.first()));
    for number in 1..4 {
        let next = takes_over(at.setup(), number, &mut fleet);
        assert_eq!(process::listening(next.first()), sockets, "the very same");
        assert_eq!(fleet.until(&format!("done generation={}", number - 1)).number("code"), 0);
        assert!(fleet.first_exit().success());
        clients.until_served();
        assert_eq!(process::file(&at.path()), file, "neither bound anew nor removed");
        assert_eq!(at.now(), (number, "ready".into()));
        fleet = next;
    }
    prober.off();
    clients.off();
    ends(fleet, 3, &at);
}

#[test]
fn the_predecessor_drains_in_its_own_time() {
    let at = Control::new();
    let mut first = at.start();
    let mut client = Client::served(first.echo);
    let second = takes_over(at.setup(), 1, &mut first);
    client.line().expect("its own generation serves it");
    drop(client);
    assert_eq!(first.until("done generation=0").number("cut"), 0);
    first.until_all_have_ended();
    ends(second, 1, &at);
}

#[test]
fn one_that_has_met_its_predecessor_restarts_by_exec_and_is_met_again() {
    let at = Control::new();
    let mut first = at.start();
    let clients = Clients::on(&first);
    let prober = Prober::on(at.path());
    let file = process::file(&at.path());
    let mut second = takes_over(at.setup(), 1, &mut first);
    let spawned = second.restart(1, second.first());
    assert_eq!((at.now(), at.status().pid), ((2, "ready".into()), spawned as u32));
    let mut fourth = at.setup().spawn();
    fourth.until("ready generation=3");
    second.until("ending generation=2 ");
    clients.until_served();
    let fifth = fourth.restart(3, fourth.first());
    clients.until_served();
    assert_eq!(process::file(&at.path()), file);
    prober.off();
    clients.off();
    fourth.stop(fifth, 4);
    for fleet in [&mut first, &mut second, &mut fourth] {
        fleet.until_all_have_ended();
    }
    assert!(!at.path().exists());
}

#[test]
fn an_abstract_name_is_a_path_like_any_other() {
    let at = Control::new();
    let name = format!("@{}", at.path().display());
    let setup = || Setup::new().with("CONTROL", &name);
    let mut first = setup().start();
    let mut second = takes_over(setup(), 1, &mut first);
    assert_eq!(control::status(name.as_ref()).generation, 1);
    second.stop(second.first(), 1);
    let gone = wait(tokio_hotrestart::control::status(&name)).unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::Nobody);
}

// ----------------------------------------------------------------------------------------------------------- is refused

#[test]
fn of_two_at_once_one_takes_over_and_the_other_is_told_that_it_is_too_late() {
    let at = Control::new();
    let mut first = at.start();
    let clients = Clients::on(&first);
    let mut second = at.setup().with("AT", "1:SayReady:hold").spawn();
    let held = second.until_held("SayReady");
    is_refused(at.setup().spawn(), "a restart is under way already");
    process::go_on(held);
    second.until("ready generation=1");
    clients.until_served();
    clients.off();
    first.until_all_have_ended();
    ends(second, 1, &at);
}

/// Held by nothing: whoever comes second is refused, or comes so late that it takes over from the first.
#[test]
fn of_many_at_once_each_takes_over_or_is_refused_and_one_serves_in_the_end() {
    let at = Control::new();
    let setup = || at.setup().with("PROBATION_MS", "1");
    let mut first = setup().start();
    let clients = Clients::on(&first);
    let mut fleets: Vec<_> = (0..4).map(|_| setup().spawn()).collect();
    process::until(|| fleets.iter().filter(|fleet| Fleet::lives(fleet.first())).count() == 1);
    first.until_all_have_ended();
    clients.until_served();
    clients.off();
    assert_eq!(at.now().1, "ready");
    at.stop().unwrap();
    for fleet in &mut fleets {
        fleet.until_all_have_ended();
        if fleet.first_exit().code() == Some(NOT_STARTED) {
            fleet.until_logged("not started: a restart is under way already", 1);
        } else {
            assert!(fleet.first_exit().success(), "{}", fleet.log());
        }
    }
}

#[test]
fn a_server_that_is_not_ready_is_not_taken_over() {
    let at = Control::new();
    let fifo = Fifo::new(at.path().with_extension("fifo"));
    let mut first = at.setup().with("FIFO", fifo.path()).spawn();
    first.until("waiting generation=0");
    is_refused(at.setup().spawn(), "this generation is not ready");
    fifo.release();
    first.until("ready generation=0");
    let second = takes_over(at.setup(), 1, &mut first);
    ends(second, 1, &at);
}

#[test]
fn a_server_that_ends_is_not_taken_over() {
    let at = Control::new();
    let mut first = at.start();
    let client = Client::served(first.echo);
    first.signal(first.first(), Signal::SIGTERM);
    first.until("ending generation=0 ");
    is_refused(at.setup().spawn(), "this generation is ending");
    drop(client);
    first.until_all_have_ended();
    ends(at.start(), 0, &at);
}

#[test]
fn while_too_many_drain_nobody_takes_over() {
    let at = Control::new();
    let setup = || at.setup().with("MAX_DRAINING", "1");
    let mut first = setup().start();
    let client = Client::served(first.echo);
    let mut second = takes_over(setup(), 1, &mut first);
    is_refused(setup().spawn(), "1 earlier generations are still draining");
    assert_eq!(at.now(), (1, "ready".into()));
    drop(client);
    first.until_all_have_ended();
    let third = takes_over(setup(), 2, &mut second);
    ends(third, 2, &at);
}

// -------------------------------------------------------------------------------------------------------------- nobody

#[test]
fn after_a_crash_the_next_one_is_the_first_and_binds_the_path_anew() {
    let at = Control::new();
    let mut first = at.start();
    first.signal(first.first(), Signal::SIGKILL);
    first.until_all_have_ended();
    assert!(at.path().exists(), "left behind");
    let second = at.start();
    assert_eq!((at.now(), at.status().pid), ((0, "ready".into()), second.first() as u32));
    ends(second, 0, &at);
}

#[test]
fn of_two_first_ones_at_once_one_is_the_first_and_the_other_its_successor_or_refused() {
    for left_behind in [false, true, false, true] {
        let at = Control::new();
        if left_behind {
            drop(UnixListener::bind(at.path()).unwrap());
        }
        let mut fleets = [at.setup().spawn(), at.setup().spawn()];
        process::until(|| fleets.iter().filter(|fleet| Fleet::lives(fleet.first())).count() == 1);
        process::until(|| at.now().1 == "ready");
        let status = at.status();
        at.stop().unwrap();
        let mut served = 0;
        for fleet in &mut fleets {
            let lines = fleet.until_all_have_ended();
            let begun = lines.iter().filter(|line| line.says("ready generation=0")).count();
            served += begun;
            match fleet.first_exit().code() {
                Some(0) => {}
                Some(NOT_STARTED) => fleet.until_logged("not started: this generation is not ready", 1),
                other => panic!("{other:?}: {}", fleet.log()),
            }
        }
        assert_eq!(served, 1, "one generation 0: {status:?}");
        assert!(!at.path().exists());
    }
}

/// The other one has the lock, and does not listen yet.
#[test]
fn a_first_one_waits_for_another_that_is_just_binding_the_path() {
    let at = Control::new();
    let beside = at.path().with_extension("lock");
    let lock = Flock::lock(File::create(&beside).unwrap(), FlockArg::LockExclusive).unwrap();
    let mut fleet = at.setup().spawn();
    let waits = || {
        let threads = std::fs::read_dir(format!("/proc/{}/task", fleet.first())).unwrap();
        let names = threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("comm")).ok());
        names.filter(|name| name.trim_end() == "hotrestart-lock").count() == 1
    };
    process::until(waits);
    std::fs::remove_file(&beside).unwrap();
    drop(lock);
    fleet.greet();
    ends(fleet, 0, &at);
}

/// Another server listens there when this one comes, and ends so. `cleans`: it removes the path, as one that is stopped does.
#[track_caller]
fn whoever_was_found_ends(cleans: bool, ends: impl FnOnce(UnixListener)) {
    let at = Control::new();
    let listener = UnixListener::bind(at.path()).unwrap();
    let mut fleet = at.setup().spawn();
    let comes = || poll(&mut [PollFd::new(listener.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO) == Ok(1);
    process::until(comes);
    if cleans {
        std::fs::remove_file(at.path()).unwrap();
    }
    ends(listener);
    fleet.greet();
    fleet.until_logged("who was found has ended: looking again", 1);
    assert_eq!((at.now(), at.status().pid), ((0, "ready".into()), fleet.first() as u32));
    self::ends(fleet, 0, &at);
}

#[test]
fn one_that_waits_in_the_queue_of_a_server_that_ends_is_the_first() {
    for cleans in [true, false] {
        whoever_was_found_ends(cleans, drop);
    }
}

#[test]
fn one_that_was_let_in_by_a_server_that_ends_without_a_word_is_the_first() {
    for cleans in [true, false] {
        whoever_was_found_ends(cleans, |listener| drop(listener.accept().unwrap()));
        let hears_it_out = |listener: UnixListener| {
            let (newcomer, _) = listener.accept().unwrap();
            newcomer.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            // HELLO would be the answer to this.
            Wire(number(&newcomer)).until("WANT");
        };
        whoever_was_found_ends(cleans, hears_it_out);
    }
}

#[allow(clippy::disallowed_methods, reason = "the frames are read by hand")]
fn number(stream: &UnixStream) -> RawFd {
    stream.as_raw_fd()
}

// ---------------------------------------------------------------------------------------------------------------- dies

/// The predecessor dies when the successor has all sockets: the successor serves, and owns the path.
fn predecessor_dies_at(step: &str) {
    let at = Control::new();
    let mut first = at.setup().with("AT", format!("0:{step}:kill")).start();
    let file = process::file(&at.path());
    let load = Load::on(first.echo);
    let mut second = at.setup().spawn();
    second.until("ready generation=1");
    assert_eq!(first.first_exit().signal(), Some(9));
    load.until_served(10);
    assert_eq!((at.now(), process::file(&at.path())), ((1, "ready".into()), file));
    let third = takes_over(at.setup(), 2, &mut second);
    load.until_served(10);
    let tally = load.off();
    assert_eq!(tally.refused, 0, "{tally:?}");
    assert!(tally.cut <= Load::CLIENTS, "more than what it had accepted died with it: {tally:?}");
    ends(third, 2, &at);
}

/// The successor dies while the predecessor can still take everything back.
fn successor_dies_at(step: &str, kind: ErrorKind, most_cut: usize) {
    let at = Control::new();
    let mut first = at.setup().with("PROBATION_MS", "3000").start();
    let file = process::file(&at.path());
    let load = Load::on(first.echo);
    let mut second = at.setup().with("AT", format!("1:{step}:kill")).spawn();
    assert_eq!(second.first_exit().signal(), Some(9));
    process::until(|| at.now() == (0, "ready".into()));
    load.until_served(10);
    let last = at.status().last_restart.expect("there was one");
    assert_eq!(last.outcome.unwrap_err().kind(), kind);
    assert_eq!(process::file(&at.path()), file);
    let third = takes_over(at.setup(), 1, &mut first);
    load.until_served(10);
    let tally = load.off();
    assert_eq!(tally.refused, 0, "{tally:?}");
    assert!(tally.cut <= most_cut, "{tally:?}");
    first.until_all_have_ended();
    ends(third, 1, &at);
}

/// The successor dies when nothing can be taken back any more, and the predecessor still drains.
fn successor_is_lost_at(step: &str) {
    let at = Control::new();
    let mut first = at.setup().with("STOP_DEADLINE_MS", "200").start();
    let mut client = Client::served(first.echo);
    let mut second = at.setup().with("AT", format!("1:{step}:kill")).spawn();
    assert_eq!(second.first_exit().signal(), Some(9));
    let done = first.until("done generation=0");
    assert_eq!((&done["lost"], done.number("code"), done.number("cut")), ("true", 1, 1));
    first.until_all_have_ended();
    assert!(client.line().is_err() && echo(first.echo).is_err());
    ends(at.start(), 0, &at);
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
        before_it_names_the_successor: predecessor_dies_at("NameSuccessor");
        before_it_lets_go: predecessor_dies_at("LetGo");
        when_it_has_drained: predecessor_dies_at("Finish");
    }
}

mod the_predecessor_serves_on_when_the_successor_dies {
    use super::{ErrorKind, Load, successor_dies_at};

    each! {
        while_it_starts: successor_dies_at("ReadyAsked", ErrorKind::Exited, 0);
        before_it_says_ready: successor_dies_at("SayReady", ErrorKind::Exited, 0);
        at_commit: successor_dies_at("Confirmed", ErrorKind::Probation, 0);
        before_it_accepts: successor_dies_at("OpenGate", ErrorKind::Probation, 0);
        when_it_has_begun_to_accept: successor_dies_at("AnswerReady", ErrorKind::Probation, Load::CLIENTS);
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
fn a_successor_that_is_stopped_on_probation_leaves_the_predecessor_serving() {
    let at = Control::new();
    let mut first = at.setup().with("PROBATION_MS", ENDLESS).start();
    let before = Footprint::of(first.first());
    let clients = Clients::on(&first);
    let mut second = at.setup().spawn();
    second.until("ready generation=1");
    second.stop(second.first(), 1);
    second.until_all_have_ended();
    process::until(|| at.now() == (0, "ready".into()));
    clients.until_served();
    let Outcomes { lines, kept, fresh } = clients.outcomes();
    assert_eq!((lines.refused, kept.lost(), fresh.lost()), (0, 0, 0), "{kept}\n{fresh}");
    // The loop that accepts lines is counted by nobody: whom it takes in at its generation's very end is lost.
    assert!(lines.cut <= Load::CLIENTS, "{lines:?}");
    let last = at.status().last_restart.expect("there was one").outcome.unwrap_err();
    assert!(last.to_string().ends_with("confirmed for good: stopped by signal 15"), "{last}");
    before.returns(first.first());
    first.stop(first.first(), 0);
    first.until_all_have_ended();
}

/// Its predecessor has let go while it stood still, and both is there to be heard at once: that, and the stop.
#[test]
fn a_successor_that_is_stopped_before_it_knows_that_it_is_alone_leaves_no_path_behind() {
    let at = Control::new();
    let mut first = at.start();
    let mut second = at.setup().with("AT", "1:OpenGate:hold").spawn();
    let held = second.until_held("OpenGate");
    first.until("ending generation=0 ");
    second.signal(held, Signal::SIGTERM);
    process::go_on(held);
    second.until("done generation=1");
    second.until_all_have_ended();
    assert!(!at.path().exists(), "{}", second.log());
}

#[test]
fn a_stop_of_the_predecessor_ends_a_successor_that_is_not_ready() {
    let at = Control::new();
    let mut first = at.start();
    let fifo = Fifo::new(at.path().with_extension("fifo"));
    let mut second = at.setup().with("FIFO", fifo.path()).spawn();
    second.until("waiting generation=1");
    first.stop(first.first(), 0);
    fifo.release();
    let lines = second.until_all_have_ended();
    assert!(!lines.iter().any(|line| line.says("ready")), "{lines:?}");
    second.until_logged("the predecessor took the restart back", 1);
    assert!(echo(first.echo).is_err());
    assert!(!at.path().exists(), "{}", first.log());
}

/// It can't be killed from here, and takes its time. The channel's end alone would have it take its predecessor for dead, and
/// answer at the control path beside it until it has drained.
#[test]
fn one_that_is_stopped_before_it_is_ready_and_takes_its_time_is_told_that_its_predecessor_serves_on() {
    let at = Control::new();
    let mut first = at.start();
    let (waits, drains) = (Fifo::new(at.path().with_extension("waits")), Fifo::new(at.path().with_extension("drains")));
    let setup = at.setup().with("FIFO", waits.path()).with("HOOKS", "1:at_exit:disk:wait").with("HOLD", drains.path());
    let mut second = setup.with("HOOK_DEADLINE_MS", ENDLESS).spawn();
    second.until("waiting generation=1");
    second.signal(second.first(), Signal::SIGTERM);
    second.until_logged("the predecessor took the restart back", 1);
    process::until(|| at.status().last_restart.is_some());
    assert_eq!(at.now(), (0, "ready".into()));
    assert!(Fleet::lives(second.first()), "{}", second.log());
    drains.release();
    waits.release();
    second.until_all_have_ended();
    first.stop(first.first(), 0);
    first.until_all_have_ended();
}

// ----------------------------------------------------------------------------------------------------- other namespaces

/// As in two containers that share nothing but a directory. `proc`: whether `/proc` is the container's own.
fn contained(setup: Setup, proc: &str) -> Option<Setup> {
    let container = ["--pid", "--fork", "--kill-child", proc];
    let container: Vec<_> = container.into_iter().filter(|word| !word.is_empty()).collect();
    let possible = Command::new("unshare").args(&container).arg("true").output();
    if possible.as_ref().is_ok_and(|output| output.status.success()) {
        return Some(setup.through("unshare", container));
    }
    not_run("ROOT", &format!("no pid namespace here: {possible:?}"));
    None
}

/// The server itself, of which `unshare` is the parent.
fn inside(fleet: &Fleet) -> i32 {
    let [server] = process::children(fleet.first())[..] else { panic!("one child") };
    server
}

#[test]
fn servers_in_different_pid_namespaces_meet() {
    for proc in ["--mount-proc", ""] {
        let at = Control::new();
        let file = at.path().with_extension("pid");
        let Some(setup) = contained(at.setup().with("PID_FILE", &file), proc) else { return };
        let mut first = setup.start();
        let clients = Clients::on(&first);
        assert_eq!(at.status().pid, 1, "as it sees itself");
        // From within one to within another, to the outside, and in again.
        let second = contained(at.setup().with("PID_FILE", &file), proc).expect("as the first");
        let mut second = takes_over(second, 1, &mut first);
        first.until_all_have_ended();
        assert_eq!(pid_in(&file), 1, "nobody else's: it can't be seen from the first");
        let mut third = takes_over(at.setup().with("PID_FILE", &file), 2, &mut second);
        second.until_all_have_ended();
        assert_eq!(pid_in(&file), third.first());
        clients.until_served();
        let fourth = contained(at.setup().with("PID_FILE", &file), proc).expect("as the first");
        let mut fourth = takes_over(fourth, 3, &mut third);
        third.until_all_have_ended();
        clients.until_served();
        clients.off();
        assert_eq!(at.now(), (3, "ready".into()));
        fourth.signal(inside(&fourth), Signal::SIGTERM);
        fourth.until("done generation=3");
        fourth.until_all_have_ended();
        assert!(!at.path().exists() && !file.exists());
    }
}

fn pid_in(file: &Path) -> i32 {
    std::fs::read_to_string(file).unwrap().trim().parse().unwrap()
}

#[test]
fn a_death_in_another_pid_namespace_is_seen() {
    let at = Control::new();
    let Some(setup) = contained(at.setup().with("PROBATION_MS", "3000"), "") else { return };
    let mut first = setup.start();
    let load = Load::on(first.echo);
    // The successor's is seen by the channel alone.
    let mut second = at.setup().with("AT", "1:AnswerReady:kill").spawn();
    second.first_exit();
    process::until(|| at.now() == (0, "ready".into()));
    load.until_served(10);
    let mut third = at.setup().with("AT", "1:Confirmed:hold").spawn();
    let held = third.until_held("Confirmed");
    first.signal(inside(&first), Signal::SIGKILL);
    first.until_all_have_ended();
    process::go_on(held);
    third.until("ready generation=1");
    load.until_served(10);
    assert_eq!(load.off().refused, 0);
    process::until(|| at.now() == (1, "ready".into()));
    ends(third, 1, &at);
}

// --------------------------------------------------------------------------------------------------------- other paths

#[test]
fn a_control_path_that_has_changed_is_answered_at_the_new_place_only() {
    let at = Control::new();
    let elsewhere = Control::new();
    let mut first = at.start();
    // One that fails leaves everything as it was.
    first.release.after(&format!("export HR_CONTROL='{}' HR_ECHO=nowhere", elsewhere.path().display()));
    at.restart().unwrap_err();
    assert!(!elsewhere.path().exists());
    assert_eq!(at.now(), (0, "ready".into()));
    first.release.after(&format!("export HR_CONTROL='{}'", elsewhere.path().display()));
    let second = first.restart(0, first.first());
    process::until(|| !at.path().exists());
    assert_eq!(elsewhere.now(), (1, "ready".into()));
    let status = elsewhere.status();
    let [left] = &status.leftovers[..] else { panic!("{status:?}") };
    assert_eq!((&*left.address, &*left.why), (at.path().to_str().unwrap(), "the address has changed"));
    first.stop(second, 1);
    first.until_all_have_ended();
    assert!(!elsewhere.path().exists());
}

#[test]
fn a_control_path_that_is_dropped_is_removed() {
    let at = Control::new();
    let mut first = at.start();
    first.release.after("unset HR_CONTROL");
    let second = first.restart(0, first.first());
    process::until(|| !at.path().exists());
    assert_eq!(at.restart().unwrap_err().kind(), ErrorKind::Nobody);
    echo(first.echo).unwrap();
    first.stop(second, 1);
    first.until_all_have_ended();
}

#[test]
fn a_successor_without_the_path_s_directory_is_refused_a_start_and_the_predecessor_serves_on() {
    let at = Control::new();
    let first = at.start();
    first.release.after("export HR_CONTROL=/nowhere/control");
    let error = at.restart().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("/nowhere/control"), "{error}");
    assert_eq!(at.now(), (0, "ready".into()));
}

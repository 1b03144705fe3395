//! Successors that know nothing of this crate: they get the sockets as systemd passes them, and say `READY=1`.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use crate::{
    hygiene::is_foreign,
    support::{
        Fleet, Setup, Trial,
        activated::{self, Passed},
        echo::{self, Client},
        kinds,
        nobody::{NOBODY, can_be_nobody},
        process::{self, Descriptor},
        status::sockets,
    },
};

/// Long enough for a good successor on a slow machine, short enough to be waited out.
const DEADLINE: &str = "1500";

/// For tests that end a probation themselves.
const NEVER: &str = "600000";

fn foreign() -> Setup {
    Setup::new().with("FOREIGN", "1")
}

/// It stands still before it has opened anything itself: it finds the sockets from 3 on, as many as there are, and nothing
/// else that has come from the server.
#[track_caller]
fn assert_given(pid: i32, sockets: usize) {
    let given = process::descriptors(pid);
    let listed = |number: i32| (3..3 + sockets as i32).contains(&number);
    let (listed, others): (Vec<_>, Vec<_>) =
        given.into_iter().filter(|it| it.number > 2).partition(|it| listed(it.number));
    assert_eq!(listed.len(), sockets, "{listed:?}");
    let is_socket = |it: &Descriptor| it.target.to_string_lossy().starts_with("socket:");
    assert!(listed.iter().all(|it| !(it.close_on_exec || it.blocks && is_socket(it))), "{listed:?}");
    // The shell has left its script open, and the tests may have been started with something open.
    let not_ours = |it: &Descriptor| it.target.ends_with("script") || is_foreign(it.number, &it.target);
    let others: Vec<_> = others.into_iter().filter(|it| !not_ours(it)).collect();
    assert!(others.is_empty(), "{others:?}");
}

/// Restarts into a foreign successor that waits to be looked at, while clients are served; none is lost. The successor's
/// pid, and what it has found.
#[track_caller]
fn replace(fleet: &mut Fleet, sockets: usize) -> (i32, Vec<Passed>) {
    activated::release(&fleet.release, "hold serve READY=1");
    let load = echo::Load::on(fleet.echo);
    let mut kept = Client::served(fleet.echo);
    let first = fleet.first();
    fleet.ask(first);
    let second = fleet.until_held("begin");
    assert_given(second, sockets);
    load.until_served(1);
    fleet.signal(second, Signal::SIGCONT);
    let (pid, passed) = activated::serving(fleet);
    assert_eq!(fleet.answer(0), format!("replaced by {second}"));
    assert_eq!(pid, second, "the one that was started");
    fleet.until("ending generation=0 ");
    load.until_served(2 * echo::Load::CLIENTS);
    kept.line().unwrap();
    drop(kept);
    let done = fleet.until("done generation=0");
    assert_eq!((done.number("code"), &done["lost"]), (0, "false"));
    assert!(fleet.first_exit().success());
    load.until_served(2 * echo::Load::CLIENTS);
    let tally = load.off();
    assert_eq!((tally.refused, tally.cut), (0, 0), "{tally:?}");
    (second, passed)
}

// ------------------------------------------------------------------------------------------------------- it goes well

#[test]
fn a_successor_that_knows_only_socket_activation_takes_over_and_nobody_is_lost() {
    let kinds = ["tcp6", "stream", "udp", "datagram", "memory"];
    let setup = foreign().with("KINDS", kinds.join(","));
    let place = setup.place();
    let (control, path) = (place.join("control"), place.join("server.sock"));
    let mut fleet = setup.with("PLACE", &place).with("CONTROL", &control).with("UNIX_ECHO", &path).start();
    let names: Vec<_> = sockets(&control).into_iter().map(|it| it.name).collect();
    let (listening, file) = (process::listening(fleet.first()), process::file(&path));
    let kinds = kinds::said(&mut fleet, 0, &kinds);
    let (second, passed) = replace(&mut fleet, names.len());
    assert_eq!(passed.iter().map(|it| &it.name).collect::<Vec<_>>(), names.iter().collect::<Vec<_>>());
    let at = |name: &str| &passed.iter().find(|it| it.name == name).unwrap().socket;
    assert!(listening.contains(at("http")) && listening.contains(at("echo")), "{passed:?} of {listening:?}");
    for it in kinds.iter().filter(|it| it.name != "memory") {
        assert_eq!(*at(&it.name), format!("socket:[{}]", it.inode), "{}", it.name);
    }
    assert_eq!(process::file(&path), file, "the successor's now");
    echo::at(&path).unwrap();
    assert!(!control.exists(), "nobody answers there any more");
    activated::stop(&mut fleet, second);
    fleet.until_all_have_ended();
}

#[test]
fn one_that_says_nothing_is_ready_when_it_has_lived_for_so_long() {
    let mut fleet = foreign().with("FOREIGN_ALIVE_MS", "50").start();
    activated::release(&fleet.release, "serve");
    let load = echo::Load::on(fleet.echo);
    fleet.ask(fleet.first());
    let (second, _) = activated::serving(&mut fleet);
    assert_eq!(fleet.answer(0), format!("replaced by {second}"));
    assert_eq!(fleet.until("done generation=0").number("code"), 0);
    load.until_served(2 * echo::Load::CLIENTS);
    let tally = load.off();
    assert_eq!((tally.refused, tally.cut), (0, 0), "{tally:?}");
    activated::stop(&mut fleet, second);
}

/// The numbers from 3 on are other descriptors' in the predecessor, and among them the sockets themselves.
#[test]
fn three_hundred_sockets_are_at_their_places() {
    let limit = ["--nofile=1024:1024"];
    let mut fleet = foreign().with("MANY", "300").through("prlimit", limit).start();
    let many = fleet.until("many generation=0 ");
    let many = many["sockets"].split(',').enumerate().map(|(number, it)| {
        let (inode, address) = it.split_once('/').unwrap();
        (
            Passed { name: format!("many {number}"), socket: format!("socket:[{inode}]") },
            address.parse::<SocketAddr>().unwrap(),
        )
    });
    let (wanted, addresses): (Vec<_>, Vec<_>) = many.unzip();
    let (second, passed) = replace(&mut fleet, 302);
    assert_eq!([&*passed[0].name, &passed[1].name], ["http", "echo"]);
    assert_eq!(passed[2..], wanted);
    for address in [addresses[0], addresses[299]] {
        echo::echo(address).unwrap();
    }
    activated::stop(&mut fleet, second);
}

#[test]
fn one_that_asks_for_more_time_gets_it() {
    let mut fleet = foreign().with("READY_DEADLINE_MS", DEADLINE).start();
    activated::release(&fleet.release, "EXTEND_TIMEOUT_USEC=60000000 delay:2000 serve READY=1");
    fleet.ask(fleet.first());
    let (second, _) = activated::serving(&mut fleet);
    assert_eq!(fleet.answer(0), format!("replaced by {second}"));
    activated::stop(&mut fleet, second);
}

/// Any service that takes its sockets from systemd can be started so, also one of this crate's.
#[test]
fn a_server_of_this_crate_can_be_a_foreign_successor_and_restarts_on_its_own() {
    let mut fleet = foreign().start();
    let first = fleet.first();
    let listening = process::listening(first);
    let load = echo::Load::on(fleet.echo);
    fleet.release.after("unset HR_FOREIGN");
    fleet.ask(first);
    let second = fleet.until("ready generation=0").pid();
    assert_eq!(fleet.answer(0), format!("replaced by {second}"));
    assert_eq!(fleet.until("done generation=0").pid(), first);
    assert_eq!(process::listening(second), listening);
    load.until_served(2 * echo::Load::CLIENTS);
    let third = fleet.restart(0, second);
    assert_eq!(process::listening(third), listening);
    load.until_served(2 * echo::Load::CLIENTS);
    let tally = load.off();
    assert_eq!((tally.refused, tally.cut), (0, 0), "{tally:?}");
    fleet.stop(third, 1);
}

// ------------------------------------------------------------------------------------------------------------ it fails

/// These steps fail as `kind`, and nobody notices but who asked. The message.
#[track_caller]
fn fails(setup: Setup, steps: &str, kind: &str) -> (String, Trial) {
    let mut trial = Trial::of(setup);
    activated::release(&trial.fleet.release, steps);
    let message = trial.fails(kind);
    assert!(!Fleet::lives(trial.fleet.until("activated").pid()), "nothing of it is left");
    (message, trial)
}

/// After which a good one takes over.
#[track_caller]
fn then_succeeds(mut trial: Trial) {
    let (second, _) = replace(&mut trial.fleet, 2);
    activated::stop(&mut trial.fleet, second);
}

#[test]
fn an_exit_before_ready_is_told_with_its_status() {
    let (message, trial) = fails(foreign(), "write:no_config exit:3", "Exited");
    assert!(message.ends_with("exit status: 3"), "{message}");
    trial.fleet.until_logged("no config", 1);
    then_succeeds(trial);
}

#[test]
fn a_death_by_a_signal_is_told() {
    let (message, trial) = fails(foreign(), "kill", "Killed");
    assert!(message.contains("signal: 9 (SIGKILL)"), "{message}");
    then_succeeds(trial);
}

/// Were it heard, the death would be one within the probation.
#[test]
fn what_another_process_says_to_its_socket_does_not_count() {
    let (message, _) = fails(foreign().with("PROBATION_MS", NEVER), "other:READY=1 exit:3", "Exited");
    assert!(message.contains("before it was ready"), "{message}");
}

/// Nor what anybody else on this host says, who can guess where. The operator reads who that was.
#[test]
fn what_another_user_s_process_says_to_its_socket_does_not_count_and_the_log_says_whose_it_was() {
    if !can_be_nobody() {
        return;
    }
    let setup = foreign().with("PROBATION_MS", NEVER);
    let (message, trial) = fails(setup, "stranger:READY=1 stranger:READY=1 exit:3", "Exited");
    assert!(message.contains("before it was ready"), "{message}");
    // Which is logged after all that it has heard.
    trial.fleet.until_logged("the restart failed", 1);
    let log = trial.fleet.log();
    let told: Vec<_> = log.lines().filter(|line| line.contains("a notice of somebody else's: ignored")).collect();
    assert_eq!(told.len(), 1, "not each, or whoever likes could fill the log: {log}");
    assert!(told[0].contains(&format!("sender_uid={NOBODY} ")), "{}", told[0]);
}

#[test]
fn one_that_says_that_it_stops_is_heard() {
    let (message, trial) = fails(foreign(), "STOPPING=1;STATUS=the_licence_has_expired exit:0", "Exited");
    assert!(message.contains("the licence has expired"), "{message}");
    then_succeeds(trial);
}

#[test]
fn one_that_never_gets_ready_is_killed_at_the_deadline() {
    let setup = foreign().with("READY_DEADLINE_MS", DEADLINE).with("STOP_DEADLINE_MS", "100");
    // It has a handler for SIGTERM, and takes no notice of it.
    let (_, trial) = fails(setup, "write:still_thinking delay:600000", "Deadline");
    trial.fleet.until_logged("still thinking", 1);
    then_succeeds(trial);
}

#[test]
fn one_that_is_younger_than_it_should_be_is_not_ready_at_the_deadline() {
    let setup = foreign().with("READY_DEADLINE_MS", DEADLINE).with("FOREIGN_ALIVE_MS", NEVER);
    fails(setup, "READY=0", "Deadline");
}

#[test]
fn an_exit_in_probation_is_undone() {
    let (message, _) = fails(foreign().with("PROBATION_MS", NEVER), "READY=1 exit:5", "Probation");
    assert!(message.ends_with("exit status: 5"), "{message}");
}

#[test]
fn a_kill_in_probation_is_undone() {
    let (message, _) = fails(foreign().with("PROBATION_MS", NEVER), "READY=1 kill", "Probation");
    assert!(message.contains("signal: 9 (SIGKILL)"), "{message}");
}

#[test]
fn a_program_that_cannot_be_started_is_told_as_always() {
    let mut trial = Trial::of(foreign());
    trial.fleet.release.missing();
    let message = trial.fails("ProgramMissing");
    assert!(message.contains("/current: No such file"), "{message}");
    trial.fleet.release.file(b"#!/bin/sh\n", 0o644);
    let message = trial.fails("NotExecutable");
    assert!(message.contains("/current: Permission denied"), "{message}");
    // That is the shell's to find out, which says so to our standard error.
    trial.fleet.release.file(b"#!/nowhere/interpreter\n", 0o755);
    let message = trial.fails("Exited");
    assert!(message.ends_with("exit status: 127"), "{message}");
    trial.fleet.until_logged("/current: not found", 1);
    then_succeeds(trial);
}

#[test]
fn many_failures_leave_nothing_behind() {
    let mut trial = Trial::of(foreign());
    activated::release(&trial.fleet.release, "exit:3");
    for _ in 0..10 {
        trial.fails("Exited");
    }
    then_succeeds(trial);
}

// ------------------------------------------------------------------------------------------- the predecessor ends first

/// A client that the successor has accepted: the predecessor stands still meanwhile.
fn client_of_the_successor(fleet: &Fleet) -> Client {
    let first = fleet.freeze_first();
    let client = Client::served(fleet.echo);
    fleet.signal(first, Signal::SIGTERM);
    fleet.signal(first, Signal::SIGCONT);
    client
}

/// It accepts from its first moment on, so it is asked to end, and ends in its own time.
#[track_caller]
fn is_asked_to_end(fleet: &mut Fleet, second: i32) {
    activated::serving(fleet);
    let mut client = client_of_the_successor(fleet);
    assert_eq!(fleet.until("told").pid(), second);
    assert!(fleet.answer(0).starts_with("Ending: "));
    client.line().unwrap();
    drop(client);
    fleet.until("finished");
    assert_eq!(fleet.until("done generation=0").number("code"), 0);
    fleet.until_all_have_ended();
}

#[test]
fn a_predecessor_that_is_stopped_asks_one_that_is_not_ready_yet_to_end_and_cuts_nobody() {
    let mut fleet = foreign().start();
    activated::release(&fleet.release, "serve");
    fleet.ask(fleet.first());
    let second = fleet.until("activated").pid();
    is_asked_to_end(&mut fleet, second);
}

#[test]
fn a_predecessor_that_is_stopped_asks_one_on_probation_to_end_and_cuts_nobody() {
    let mut fleet = foreign().with("PROBATION_MS", NEVER).with("AT", "0:Confirm:hold").start();
    activated::release(&fleet.release, "READY=1 serve");
    fleet.ask(fleet.first());
    let second = fleet.until("activated").pid();
    let first = fleet.until_held("Confirm");
    fleet.signal(first, Signal::SIGCONT);
    is_asked_to_end(&mut fleet, second);
}

/// It would let clients wait at the listeners that it has, whom nobody serves.
#[test]
fn a_predecessor_that_is_stopped_outlives_one_that_does_not_end_when_it_is_asked_to() {
    for (steps, held) in [("serve delay:600000", None), ("READY=1 serve delay:600000", Some("Confirm"))] {
        let setup = foreign().with("PROBATION_MS", NEVER).with("STOP_DEADLINE_MS", "300");
        let mut fleet = match held {
            Some(at) => setup.with("AT", format!("0:{at}:hold")),
            None => setup,
        }
        .start();
        activated::release(&fleet.release, steps);
        fleet.ask(fleet.first());
        let (first, (second, _)) = (fleet.first(), activated::serving(&mut fleet));
        if let Some(at) = held {
            fleet.until_held(at);
            fleet.signal(first, Signal::SIGCONT);
        }
        fleet.signal(first, Signal::SIGTERM);
        assert_eq!(fleet.until("done generation=0").number("code"), 0);
        assert!(!Fleet::lives(second), "{steps}");
        fleet.until_logged("a successor that was told to end has not", 1);
        fleet.until_all_have_ended();
    }
}

/// In the second that others get for their last words it would be cut.
#[test]
fn one_that_says_that_it_stops_before_it_is_ready_has_a_stops_time_for_its_clients() {
    let mut trial = Trial::of(foreign().with("STOP_DEADLINE_MS", "2000"));
    activated::release(&trial.fleet.release, "hold STOPPING=1");
    trial.fleet.ask(trial.fleet.first());
    let second = trial.fleet.until_held("begin");
    let stops = Instant::now();
    trial.fleet.signal(second, Signal::SIGCONT);
    assert!(trial.fleet.answer(0).starts_with("Exited: "));
    assert!(stops.elapsed() >= Duration::from_secs(2), "{:?}", stops.elapsed());
    then_succeeds(trial);
}

#[test]
fn a_successor_that_dies_while_the_predecessor_drains_is_lost_and_one_that_is_stopped_is_not() {
    for (signal, lost) in [(Signal::SIGKILL, "true"), (Signal::SIGTERM, "false")] {
        let mut fleet = foreign().start();
        activated::release(&fleet.release, "serve READY=1");
        let kept = Client::served(fleet.echo);
        fleet.ask(fleet.first());
        let (second, _) = activated::serving(&mut fleet);
        fleet.until("ending generation=0 ");
        fleet.signal(second, signal);
        process::until(|| !Fleet::lives(second));
        if lost == "true" {
            fleet.until_logged("the successor died while this generation drains", 1);
        }
        drop(kept);
        assert_eq!(&fleet.until("done generation=0")["lost"], lost);
    }
}

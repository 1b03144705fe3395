//! The pid file names the ready generation, at each moment.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use nix::sys::signal::Signal;

use crate::support::{Fleet, Setup, echo::Client, echo::echo, process};

fn named() -> (PathBuf, Setup) {
    let setup = Setup::new();
    let path = setup.place().join("server.pid");
    let setup = setup.with("PID_FILE", &path);
    (path, setup)
}

fn pid_in(path: &Path) -> i32 {
    let text = fs::read_to_string(path).expect("it is there");
    text.strip_suffix('\n').and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{text:?}"))
}

/// What lies beside the server's own files: a temporary file must not stay.
fn litter(fleet: &Fleet) -> Vec<String> {
    let entries = fs::read_dir(fleet.path("")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("server.pid.")).collect()
}

#[test]
fn the_pid_file_names_the_ready_generation_at_each_moment() {
    let (path, setup) = named();
    let mut fleet = setup.with("AT", "1:SayReady:hold,0:LetGo:hold").start();
    let first = fleet.first();
    assert_eq!(pid_in(&path), first);
    fleet.signal(first, Signal::SIGUSR2);
    let second = fleet.until_held("SayReady");
    assert_eq!(pid_in(&path), first, "the successor is not ready");
    fleet.signal(second, Signal::SIGCONT);
    fleet.until_held("LetGo");
    assert_eq!(pid_in(&path), first, "it can still be taken back");
    fleet.signal(first, Signal::SIGCONT);
    fleet.until("ending generation=0 ");
    assert_eq!(pid_in(&path), second);
    fleet.until("done generation=0");
    fleet.first_exit();
    assert_eq!(pid_in(&path), second, "the end of another is no reason to remove it");
    fleet.signal(second, Signal::SIGTERM);
    fleet.until_all_have_ended();
    assert!(!path.exists(), "removed by its owner");
    assert!(litter(&fleet).is_empty());
}

#[test]
fn a_reader_of_the_pid_file_finds_a_pid_at_any_time() {
    let (path, setup) = named();
    let mut fleet = setup.with("PROBATION_MS", "1").start();
    let mut pids = vec![fleet.first()];
    let over = AtomicBool::new(false);
    let read = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut read = Vec::new();
            while !over.load(Ordering::Relaxed) {
                read.push(pid_in(&path));
                std::thread::yield_now();
            }
            read.dedup();
            read
        });
        for generation in 0..5 {
            let pid = fleet.restart(generation, pids[generation as usize]);
            pids.push(pid);
        }
        over.store(true, Ordering::Relaxed);
        reader.join().expect("it always found a pid")
    });
    let mut rest = pids.iter();
    assert!(read.iter().all(|pid| rest.any(|other| other == pid)), "one after the other: {read:?} of {pids:?}");
}

#[test]
fn a_failed_restart_leaves_the_pid_file_as_it_was() {
    let (path, setup) = named();
    let mut fleet = setup.with("AT", "1:AnswerReady:kill").with("PROBATION_MS", "60000").start();
    let first = fleet.first();
    let before = process::file(&path);
    fleet.ask(first);
    assert!(fleet.answer(0).starts_with("Probation: "));
    assert_eq!(process::file(&path), before, "untouched");
    assert_eq!(pid_in(&path), first);
}

#[test]
fn a_successor_that_is_stopped_before_it_is_confirmed_for_good_leaves_the_pid_file() {
    let (path, setup) = named();
    let mut fleet = setup.with("PROBATION_MS", "60000").start();
    let first = fleet.first();
    fleet.signal(first, Signal::SIGUSR2);
    let second = fleet.until("ready generation=1").pid();
    fleet.signal(second, Signal::SIGTERM);
    fleet.until("done generation=1");
    process::until(|| process::children(first).is_empty());
    assert_eq!(pid_in(&path), first);
    fleet.signal(first, Signal::SIGTERM);
    fleet.until_all_have_ended();
    assert!(!path.exists());
}

#[test]
fn a_predecessor_that_outlives_its_successor_leaves_no_pid_file_of_a_dead_process_to_others() {
    let (path, setup) = named();
    let mut fleet = setup.start();
    let client = Client::served(fleet.echo);
    let first = fleet.first();
    let second = fleet.restart(0, first);
    fleet.signal(second, Signal::SIGTERM);
    fleet.until("done generation=1");
    process::until(|| !Fleet::lives(second));
    assert!(!path.exists(), "removed by its owner, although another generation still drains");
    drop(client);
    fleet.until("done generation=0");
    fleet.until_all_have_ended();
    assert!(litter(&fleet).is_empty());
}

#[test]
fn the_successor_names_itself_when_the_predecessor_dies_before_it_has_done_so() {
    let (path, setup) = named();
    let mut fleet = setup.with("AT", "0:LetGo:kill,1:AnswerReady:hold").start();
    fleet.signal(fleet.first(), Signal::SIGUSR2);
    let second = fleet.until_held("AnswerReady");
    fleet.first_exit();
    fleet.signal(second, Signal::SIGCONT);
    fleet.until("ready generation=1");
    process::until(|| pid_in(&path) == second);
    fleet.signal(second, Signal::SIGTERM);
    fleet.until_all_have_ended();
    assert!(!path.exists());
}

#[test]
fn a_server_without_a_place_for_its_pid_file_serves_and_says_so_in_its_report() {
    let mut fleet = Setup::new().with("PID_FILE", "/nonexistent/server.pid").start();
    let first = fleet.first();
    fleet.until_logged("/nonexistent/server.pid", 1);
    echo(fleet.echo).unwrap();
    let second = fleet.restart(0, first);
    assert_eq!(fleet.until("done generation=0").number("code"), 1);
    echo(fleet.echo).unwrap();
    fleet.signal(second, Signal::SIGTERM);
    assert_eq!(fleet.until("done generation=1").number("code"), 1);
}

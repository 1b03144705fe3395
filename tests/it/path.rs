//! A Unix socket's path belongs to its socket, in whichever generation that is.

use std::{
    io,
    os::unix::net::UnixListener,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

use nix::sys::signal::Signal;

use crate::support::{Fleet, Setup, echo, process};

fn at_a_path() -> (PathBuf, Setup) {
    let setup = Setup::new();
    let path = setup.place().join("server.sock");
    let setup = setup.with("UNIX_ECHO", &path);
    (path, setup)
}

#[test]
fn a_path_stays_the_same_file_through_restarts_and_goes_with_the_last_generation() {
    let (path, setup) = at_a_path();
    let mut fleet = setup.start();
    let file = process::file(&path);
    let mut pid = fleet.first();
    for generation in 0..3 {
        pid = fleet.restart(generation, pid);
        fleet.until(&format!("done generation={generation}"));
        assert_eq!(process::file(&path), file, "neither bound anew nor removed by the one that was replaced");
        echo::at(&path).unwrap();
    }
    fleet.signal(pid, Signal::SIGTERM);
    fleet.until_all_have_ended();
    assert!(!path.exists());
}

#[test]
fn a_client_of_the_path_meets_somebody_at_any_time() {
    let (path, setup) = at_a_path();
    let mut fleet = setup.with("PROBATION_MS", "1").start();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                echo::at(&path)?;
            }
            io::Result::Ok(())
        });
        let mut pid = fleet.first();
        for generation in 0..5 {
            pid = fleet.restart(generation, pid);
        }
        over.store(true, Ordering::Relaxed);
        client.join().expect("no panic").expect("never refused, never cut");
    });
}

#[test]
fn a_successor_that_is_stopped_before_it_is_confirmed_leaves_the_path() {
    let (path, setup) = at_a_path();
    let mut fleet = setup.with("AT", "1:SayReady:hold").with("PROBATION_MS", "60000").start();
    let file = process::file(&path);
    let first = fleet.first();
    fleet.ask(first);
    let second = fleet.until_held("SayReady");
    fleet.signal(second, Signal::SIGTERM);
    fleet.signal(second, Signal::SIGCONT);
    assert!(fleet.answer(0).starts_with("Exited: "));
    process::until(|| process::children(first).is_empty());
    assert_eq!(process::file(&path), file);
    echo::at(&path).unwrap();
}

#[test]
fn a_successor_that_is_stopped_on_probation_leaves_the_path() {
    let (path, setup) = at_a_path();
    let mut fleet = setup.with("PROBATION_MS", "60000").start();
    let file = process::file(&path);
    let first = fleet.first();
    fleet.signal(first, Signal::SIGUSR2);
    let second = fleet.until("ready generation=1").pid();
    fleet.signal(second, Signal::SIGTERM);
    fleet.until("done generation=1");
    process::until(|| process::children(first).is_empty());
    assert_eq!(process::file(&path), file);
    echo::at(&path).unwrap();
    fleet.signal(first, Signal::SIGTERM);
    fleet.until_all_have_ended();
    assert!(!path.exists());
}

/// Its predecessor serves on, and has nothing more to do with it: the end of their channel is no death.
#[test]
fn a_successor_that_drains_after_a_stop_on_probation_leaves_the_path() {
    let (path, setup) = at_a_path();
    let mut fleet = setup.with("PROBATION_MS", "60000").with("LOG", "debug").start();
    let file = process::file(&path);
    let first = fleet.first();
    fleet.signal(first, Signal::SIGUSR2);
    let second = fleet.until("ready generation=1").pid();
    let client = echo::Client::served(fleet.echo);
    fleet.signal(second, Signal::SIGTERM);
    fleet.until("ending generation=1 ");
    // It has forgotten the successor, and closed the channel with that.
    fleet.until_logged("the restart failed", 1);
    echo::at(&path).unwrap();
    drop(client);
    fleet.until("done generation=1");
    process::until(|| process::children(first).is_empty());
    assert_eq!(process::file(&path), file);
    assert!(!fleet.log().contains("OwnNamesAtLast"), "{}", fleet.log());
    fleet.stop(first, 0);
    fleet.until_all_have_ended();
    assert!(!path.exists());
}

#[test]
fn a_stop_that_ends_both_on_probation_removes_the_path() {
    let (path, setup) = at_a_path();
    let mut fleet = setup.with("PROBATION_MS", "60000").start();
    let first = fleet.first();
    fleet.signal(first, Signal::SIGUSR2);
    fleet.until("ready generation=1");
    fleet.signal(first, Signal::SIGTERM);
    fleet.until_all_have_ended();
    assert!(!path.exists());
}

#[test]
fn what_a_killed_server_left_behind_is_replaced() {
    let (path, setup) = at_a_path();
    let mut killed = setup.start();
    killed.signal(killed.first(), Signal::SIGKILL);
    killed.first_exit();
    assert!(path.exists() && echo::at(&path).is_err(), "stale");
    let mut fleet = Setup::new().with("UNIX_ECHO", &path).start();
    echo::at(&path).unwrap();
    fleet.signal(fleet.first(), Signal::SIGTERM);
    fleet.until_all_have_ended();
    assert!(!path.exists());
}

#[test]
fn the_path_of_a_server_that_lives_is_left_alone() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("server.sock");
    let other = UnixListener::bind(&path).unwrap();
    let file = process::file(&path);
    let mut fleet = Setup::new().with("UNIX_ECHO", &path).spawn();
    fleet.until_logged("generation 0 failed: bind \"unix echo\"", 1);
    fleet.until_all_have_ended();
    assert_eq!(process::file(&path), file);
    drop(other);
}

/// Both find a path that a killed server has left behind.
#[test]
fn of_two_servers_that_start_at_once_on_a_stale_path_one_serves_and_the_other_is_told() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("server.sock");
    for _ in 0..5 {
        drop(UnixListener::bind(&path).unwrap());
        let mut fleets = [(); 2].map(|()| Setup::new().with("UNIX_ECHO", &path).spawn());
        process::until(|| fleets.iter().any(|fleet| !Fleet::lives(fleet.first())));
        let loses = fleets.iter().position(|fleet| !Fleet::lives(fleet.first())).unwrap();
        fleets[loses].until_logged("generation 0 failed: bind \"unix echo\"", 1);
        let winner = &mut fleets[1 - loses];
        winner.until("ready generation=0");
        echo::at(&path).unwrap();
        winner.signal(winner.first(), Signal::SIGTERM);
        winner.until_all_have_ended();
        assert!(!path.exists());
    }
}

/// Another server has taken the path over: what is there now is its own.
#[test]
fn a_path_that_another_has_bound_meanwhile_is_not_removed() {
    let (path, setup) = at_a_path();
    let mut fleet = setup.start();
    std::fs::remove_file(&path).unwrap();
    let other = UnixListener::bind(&path).unwrap();
    let file = process::file(&path);
    fleet.signal(fleet.first(), Signal::SIGTERM);
    fleet.until_all_have_ended();
    assert_eq!(process::file(&path), file);
    drop(other);
    assert!(echo::echo(fleet.echo).is_err());
}

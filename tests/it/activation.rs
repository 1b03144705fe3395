//! Sockets that somebody else has opened for the server, before it was started: systemd's way, and that of its like.

use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;

use crate::support::{
    Fleet, Setup,
    echo::{self, echo},
    opener::opened,
    process,
    status::{sockets, status},
    this,
};

/// Where nothing is listened at by anybody: what is served has another address than was asked for, because it was activated.
const ELSEWHERE: &str = "127.0.0.9:1";

/// A server that asks for both addresses by name only, with its control path.
fn server() -> (PathBuf, Setup) {
    let setup = Setup::new();
    let control = setup.place().join("control");
    let setup = setup.with("CONTROL", &control).with("LISTEN", ELSEWHERE).with("ECHO", ELSEWHERE);
    (control, setup)
}

/// A server that finds nothing by any name, and binds what it needs.
fn unaided() -> (PathBuf, Setup) {
    let setup = Setup::new();
    let control = setup.place().join("control");
    let setup = setup.with("CONTROL", &control);
    (control, setup)
}

/// Which of them are listened at, in order.
fn inodes(opened: &[(String, String)]) -> Vec<String> {
    let mut inodes: Vec<_> = opened.iter().map(|(inode, _)| inode.clone()).collect();
    inodes.sort();
    inodes
}

/// `name origin` of each.
fn origins(control: &Path) -> Vec<String> {
    sockets(control).into_iter().map(|it| format!("{} {}", it.name, it.origin)).collect()
}

fn leftovers(control: &Path) -> Vec<String> {
    status(control).leftovers.into_iter().map(|it| it.name).collect()
}

/// The names of `LISTEN_*` in its environment.
fn told(pid: i32) -> Vec<String> {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).expect("it lives");
    let names = environment.split(|byte| *byte == 0).map(|pair| String::from_utf8_lossy(pair).into_owned());
    let names = names.filter_map(|pair| Some(pair.split_once('=')?.0.to_owned()));
    names.filter(|name| name.starts_with("LISTEN_")).collect()
}

// ---------------------------------------------------------------------------------------------------- what is found

#[test]
fn activated_sockets_are_found_by_their_names_and_stay_through_restarts() {
    let (control, setup) = server();
    let mut fleet = setup.with("OPEN_NAMES", "http:echo").opened("tcp tcp").start();
    let sockets = opened(&mut fleet);
    assert_eq!([&sockets[0].1, &sockets[1].1], [&fleet.http.to_string(), &fleet.echo.to_string()]);
    let mut pid = fleet.first();
    assert_eq!(told(pid).len(), 3);
    for generation in 0..3 {
        assert_eq!(process::listening(pid), inodes(&sockets), "in generation {generation}");
        assert_eq!(origins(&control), ["http activated", "echo activated"], "in generation {generation}");
        echo(fleet.echo).unwrap();
        let all = process::descriptors(pid);
        let ours = |target: &Path| sockets.iter().any(|(inode, _)| target == Path::new(inode));
        let held: Vec<_> = all.iter().filter(|it| ours(&it.target)).collect();
        assert_eq!(held.len(), 4, "each has an owner and a duplicate, and none is left at 3 or 4: {held:?}");
        assert!(held.iter().all(|it| it.close_on_exec && !it.blocks), "{held:?}");
        pid = fleet.restart(generation, pid);
        assert_eq!(told(pid), [""; 0], "it inherits, and is activated by nobody");
        fleet.until(&format!("done generation={generation}"));
    }
    fleet.stop(pid, 3);
}

/// As `systemfd` passes them.
#[test]
fn without_a_pid_they_are_meant_for_whoever_finds_them() {
    let (control, setup) = server();
    let fleet = setup.with("OPEN_PID", "none").with("OPEN_NAMES", "http:echo").opened("tcp tcp").start();
    assert_eq!(origins(&control), ["http activated", "echo activated"]);
    echo(fleet.echo).unwrap();
}

#[test]
fn sockets_without_a_name_are_found_by_their_addresses() {
    let (control, setup) = unaided();
    let mut fleet = setup.opened("tcp:ECHO file tcp:LISTEN").start();
    let sockets = opened(&mut fleet);
    assert_eq!([&sockets[2].1, &sockets[0].1], [&fleet.http.to_string(), &fleet.echo.to_string()]);
    assert_eq!(origins(&control), ["http activated", "echo activated"]);
    let (control, setup) = unaided();
    let fleet = setup.with("OPEN_NAMES", "unknown:unknown").opened("tcp:LISTEN tcp:ECHO").start();
    assert_eq!(origins(&control), ["http activated", "echo activated"]);
    echo(fleet.echo).unwrap();
}

#[test]
fn of_sockets_that_share_a_name_each_is_found_at_its_address() {
    let (control, setup) = unaided();
    let setup = setup.with("OPEN_NAMES", "echo:echo:echo");
    let mut fleet = setup.opened("tcp:LISTEN tcp:EXTRA tcp:ECHO").start();
    let sockets = opened(&mut fleet);
    assert_eq!([&sockets[0].1, &sockets[2].1], [&fleet.http.to_string(), &fleet.echo.to_string()]);
    assert_eq!(fleet.until("extra generation=0 ")["address"], sockets[1].1);
    assert_eq!(origins(&control), ["http activated", "echo activated", "extra activated"]);
}

#[test]
fn the_path_of_an_activated_socket_is_nobodys_to_remove() {
    let (_, setup) = server();
    let path = setup.place().join("server.sock");
    let words = format!("tcp unix:{} tcp", path.display());
    let setup = setup.with("UNIX_ECHO", "/nowhere/else").with("OPEN_NAMES", "http:unix echo:echo");
    let mut fleet = setup.opened(&words).start();
    let file = process::file(&path);
    echo::at(&path).unwrap();
    let first = fleet.first();
    let second = fleet.restart(0, first);
    fleet.until("done generation=0");
    assert_eq!(process::file(&path), file);
    echo::at(&path).unwrap();
    fleet.stop(second, 1);
    fleet.until_all_have_ended();
    assert_eq!(process::file(&path), file, "whoever has opened it may start the server again");
}

#[test]
fn what_is_not_asked_for_is_closed_and_listed() {
    let (control, setup) = server();
    let setup = setup.with("OPEN_NAMES", "http:old:echo:config");
    let mut fleet = setup.opened("tcp tcp tcp file").start();
    let sockets = opened(&mut fleet);
    assert_eq!(leftovers(&control), ["old", "config"]);
    fleet.until_logged("passed and not served: closed", 2);
    let held: Vec<_> = process::descriptors(fleet.first()).into_iter().map(|it| it.target).collect();
    assert!(held.contains(&PathBuf::from(&sockets[0].0)));
    assert!(!held.iter().any(|it| *it == Path::new(&sockets[1].0) || it == &this()));
    let refused = echo(sockets[1].1.parse().unwrap()).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused, "and not left waiting");
}

/// One name may stand for several kinds of sockets, so this is no error; but it is told.
#[test]
fn a_udp_socket_under_a_listeners_name_is_not_taken_for_it() {
    let (control, setup) = unaided();
    let fleet = setup.with("OPEN_NAMES", "http:echo").opened("udp tcp").start();
    assert_eq!(origins(&control), ["http bound", "echo activated"]);
    assert_eq!(leftovers(&control), ["http"]);
    fleet.until_logged("passed and not served: closed", 1);
    echo(fleet.echo).unwrap();
}

// ---------------------------------------------------------------------------------------------------- what is not taken

/// The server takes none and binds what it needs. What it logs of that; nothing, if it was not meant at all.
#[track_caller]
fn takes_none(change: impl FnOnce(Setup) -> Setup, words: &str, why: &str) -> Fleet {
    let (control, setup) = unaided();
    let fleet = change(setup).opened(words).start();
    assert_eq!(origins(&control), ["http bound", "echo bound"]);
    assert_eq!(leftovers(&control), [""; 0]);
    let log = fleet.log();
    assert_eq!(log.contains("and none is taken"), !why.is_empty(), "{log}");
    assert!(log.contains(why), "{log}");
    echo(fleet.echo).unwrap();
    fleet
}

#[test]
fn what_was_opened_for_another_process_is_not_taken() {
    let mut fleet = takes_none(|setup| setup.with("OPEN_PID", "1").with("OPEN_NAMES", "http:echo"), "tcp tcp", "");
    let sockets = opened(&mut fleet);
    assert_eq!(process::target(fleet.first(), 3), Path::new(&sockets[0].0), "and left where it was");
}

#[test]
fn where_a_number_is_closed_none_is_taken() {
    let names = |setup: Setup| setup.with("OPEN_NAMES", "http:other:echo");
    let mut fleet = takes_none(names, "tcp closed tcp", "sockets were passed by the environment, and none is taken");
    let sockets = opened(&mut fleet);
    assert_eq!(process::target(fleet.first(), 3), Path::new(&sockets[0].0), "left where it was");
}

#[test]
fn with_too_few_names_none_is_taken() {
    let why = "LISTEN_FDNAMES has 1 names for 2 descriptors";
    takes_none(|setup| setup.with("OPEN_NAMES", "http"), "tcp tcp", why);
}

/// `LISTEN_FDS` without a pid is inherited by every program, and its descriptors are not: at their numbers lie the
/// runtime's own. Owned twice, they would be closed under its feet.
#[test]
fn a_grandchild_that_inherits_the_count_takes_none_of_its_own_descriptors() {
    for count in ["1", "3"] {
        let inherited = |setup: Setup| setup.with("OPEN_PID", "none").with("OPEN_COUNT", count);
        let mut fleet = takes_none(inherited, "", "is close-on-exec, so it was opened by this process itself");
        let first = fleet.first();
        fleet.restart(0, first);
        echo(fleet.echo).unwrap();
    }
}

/// Numbers become owned once in a process, whether they come from an opener or from a predecessor.
#[test]
fn a_second_handle_in_a_process_takes_nothing() {
    let (control, setup) = server();
    let mut fleet = setup.with("TWICE", "1").with("OPEN_NAMES", "http:echo").opened("tcp tcp").start();
    let mut pid = fleet.first();
    for generation in 0..2 {
        let second = fleet.until(&format!("twice generation={generation} "));
        assert_eq!([&second["is"], &second["successor"], &second["claimed"]], ["0", "false", "false"]);
        fleet.until_logged("was taken by an earlier handle", generation as usize + 1);
        assert_eq!(origins(&control), ["http activated", "echo activated"], "the first one has them");
        echo(fleet.echo).unwrap();
        pid = fleet.restart(generation, pid);
    }
}

// ------------------------------------------------------------------------------------------- what other programs find

/// Which variables a program finds that generation 0, and then generation 1, starts.
fn found_by_children(setup: Setup) -> [String; 2] {
    let setup = setup.tune(|command| {
        // Empty means none; and of both no more than the names matters here.
        command.env("NOTIFY_SOCKET", "").env("WATCHDOG_PID", "1").env("WATCHDOG_USEC", "1").env("LISTEN_ADDR", "own");
    });
    let mut fleet = setup.with("OPEN_NAMES", "http:echo").opened("tcp tcp").start();
    let found = |fleet: &mut Fleet, pid, generation| {
        fleet.signal(pid, Signal::SIGUSR1);
        let line = fleet.until(&format!("child generation={generation} "));
        let mut found: Vec<_> = line["finds"].split(',').collect();
        found.sort_unstable();
        found.join(" ")
    };
    let first = fleet.first();
    let by_first = found(&mut fleet, first, 0);
    let second = fleet.restart(0, first);
    [by_first, found(&mut fleet, second, 1)]
}

#[test]
fn a_program_that_the_server_starts_finds_what_was_meant_for_the_server_unless_it_is_scrubbed() {
    let [first, second] = found_by_children(Setup::new());
    let all = "LISTEN_ADDR LISTEN_FDNAMES LISTEN_FDS LISTEN_PID NOTIFY_SOCKET WATCHDOG_PID WATCHDOG_USEC";
    assert_eq!(first, all);
    assert_eq!(second, "LISTEN_ADDR NOTIFY_SOCKET TOKIO_HOTRESTART_CHANNEL WATCHDOG_USEC");
    let [first, second] = found_by_children(Setup::new().with("SCRUB", "1"));
    assert_eq!([&*first, &second], ["LISTEN_ADDR"; 2], "the application's own");
}

//! Every generation under valgrind: whether a system call is given memory that nobody has written, and what is open at the
//! end of a process, by its number and by who has opened it.
//!
//! valgrind 3.19 does not know `pidfd_open` and says so to its caller, so this is also a restart as on a kernel without it.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio, id},
};

use nix::sys::signal::Signal;

use super::{
    not_run::not_run,
    process::descriptors,
    server::{Server, program},
};

const RESTARTS: u64 = 2;

#[test]
fn no_generation_leaves_a_descriptor_open_or_uses_memory_that_is_not_its_own() {
    let version = Command::new("valgrind").arg("--version").stdin(Stdio::null()).output();
    if !version.as_ref().is_ok_and(|it| it.status.success()) {
        return not_run("VALGRIND", &format!("no valgrind to test with: {version:?}"));
    }
    let logs = tempfile::tempdir().unwrap();
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--track-fds=yes", "--trace-children=yes", "--child-silent-after-fork=yes"]);
    valgrind.arg(format!("--log-file={}/%p", logs.path().display())).arg(program("tcp_echo"));
    let mut server = Server::start_by(valgrind, &program("tcp_echo"), &[]);
    for _ in 0..RESTARTS {
        server.restart();
    }
    server.signal(Signal::SIGTERM);
    server.until_all_have_ended();
    let all: Vec<_> = fs::read_dir(logs.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(all.len() as u64, RESTARTS + 1, "a log for each generation: {all:?}");
    for log in all {
        check(&fs::read_to_string(&log).unwrap(), logs.path());
    }
}

/// What valgrind says of one process.
#[track_caller]
fn check(log: &str, logs: &Path) {
    assert!(log.contains("ERROR SUMMARY: 0 errors"), "{log}");
    let open = log.split_once("FILE DESCRIPTORS: ").unwrap_or_else(|| panic!("no word of descriptors: {log}")).1;
    let open = open.split_once("HEAP SUMMARY").expect("it comes next").0;
    let ours: Vec<_> = open.split("Open ").skip(1).filter(|one| !is_allowed(one, logs)).collect();
    assert!(ours.is_empty(), "open at the end: {ours:#?}\n{log}");
}

/// tokio's pipe for signals, which lives as long as the process; the end of a pipe that a thread holds which waits for the
/// successor's end, and so outlives this process's drain; valgrind's own log; and what the test itself was started with.
fn is_allowed(descriptor: &str, logs: &Path) -> bool {
    let is_tokios = descriptor.contains("tokio::signal::registry::globals_init");
    // Where there is a pidfd, there is no such thread.
    let is_waiting = descriptor.contains("pipe_that_ends_with");
    let is_log = descriptor.contains(&format!("{}/", logs.display()));
    let number = descriptor.split([':', ' ', '\n']).find_map(|word| word.parse::<i32>().ok());
    let is_passed_on = |number| descriptors(id() as i32).iter().any(|it| it.number == number && !it.close_on_exec);
    let is_inherited = descriptor.contains("<inherited from parent>") && number.is_some_and(is_passed_on);
    is_tokios || is_waiting || is_log || is_inherited
}

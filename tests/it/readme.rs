//! The program on README's first screen: compiled, started, restarted and stopped as it stands there.
//!
//! It listens on port 8080, and no test may count on a port being free. So it runs where all ports are: in a network
//! namespace of its own, and its test with it.

use std::{
    env,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};

use crate::support::{process, this};

mod program {
    include!("../../examples/readme.rs");

    pub(super) fn run() {
        main().expect("the program ends in order");
    }
}

/// Not a test: the program.
#[test]
#[ignore = "the program on README's first screen"]
fn server() {
    program::run();
}

#[test]
fn the_first_program_restarts_and_stops() {
    let namespace = |command: &str| {
        let mut unshare = Command::new("unshare");
        unshare.args(["--user", "--map-root-user", "--net", "sh", "-c", command]).arg(this());
        unshare
    };
    let possible = namespace("ip link set lo up").output();
    if !possible.as_ref().is_ok_and(|output| output.status.success()) {
        let why = format!("no network namespace here: {possible:?}");
        assert!(env::var_os("CI").is_none(), "{why}");
        return eprintln!("not tried: {why}");
    }
    let inside = "ip link set lo up && exec \"$0\" readme::inside --exact --ignored --nocapture";
    let output = namespace(inside).output().expect("started");
    assert!(output.status.success(), "{output:#?}");
}

/// One request over a connection of its own.
fn hello() -> Option<String> {
    let mut stream = TcpStream::connect("127.0.0.1:8080").ok()?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

#[track_caller]
fn greets() {
    let answer = hello().expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nhello"), "{answer}");
}

fn signal(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).expect("it lives");
}

/// All generations. However the test ends, none of them outlives it.
struct Group(i32);

impl Drop for Group {
    fn drop(&mut self) {
        // An error means that they have ended.
        let _ = killpg(Pid::from_raw(self.0), Signal::SIGKILL);
    }
}

/// Not a test by itself: what is done in the namespace.
#[test]
#[ignore = "needs port 8080: run in a network namespace by `the_first_program_restarts_and_stops`"]
fn inside() {
    let mut program = Command::new(this());
    program.args(["readme::server", "--exact", "--ignored", "--nocapture", "--quiet"]);
    let mut first = program.process_group(0).stdout(Stdio::piped()).spawn().expect("started");
    let pid = i32::try_from(first.id()).expect("a pid");
    let _group = Group(pid);
    let said = BufReader::new(first.stdout.take().expect("piped")).lines().map(|line| line.expect("UTF-8"));
    // The rest is libtest's.
    let mut reports = said.filter(|line| line.contains(": drained in "));

    process::until(|| hello().is_some());
    greets();
    signal(pid, Signal::SIGUSR2);
    process::until(|| !process::children(pid).is_empty());
    let [successor] = process::children(pid).try_into().expect("one successor");
    let report = reports.next().expect("a report");
    assert!(report.contains(&format!("replaced by generation 1 (pid {successor}): ")), "{report}");
    assert!(first.wait().expect("our child").success());
    greets();
    signal(successor, Signal::SIGTERM);
    let report = reports.next().expect("a report");
    assert!(report.contains("stopped by"), "{report}");
    assert_eq!(reports.next(), None, "nobody holds the pipe: all have ended");
    assert_eq!(hello(), None);
}

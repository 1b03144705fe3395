//! The program `hotrestart`, against servers that are made by hand: they say the frames that were recorded of version 1.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::{
    io::{Read, Write},
    os::unix::net::UnixListener,
    path::Path,
    process::{Command, Output, Stdio},
    thread,
};

/// A frame of `src/wire/version1-path.txt`, by its place there.
fn recorded(place: usize) -> Vec<u8> {
    let lines = include_str!("../src/wire/version1-path.txt").lines().filter(|line| !line.starts_with('#'));
    let line: Vec<u8> = lines.map(str::as_bytes).nth(place).unwrap().to_vec();
    let digits = line.chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

const WANT_RESTART: usize = 1;
const WANT_STATUS: usize = 2;
const WANT_STOP: usize = 3;
const REPLACED: usize = 4;
const FAILED_WITH_LAST_WORDS: usize = 5;
const FAILED: usize = 6;
const STATUS: usize = 7;
const STATUS_WITHOUT_A_RESTART: usize = 8;
const STOPPED: usize = 9;

/// The recorded failure, of another kind (by its code between generations).
fn failed(kind: u16) -> Vec<u8> {
    let mut frame = recorded(FAILED);
    frame[13..15].copy_from_slice(&kind.to_le_bytes());
    frame
}

/// Runs `hotrestart arguments… PATH` against a server that must be asked as was recorded at `want`, says `answer`, and
/// then closes.
fn run(arguments: &[&str], want: usize, answer: &[u8]) -> Output {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("control");
    let listener = UnixListener::bind(&path).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = recorded(want);
            let pid = asked.len() - 4;
            stream.read_exact(&mut asked).unwrap();
            // All but the pid, which is the asker's own.
            assert_eq!(asked[..pid], recorded(want)[..pid]);
            stream.write_all(answer).unwrap();
        });
        hotrestart(arguments, &path)
    })
}

fn hotrestart(arguments: &[&str], path: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hotrestart")).args(arguments).arg(path).output().unwrap()
}

/// Exit status, standard output, standard error.
#[track_caller]
fn check(output: &Output, code: i32, stdout: &str, stderr: &str) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    assert_eq!((text(&output.stdout), text(&output.stderr)), (stdout.to_owned(), stderr.to_owned()));
    assert_eq!(output.status.code(), Some(code));
}

#[test]
fn a_restart_that_is_done_names_the_successor() {
    let output = run(&["restart"], WANT_RESTART, &recorded(REPLACED));
    check(&output, 0, "restarted: generation 4 (pid 4713) serves\n", "");
    let output = run(&["restart", "--json"], WANT_RESTART, &recorded(REPLACED));
    check(&output, 0, "{\"generation\":4,\"ok\":true,\"pid\":4713}\n", "");
}

#[test]
fn a_restart_that_has_failed_tells_kind_message_exit_status_and_last_words() {
    let output = run(&["restart"], WANT_RESTART, &recorded(FAILED_WITH_LAST_WORDS));
    let page = "hotrestart: Exited: the successor (pid 4713) exited with status 3\n\
        exit status: 3\n\
        it last wrote:\n\
        no config\n\
        the server serves on as before\n";
    check(&output, 1, "", page);
    let output = run(&["restart", "--json"], WANT_RESTART, &recorded(FAILED_WITH_LAST_WORDS));
    let json = "{\"exit_status\":3,\"kind\":\"Exited\",\
        \"message\":\"the successor (pid 4713) exited with status 3\",\"ok\":false,\"signal\":null,\
        \"stderr\":\"no config\\n\"}\n";
    check(&output, 1, json, "");
}

#[test]
fn a_server_that_is_busy_or_not_ready_has_an_exit_status_of_its_own() {
    const NOT_READY: u16 = 7;
    let output = run(&["restart"], WANT_RESTART, &recorded(FAILED));
    check(&output, 4, "", "hotrestart: Busy: 8 earlier generations are still draining\nnothing was begun: ask again\n");
    assert_eq!(run(&["restart"], WANT_RESTART, &failed(NOT_READY)).status.code(), Some(4));
    let output = run(&["restart", "--json"], WANT_RESTART, &recorded(FAILED));
    let json = "{\"exit_status\":null,\"kind\":\"Busy\",\"message\":\"8 earlier generations are still draining\",\
        \"ok\":false,\"signal\":null,\"stderr\":null}\n";
    check(&output, 4, json, "");
}

#[test]
fn a_deadline_of_the_server_s_and_one_of_our_own_have_the_same_exit_status() {
    const DEADLINE: u16 = 19;
    assert_eq!(run(&["restart"], WANT_RESTART, &failed(DEADLINE)).status.code(), Some(5));
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("control");
    let _silent = UnixListener::bind(&path).unwrap();
    let output = hotrestart(&["restart", "--deadline", "0.05"], &path);
    let page = "hotrestart: Deadline: the server did not answer within 0.05 s\n\
        `hotrestart status` tells whether a server serves there now\n";
    check(&output, 5, "", page);
    let output = hotrestart(&["stop", "--deadline", "0.05", "--json"], &path);
    let json = "{\"exit_status\":null,\"kind\":\"Deadline\",\"message\":\"the server did not answer within 0.05 s\",\
        \"ok\":false,\"signal\":null,\"stderr\":null}\n";
    check(&output, 5, json, "");
}

#[test]
fn an_answer_within_our_own_deadline_is_the_answer() {
    let output = run(&["restart", "--deadline", "600"], WANT_RESTART, &recorded(REPLACED));
    check(&output, 0, "restarted: generation 4 (pid 4713) serves\n", "");
}

#[test]
fn nobody_there_has_an_exit_status_of_its_own() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("control");
    for left_behind in [false, true] {
        if left_behind {
            drop(UnixListener::bind(&path).unwrap());
        }
        for command in ["restart", "status", "stop"] {
            let said = format!("hotrestart: Nobody: nobody listens at {}\n", path.display());
            check(&hotrestart(&[command], &path), 3, "", &said);
        }
    }
}

#[test]
fn a_server_that_ends_or_talks_nonsense_is_a_failure_of_which_nobody_says_that_it_serves_on() {
    const DENIED: u16 = 30;
    let output = run(&["restart"], WANT_RESTART, &[]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("hotrestart: ChannelClosed: "), "{said}");
    assert!(
        said.ends_with(" ended without an answer\n`hotrestart status` tells whether a server serves there now\n"),
        "{said}"
    );
    let nonsense = [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "restart", WANT_RESTART),
        (&recorded(STATUS)[..100], "status", WANT_STATUS),
    ];
    for (answer, command, want) in nonsense {
        let output = run(&[command], want, answer);
        assert_eq!(output.status.code(), Some(1));
        assert!(!String::from_utf8(output.stderr).unwrap().contains("serves on"));
    }
    let output = run(&["status"], WANT_STATUS, &failed(DENIED));
    check(&output, 1, "", "hotrestart: Denied: 8 earlier generations are still draining\nnothing was begun\n");
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    for arguments in [&[][..], &["restart"], &["replace", "x"], &["restart", "x", "--deadline", "soon"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_hotrestart")).args(arguments).output().unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{arguments:?}");
    }
    for negative in ["-1", "nan", "1e300"] {
        let deadline = format!("--deadline={negative}");
        assert_eq!(hotrestart(&["restart", &deadline], Path::new("x")).status.code(), Some(2), "{negative}");
    }
    assert_eq!(hotrestart(&["--help"], Path::new("x")).status.code(), Some(0));
}

#[test]
fn a_stop_tells_how_the_drain_went() {
    let output = run(&["stop"], WANT_STOP, &recorded(STOPPED));
    check(&output, 0, "cut 2 connections (exit code 1)\n", "");
    let output = run(&["stop", "--json"], WANT_STOP, &recorded(STOPPED));
    check(&output, 0, "{\"code\":1,\"ok\":true,\"report\":\"cut 2 connections\"}\n", "");
}

#[test]
fn a_status_is_a_page() {
    let page = "\
generation 3 (pid 4712) is ready
since 2026-01-01 00:00:00 UTC
program /srv/app/server (runs inode 1337 of device 25)
sockets:
  http  TCP listener   127.0.0.1:40123  bound
  wake  pipe (reader)                   offered
passed on, and not served:
  admin  /run/a.sock  not claimed
connections:
  12  http1  idle  oldest 5.2 s
still draining:
  generation 2 (pid 4711) waits for 1 upgraded, for 41.0 s at most
";
    let last = "\
last restart 2026-01-01 01:00:00 UTC failed: Exited: the successor (pid 4713) exited with status 3; it last wrote:
no config
";
    check(&run(&["status"], WANT_STATUS, &recorded(STATUS)), 0, &format!("{page}{last}"), "");
    check(&run(&["status"], WANT_STATUS, &recorded(STATUS_WITHOUT_A_RESTART)), 0, page, "");
}

#[test]
fn a_status_as_json_has_every_field() {
    let json = "{\"connections\":[{\"count\":12,\"kind\":\"http1\",\"oldest\":5250,\"state\":\"idle\"}],\
        \"draining\":[{\"generation\":2,\"pid\":4711,\"remaining\":41000,\"waits_for\":\"1 upgraded\"}],\
        \"generation\":3,\
        \"last_restart\":{\"at\":1767229200000,\"exit_status\":3,\"kind\":\"Exited\",\
        \"message\":\"the successor (pid 4713) exited with status 3\",\"ok\":false,\"signal\":null,\
        \"stderr\":\"no config\\n\"},\
        \"leftovers\":[{\"address\":\"/run/a.sock\",\"name\":\"admin\",\"why\":\"not claimed\"}],\
        \"ok\":true,\"pid\":4712,\"program\":\"/srv/app/server\",\
        \"program_file\":{\"device\":25,\"inode\":1337},\"since\":1767225600123,\
        \"sockets\":[{\"address\":\"127.0.0.1:40123\",\"kind\":\"TCP listener\",\"name\":\"http\",\"origin\":\"bound\"},\
        {\"address\":\"\",\"kind\":\"pipe (reader)\",\"name\":\"wake\",\"origin\":\"offered\"}],\
        \"state\":\"ready\"}\n";
    check(&run(&["status", "--json"], WANT_STATUS, &recorded(STATUS)), 0, json, "");
    let without = run(&["status", "--json"], WANT_STATUS, &recorded(STATUS_WITHOUT_A_RESTART));
    assert!(String::from_utf8(without.stdout).unwrap().contains("\"last_restart\":null"));
}

#[test]
fn a_reader_that_has_gone_changes_nothing() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("control");
    let listener = UnixListener::bind(&path).unwrap();
    let mut asking = Command::new(env!("CARGO_BIN_EXE_hotrestart"));
    let mut asking = asking.arg("restart").arg(&path).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(asking.stdout.take());
    let (mut stream, _) = listener.accept().unwrap();
    stream.read_exact(&mut recorded(WANT_RESTART)).unwrap();
    stream.write_all(&recorded(REPLACED)).unwrap();
    let output = asking.wait_with_output().unwrap();
    check(&output, 0, "", "");
}

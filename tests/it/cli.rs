//! The program `hotrestart`, asking a server under test. What it makes of each answer is in `tests/cli.rs`.

use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::{Clients, Control, Fifo, process};

/// What it printed, where the other of the two streams is empty, and its exit status.
fn hotrestart(arguments: &[&str], at: &Control) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_hotrestart")).args(arguments).arg(at.path()).output();
    let Output { status, stdout, stderr } = output.expect("it starts");
    assert!(stdout.is_empty() || stderr.is_empty());
    let said = String::from_utf8([stdout, stderr].concat()).expect("UTF-8");
    (status.code(), said)
}

fn json(command: &str, at: &Control) -> (Option<i32>, Value) {
    let (code, said) = hotrestart(&[command, "--json"], at);
    assert_eq!(said.lines().count(), 1, "{said}");
    (code, serde_json::from_str(&said).expect("JSON"))
}

#[test]
fn a_restart_that_is_done_names_the_successor_that_serves() {
    let at = Control::new();
    let mut fleet = at.start();
    let clients = Clients::on(&fleet);
    let (code, said) = hotrestart(&["restart"], &at);
    let second = fleet.until("ready generation=1").pid();
    assert_eq!((code, said), (Some(0), format!("restarted: generation 1 (pid {second}) serves\n")));
    let (code, said) = json("restart", &at);
    let third = fleet.until("ready generation=2").pid();
    assert_eq!((code, said), (Some(0), json!({ "ok": true, "generation": 2, "pid": third })));
    clients.until_served();
    clients.off();
}

#[test]
fn a_restart_that_fails_is_told_with_exit_status_and_last_words_and_the_server_serves_on() {
    let at = Control::new();
    let fleet = at.start();
    let clients = Clients::on(&fleet);
    fleet.release.script("echo 'no config: line 7' >&2; exit 3");
    let (code, said) = hotrestart(&["restart"], &at);
    let lines: Vec<_> = said.lines().collect();
    assert!(lines[0].starts_with("hotrestart: Exited: the successor ended before it was ready: "), "{said}");
    let rest = ["exit status: 3", "it last wrote:", "no config: line 7", "the server serves on as before"];
    assert_eq!((code, &lines[1..]), (Some(1), &rest[..]));
    let (code, said) = json("restart", &at);
    assert_eq!(code, Some(1));
    let fields = ["ok", "kind", "exit_status", "signal", "stderr"].map(|field| &said[field]);
    assert_eq!(fields, [&json!(false), &json!("Exited"), &json!(3), &Value::Null, &json!("no config: line 7\n")]);
    clients.until_served();
    assert_eq!(clients.off(), 0);
    assert_eq!(at.now(), (0, "ready".into()));
}

#[test]
fn a_status_is_a_page_or_the_same_as_json() {
    let at = Control::new();
    let fleet = at.start();
    let (code, page) = hotrestart(&["status"], &at);
    assert_eq!(code, Some(0));
    assert!(page.starts_with(&format!("generation 0 (pid {}) is ready\nsince ", fleet.first())), "{page}");
    for line in [format!("  TCP listener      {}  ", fleet.http), at.path().display().to_string()] {
        assert!(page.contains(&line), "{line:?} in {page}");
    }
    let (code, status) = json("status", &at);
    assert_eq!((code, &status["ok"], &status["state"]), (Some(0), &json!(true), &json!("ready")));
    assert_eq!((&status["generation"], &status["pid"]), (&json!(0), &json!(fleet.first())));
    let http = json!({ "name": "http", "kind": "TCP listener", "address": fleet.http.to_string(), "origin": "bound" });
    assert!(status["sockets"].as_array().expect("a list").contains(&http), "{status}");
    assert_eq!((&status["draining"], &status["last_restart"]), (&json!([]), &Value::Null));
}

#[test]
fn a_stop_waits_for_the_drain_and_then_nobody_is_there() {
    let at = Control::new();
    let mut fleet = at.start();
    let (code, said) = hotrestart(&["stop"], &at);
    assert!(code == Some(0) && said.ends_with(" (exit code 0)\n"), "{said}");
    fleet.until_all_have_ended();
    for command in ["restart", "status", "stop"] {
        let nobody = format!("hotrestart: Nobody: nobody listens at {}\n", at.path().display());
        assert_eq!(hotrestart(&[command], &at), (Some(3), nobody));
    }
}

#[test]
fn a_server_that_is_not_ready_is_busy() {
    let at = Control::new();
    let fifo = Fifo::new(at.path().with_extension("fifo"));
    let mut fleet = at.setup().with("FIFO", fifo.path()).spawn();
    fleet.until("waiting generation=0");
    let (code, said) = hotrestart(&["restart"], &at);
    assert_eq!(code, Some(4), "{said}");
    assert!(said.starts_with("hotrestart: NotReady: ") && said.ends_with("\nnothing was begun: ask again\n"), "{said}");
    fifo.release();
    fleet.greet();
}

#[test]
fn a_successor_that_is_not_ready_in_time_and_an_answer_that_does_not_come_in_time_are_told_alike() {
    let at = Control::new();
    let fleet = at.setup().with("READY_DEADLINE_MS", "1500").start();
    fleet.release.script("exec sleep 600");
    let (code, said) = hotrestart(&["restart", "--deadline", "0.1"], &at);
    assert_eq!(code, Some(5), "{said}");
    assert!(said.starts_with("hotrestart: Deadline: the server did not answer within 0.1 s\n"), "{said}");
    // What was asked for goes on, and this one joins it.
    let (code, said) = json("restart", &at);
    assert_eq!((code, &said["kind"]), (Some(5), &json!("Deadline")), "{said}");
    process::until(|| at.now() == (0, "ready".into()));
}

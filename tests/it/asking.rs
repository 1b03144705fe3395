//! Whoever asks for a restart gets its outcome, by whichever way he asked, and however many ask.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread::{self, JoinHandle},
};

use nix::sys::signal::Signal;

use crate::support::{Fifo, Setup, Trial};

/// What `GET /restart` answers, in the end.
fn ask_over_http(address: SocketAddr) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET /restart HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
        response.split_once("\r\n\r\n").unwrap().1.to_owned()
    })
}

/// A server whose log tells each event, so that a test can wait for it.
fn talkative() -> Setup {
    Setup::new().with("LOG", "info,tokio_hotrestart=debug")
}

#[test]
fn all_who_ask_while_a_successor_starts_get_one_answer() {
    let mut trial = Trial::of(talkative());
    let gate = Fifo::new(trial.fleet.path("gate"));
    trial.fleet.release.script(&format!("echo starting; cat '{}'; exit 3", gate.path().display()));
    let first = trial.fleet.first();
    let over_http = [(); 2].map(|()| ask_over_http(trial.fleet.http));
    trial.fleet.until_logged("event=RestartAsked", 2);
    trial.fleet.until("starting");
    trial.fleet.ask(first);
    trial.fleet.until_logged("event=RestartAsked", 3);
    trial.fleet.signal(first, Signal::SIGUSR2);
    trial.fleet.until_logged("event=RestartSignalled", 1);
    gate.release();
    let answer = trial.fleet.answer(0);
    assert!(answer.starts_with("Exited") && answer.contains("exit status: 3"), "{answer}");
    assert_eq!(over_http.map(|asked| asked.join().unwrap()), [answer.clone(), answer]);
    trial.succeeds();
    trial.fleet.until_logged(": drained", 1);
    let log = trial.fleet.log();
    assert_eq!(log.matches("the restart failed").count(), 1, "{log}");
    assert_eq!(log.matches("action=Spawn").count(), 2, "one for all four, and the good one: {log}");
}

#[test]
fn all_who_ask_in_probation_are_told_of_the_successor() {
    let mut fleet = talkative().with("PROBATION_MS", "2000").start();
    let first = ask_over_http(fleet.http);
    let successor = fleet.until("ready generation=1").pid();
    // Still in its probation, so it joins; past it, it would be refused.
    fleet.ask(fleet.first());
    let told = format!("replaced by {successor}");
    assert_eq!(fleet.answer(0), told);
    assert_eq!(first.join().unwrap(), told);
    fleet.until("done generation=0");
}

#[test]
fn the_last_words_of_a_successor_come_back_over_http() {
    let trial = Trial::new();
    trial.fleet.release.script("echo 'no config: line 7' >&2; exit 3");
    let answer = ask_over_http(trial.fleet.http).join().unwrap();
    let wanted = "Exited: the successor ended before it was ready: exit status: 3; it last wrote:\nno config: line 7";
    assert_eq!(answer, wanted);
}

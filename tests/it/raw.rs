//! Connections of the application's own, over a Unix socket, that it hands over in the middle of a line.

use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
};

use nix::sys::signal::Signal;

use crate::support::{Fleet, Setup, process};

/// More than may be undecided at a time.
const CLIENTS: usize = 40;

/// How many those are.
const UNDECIDED: usize = 16;

struct Client(BufReader<UnixStream>);

impl Client {
    /// It has had an answer of generation 0, and has sent half of the next line.
    fn served(path: &Path) -> Self {
        let mut client = Self(BufReader::new(UnixStream::connect(path).unwrap()));
        client.say("one\ntw");
        assert_eq!(client.hear(), "0 one\n");
        client
    }

    fn say(&mut self, words: &str) {
        self.0.get_mut().write_all(words.as_bytes()).unwrap();
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line
    }

    /// What comes until the end.
    fn rest(mut self) -> String {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).unwrap();
        rest
    }
}

fn started(setup: Setup) -> (Fleet, Vec<Client>) {
    let path = setup.place().join("lines");
    let fleet = setup.with("LINES", &path).with("STOP_DEADLINE_MS", "120000").start();
    (fleet, (0..CLIENTS).map(|_| Client::served(&path)).collect())
}

/// A restart whose successor stands still when its predecessor has let go, and all want to leave. The successor's pid.
fn held(setup: Setup) -> (Fleet, Vec<Client>, i32) {
    let (mut fleet, clients) = started(setup.with("AT", "1:PredecessorLetGo:hold"));
    fleet.signal(fleet.first(), Signal::SIGUSR2);
    let successor = fleet.until_held("PredecessorLetGo");
    for _ in 0..CLIENTS {
        fleet.until("leaving generation=0");
    }
    (fleet, clients, successor)
}

#[test]
fn three_restarts_disconnect_nobody_in_the_middle_of_a_line() {
    let (mut fleet, mut clients) = started(Setup::new());
    let mut newest = fleet.first();
    for generation in 0..3 {
        newest = fleet.restart(generation, newest);
        let done = fleet.until(&format!("done generation={generation}"));
        assert_eq!(["handed", "finished", "cut", "code"].map(|it| done.number(it)), [CLIENTS as u64, 0, 0, 0]);
        for client in &mut clients {
            client.say("o\ntw");
            assert_eq!(client.hear(), format!("{} two\n", generation + 1));
        }
    }
    drop(clients);
    fleet.stop(newest, 3);
}

#[test]
fn a_successor_that_is_killed_leaves_all_to_its_predecessor() {
    let (mut fleet, clients, successor) = held(Setup::new());
    fleet.signal(successor, Signal::SIGKILL);
    for _ in 0..CLIENTS {
        fleet.until("back generation=0");
    }
    clients.into_iter().for_each(|client| assert_eq!(client.rest(), "", "an end in order, and nothing left to answer"));
    let done = fleet.until("done generation=0");
    assert_eq!(["handed", "finished", "cut", "code"].map(|it| done.number(it)), [0, CLIENTS as u64, 0, 1]);
}

/// Those that were offered may still be served there, and are counted. The others have come back before.
#[test]
fn what_a_successor_that_stands_still_was_offered_is_counted_at_the_deadline_and_served_there_in_the_end() {
    let (mut fleet, mut clients, successor) = held(Setup::new().with("RESTART_DEADLINE_MS", "3000"));
    for _ in 0..CLIENTS - UNDECIDED {
        fleet.until("back generation=0");
    }
    for _ in 0..UNDECIDED {
        fleet.until("lost generation=0");
    }
    let done = fleet.until("done generation=0");
    assert_eq!(["handed", "cut"].map(|it| done.number(it)), [0, UNDECIDED as u64]);
    assert!(fleet.first_exit().success());
    process::go_on(successor);
    clients.iter_mut().for_each(|client| drop(client.0.get_mut().write_all(b"o\n"))); // most have ended
    let answers: Vec<_> = clients.into_iter().map(|mut client| client.0.read_line(&mut String::new())).collect();
    let served = answers.iter().filter(|answer| matches!(answer, Ok(1..))).count();
    assert_eq!(served, UNDECIDED);
    fleet.stop(successor, 1);
}

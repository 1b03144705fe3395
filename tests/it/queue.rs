//! The accept queue: whoever is in it when nobody accepts is answered by whoever accepts next.

use std::{collections::BTreeMap, fs, thread};

use ::load::{Exchange, Load, Mode, Outcome, Tally};
use nix::sys::signal::Signal;

use crate::support::{Fleet, Line, Setup, Traffic, http::Client, process};

/// All connected, all with their request sent.
fn waiting(fleet: &Fleet, clients: usize) -> Vec<Client> {
    let waiting = (0..clients).map(|_| {
        let mut client = Client::connect(fleet.http);
        client.ask("/");
        client
    });
    waiting.collect()
}

/// How many each generation answers: all of them, whole and without a reset.
#[track_caller]
fn answered(clients: Vec<Client>) -> BTreeMap<u64, usize> {
    let mut answered = BTreeMap::new();
    for mut client in clients {
        let answer = client.answer().expect("an answer");
        assert_eq!(answer.body, b"hello world");
        *answered.entry(answer.generation).or_default() += 1;
    }
    answered
}

#[test]
fn whoever_comes_while_nobody_accepts_is_answered_by_the_successor() {
    let mut fleet = Setup::new().with("AT", "1:OpenGate:hold").start();
    fleet.signal(fleet.first(), Signal::SIGUSR2);
    // Confirmed, so the predecessor accepts nobody any more; and the successor does not yet.
    let successor = fleet.until_held("OpenGate");
    let clients = waiting(&fleet, 300);
    fleet.signal(successor, Signal::SIGCONT);
    assert_eq!(answered(clients), BTreeMap::from([(1, 300)]));
}

#[test]
fn whoever_comes_while_the_predecessor_stands_still_is_answered_by_either() {
    let mut fleet = Setup::new().start();
    let first = fleet.freeze_first();
    let clients = waiting(&fleet, 300);
    fleet.signal(first, Signal::SIGUSR2);
    fleet.signal(first, Signal::SIGCONT);
    assert_eq!(answered(clients).values().sum::<usize>(), 300);
    fleet.until("ready generation=1");
    assert_eq!(fleet.until("done generation=0").number("cut"), 0);
}

/// More than the queue takes: the kernel lets the others try again, as long as the socket is there.
#[test]
fn whoever_finds_the_queue_full_is_answered_in_the_end() {
    const CLIENTS: usize = 20;
    let mut fleet = Setup::new().with("BACKLOG", "4").with("AT", "1:OpenGate:hold").start();
    fleet.signal(fleet.first(), Signal::SIGUSR2);
    let successor = fleet.until_held("OpenGate");
    let http = fleet.http;
    let clients = [(); CLIENTS].map(|()| {
        thread::spawn(move || {
            let mut client = Client::connect(http);
            client.get("/").generation
        })
    });
    process::until(|| {
        let (knocking, inside) = (in_state(http.port(), SYN_SENT), in_state(http.port(), ESTABLISHED));
        knocking > 0 && knocking + inside == CLIENTS
    });
    fleet.signal(successor, Signal::SIGCONT);
    assert_eq!(clients.map(|client| client.join().expect("answered")), [1; CLIENTS]);
}

const ESTABLISHED: &str = "01";
const SYN_SENT: &str = "02";

/// How many clients of this port are so far.
fn in_state(port: u16, state: &str) -> usize {
    let peer = format!(":{port:04X}");
    let table = fs::read_to_string("/proc/net/tcp").expect("a table");
    let fields = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    fields.filter(|fields| fields[2].ends_with(&peer) && fields[3] == state).count()
}

#[test]
fn a_stop_empties_the_queue() {
    let mut fleet = Setup::new().start();
    let first = fleet.freeze_first();
    let clients = waiting(&fleet, 300);
    fleet.signal(first, Signal::SIGTERM);
    fleet.signal(first, Signal::SIGCONT);
    assert_eq!(answered(clients), BTreeMap::from([(0, 300)]));
    let done = fleet.until("done generation=0");
    assert_eq!((done.number("cut"), done.number("raced")), (0, 0), "{done:?}");
}

/// What clients see of a stop, with 8 of them: nothing is lost but the connections that come when nobody listens.
fn stopped_under(mode: Mode) -> (Line, Tally) {
    let mut fleet = Setup::new().start();
    let traffic = Traffic::on([Load::new(fleet.http, mode).clients(8)]);
    traffic.reach(200);
    fleet.signal(fleet.first(), Signal::SIGTERM);
    let done = fleet.until("done generation=0");
    let [tally] = traffic.off().try_into().unwrap();
    (done, tally)
}

/// `connect` may succeed and the connection be reset nonetheless, where the handshake ends between the last look into
/// the queue and the `close` of the socket: no call of the kernel's does both. That takes microseconds, and one
/// connection of a client's at the most, its last. Everybody else is answered: nobody is cut, and nobody who had been
/// served is reset.
#[track_caller]
fn only_the_last_may_be_lost(tally: &Tally) {
    let lost = [Outcome::Raced, Outcome::Cut, Outcome::Wrong, Outcome::TimedOut].map(|outcome| tally.count(outcome));
    assert_eq!(lost, [0; 4], "{tally}");
    assert!(tally.count(Outcome::Reset) <= 8, "{tally}");
    let resets = tally.failures().iter().filter(|failure| failure.starts_with("reset"));
    resets.for_each(|reset| assert!(reset.ends_with("on a new connection"), "{tally}"));
}

#[test]
fn kept_alive_clients_are_told_of_a_stop() {
    let (done, tally) = stopped_under(Mode::KeepAlive(Exchange::get()));
    let told = (done.number("told"), done.number("raced"), done.number("cut"));
    assert_eq!(told, (done.number("finished"), 0, 0), "{done:?}");
    assert!(done.number("told") >= 8, "{done:?}");
    only_the_last_may_be_lost(&tally);
}

#[test]
fn fresh_clients_are_answered_or_refused_at_a_stop() {
    let (done, tally) = stopped_under(Mode::Fresh(Exchange::get()));
    assert_eq!((done.number("raced"), done.number("cut")), (0, 0), "{done:?}");
    only_the_last_may_be_lost(&tally);
}

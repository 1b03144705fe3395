//! Successors made by hand: offered live connections, they take them, decline them, misspeak or end at each point. A
//! connection has one owner at any time, and the server knows which.

use std::{collections::BTreeMap, os::unix::process::ExitStatusExt, time::Duration};

use nix::sys::signal::Signal;

use super::{all, server};
use crate::{
    fake,
    heir::Heir,
    support::{
        Control, Fleet, Line, Open, Setup,
        crowd::{Crowd, Fate},
        drain::{accepted, pass},
        echo::Client as Lines,
        frames::{self, Begun, Offered, To},
        http::Client,
        process,
    },
};

/// How many connections of a `serve` may be undecided at a time, of sixty-four in all.
const UNDECIDED: usize = 48;

/// What a good successor says and hears before it is offered anything.
const PRELUDE: &str = "take able:final-state,hand-over READY hear:FINAL-END FINAL-TAKEN";

/// A server whose connections are offered to this test.
struct Trial {
    /// Which keeps the path.
    _at: Control,
    first: Fleet,
    heir: Heir,
}

impl Trial {
    /// What is there before the restart, and the trial.
    fn of<C>(setup: Setup, before: impl FnOnce(&Fleet) -> C) -> (C, Self) {
        let at = Control::new();
        let mut first = setup.with("CONTROL", at.path()).start();
        let before = before(&first);
        let heir = Heir::come(&at);
        heir.plays(PRELUDE);
        first.until("ending generation=0 ");
        (before, Self { _at: at, first, heir })
    }

    /// With so many clients that idle. On one thread, so that an answer to a later request tells that an earlier one is not
    /// answered there.
    fn with(clients: usize) -> (Crowd, Self) {
        Self::of(server().with("THREADS", "1"), |first| Crowd::served(first.http, clients))
    }

    fn offers(&self, many: usize) -> Vec<(Offered, Open)> {
        self.heir.wire().offers(many)
    }

    fn takes(&self, those: &[(Offered, Open)]) {
        self.heir.wire().say(&frames::taken(ids(those)));
    }

    /// The server ends, and has counted them so: handed over, finished, told, cut. Its last line.
    #[track_caller]
    fn ends(&mut self, counts: [u64; 4]) -> Line {
        let done = self.first.until("done generation=0");
        let counted = ["handed", "finished", "told", "cut"].map(|count| done.number(count));
        assert_eq!(counted, counts, "{}", self.first.log());
        done
    }
}

fn ids(those: &[(Offered, Open)]) -> Vec<u64> {
    those.iter().map(|(offered, _)| offered.id).collect()
}

/// Answers one request on each, as generation 1 would.
#[track_caller]
fn serve(those: &[(Offered, Open)]) {
    for (offered, socket) in those {
        let mut request = offered.read.clone();
        let body = loop {
            let text = String::from_utf8_lossy(&request).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                if body.len() == length.map_or(0, |length| length.parse().expect("a number")) {
                    break body.to_owned();
                }
            }
            let more = socket.hear();
            assert!(!more.is_empty(), "a client that does not leave");
            request.extend(more);
        };
        let length = body.len();
        socket.say(format!("HTTP/1.1 200 OK\r\nx-generation: 1\r\ncontent-length: {length}\r\n\r\n{body}").as_bytes());
    }
}

// --------------------------------------------------------------------------------------------------------- what is said

#[test]
fn an_offer_names_the_socket_and_brings_what_was_read() {
    let open = |first: &Fleet| {
        let (served, mut fresh, mut half) =
            (Client::served(first.http), Client::connect(first.http), Client::served(first.http));
        fresh.say("PR");
        half.say("GET / HTTP/1.1\r\nhos");
        [served, fresh, half]
    };
    let (clients, mut it) = Trial::of(server(), |first| accepted(first, 3, open));
    let mut offered = it.offers(3);
    it.takes(&offered);
    it.ends([3, 0, 0, 0]);
    offered.sort_by_key(|(offered, _)| offered.read.len());
    let said: Vec<_> = offered.iter().map(|(it, _)| (it.to.clone(), &*it.read, &*it.state)).collect();
    let to = |begun| To::Serve("http".to_owned(), begun);
    let nothing = &b""[..];
    assert_eq!(
        said,
        [
            (to(Begun::Http1), nothing, nothing),
            (to(Begun::Fresh), b"PR", nothing),
            (to(Begun::Http1), b"GET / HTTP/1.1\r\nhos", nothing),
        ]
    );
    let mut numbers = ids(&offered);
    numbers.sort();
    numbers.dedup();
    assert_eq!(numbers.len(), 3);
    for ((_, socket), mut client) in offered.iter().zip(clients) {
        socket.say(b"by hand");
        assert_eq!(client.take(7).expect("the very same connection"), b"by hand");
    }
}

/// Nothing of it lies with the server: neither is it read there, nor ended.
#[test]
fn what_is_undecided_is_left_alone() {
    let open = |first: &Fleet| (Crowd::served(first.http, 10), Lines::served(first.echo));
    let ((mut crowd, mut lines), mut it) = Trial::of(server(), open);
    let offered = it.offers(10);
    crowd.send();
    // The server has time for it.
    lines.line().expect("an answer");
    drop(lines);
    it.takes(&offered);
    it.ends([10, 1, 0, 0]);
    serve(&offered);
    assert_eq!(crowd.answers(), all(Fate::Kept(1), 10));
}

#[test]
fn what_is_declined_works_as_before_and_is_drained() {
    let setup = server().with("LOG", "info,tokio_hotrestart=debug");
    let (mut crowd, mut it) = Trial::of(setup, |first| Crowd::served(first.http, 20));
    let offered = it.offers(20);
    crowd.send();
    it.heir.wire().say(&frames::declined(ids(&offered), "the moon is full"));
    drop(offered);
    assert_eq!(crowd.answers(), all(Fate::Told(0), 20));
    it.ends([0, 20, 20, 0]);
    assert!(it.first.log().contains("the moon is full"), "{}", it.first.log());
}

/// The bytes that were read come back with it.
#[test]
fn half_a_head_that_is_declined_is_answered_when_it_is_complete() {
    let half = |first: &Fleet| {
        let mut client = Client::served(first.http);
        client.say("GET / HTTP/1.1\r\nho");
        client
    };
    let (mut client, mut it) = Trial::of(server(), half);
    let offered = it.offers(1);
    assert_eq!(offered[0].0.read, b"GET / HTTP/1.1\r\nho");
    it.heir.wire().say(&frames::declined(ids(&offered), "no"));
    client.say("st: test\r\n\r\n");
    let answer = client.answer().expect("an answer");
    assert_eq!((answer.close, answer.generation), (true, 0));
    it.ends([0, 1, 1, 0]);
}

/// A successor that can take connections and knows no final state is told of none, and is offered them all the same.
#[test]
fn it_knows_no_final_state() {
    let at = Control::new();
    let mut first = server().with("CONTROL", at.path()).start();
    let mut crowd = Crowd::served(first.http, 10);
    let heir = Heir::come(&at);
    heir.plays("take able:hand-over READY hear:LET-GO");
    let offered = heir.wire().offers(10);
    heir.wire().say(&frames::taken(ids(&offered)));
    assert_eq!(first.until("done generation=0").number("handed"), 10);
    crowd.send();
    serve(&offered);
    assert_eq!(crowd.answers(), all(Fate::Kept(1), 10));
}

// ------------------------------------------------------------------------------------------------------------ is slow

/// It takes each one alone, after a look at all that is offered, and at a client for which there was no room.
#[test]
fn a_slow_one_never_has_more_than_its_window_undecided_and_everybody_else_is_served_on() {
    const CLIENTS: usize = 150;
    let (mut crowd, mut it) = Trial::with(CLIENTS);
    let mut undecided = it.offers(UNDECIDED);
    assert_eq!(undecided.len(), UNDECIDED);
    crowd.until_waiting(UNDECIDED);
    let mut taken = Vec::new();
    while taken.len() < CLIENTS {
        let next = undecided.remove(0);
        it.heir.wire().say(&frames::taken([next.0.id]));
        taken.push(next);
        if taken.len() + undecided.len() < CLIENTS {
            undecided.extend(it.offers(1));
            assert_eq!(undecided.len(), UNDECIDED, "one for one");
        }
    }
    it.ends([CLIENTS as u64, 0, 0, 0]);
    // Those of the first window have waited, and nobody has answered them before.
    serve(&taken[..UNDECIDED]);
    assert_eq!(crowd.answers(), all(Fate::Kept(1), UNDECIDED));
}

/// Nothing is taken back for that, however long it takes; but nothing more is offered, and who waits for its turn is
/// drained.
#[test]
fn a_silent_one_gets_no_more_and_still_decides() {
    let (mut crowd, mut it) = Trial::with(UNDECIDED + 10);
    let offered = it.offers(UNDECIDED);
    crowd.until_waiting(UNDECIDED);
    it.first.until_logged("the successor does not answer", 1);
    // The ten are asked, and the others wait.
    crowd.send();
    it.takes(&offered);
    serve(&offered);
    assert_eq!(crowd.answers(), BTreeMap::from([(Fate::Kept(1), UNDECIDED), (Fate::Told(0), 10)]));
    it.ends([UNDECIDED as u64, 10, 10, 0]);
}

/// At its drain's deadline the server gives up what is undecided, and counts it. The successor may decide all the same.
#[test]
fn one_that_is_silent_until_the_deadline_may_take_what_it_has_when_the_server_is_gone() {
    let setup = server().with("RESTART_DEADLINE_MS", "1500");
    let (mut crowd, mut it) = Trial::of(setup, |first| Crowd::served(first.http, 20));
    let offered = it.offers(20);
    crowd.send();
    assert_eq!(&it.first.until("cut generation=0")["why"], "http1:undecided:20");
    it.ends([0, 0, 0, 20]);
    it.first.first_exit();
    serve(&offered);
    assert_eq!(crowd.answers(), all(Fate::Kept(1), 20));
}

// --------------------------------------------------------------------------------------------------------------- ends

/// What it had not taken is the server's again; and the server, with nobody after it, hurries.
#[test]
fn it_ends_before_it_has_taken_anything() {
    let (mut crowd, mut it) = Trial::with(UNDECIDED + 10);
    drop(it.offers(UNDECIDED));
    crowd.until_waiting(UNDECIDED);
    drop(it.heir);
    assert_eq!(crowd.settle(), all(Fate::Told(0), UNDECIDED + 10));
    let done = it.first.until("done generation=0");
    let counts = ["handed", "told", "cut", "code"].map(|count| done.number(count));
    assert_eq!((counts, &done["lost"]), ([0, UNDECIDED as u64 + 10, 0, 1], "true"));
}

/// What it has taken dies with it, and no other.
#[test]
fn it_ends_when_it_has_taken_some() {
    let (mut crowd, mut it) = Trial::with(UNDECIDED);
    let offered = it.offers(UNDECIDED);
    it.takes(&offered[..20]);
    drop((it.heir, offered));
    assert_eq!(crowd.settle(), BTreeMap::from([(Fate::Told(0), UNDECIDED - 20), (Fate::Ended, 20)]));
    let done = it.first.until("done generation=0");
    assert_eq!(["handed", "told", "cut"].map(|count| done.number(count)), [20, UNDECIDED as u64 - 20, 0]);
}

/// The kernel has not taken the whole frame, so nothing was decided.
#[test]
fn it_ends_in_the_midst_of_taken() {
    let (mut crowd, mut it) = Trial::with(20);
    let offered = it.offers(20);
    let frame = frames::taken(ids(&offered));
    it.heir.wire().say(&frame[..frame.len() - 1]);
    drop((it.heir, offered));
    assert_eq!(crowd.settle(), all(Fate::Told(0), 20));
    let done = it.first.until("done generation=0");
    assert_eq!(["handed", "told", "cut"].map(|count| done.number(count)), [0, 20, 0]);
}

/// TAKEN lies in the queue of a server that stands still, its successor is dead, and another connection comes to its
/// moment: the first thing that the server may find out is that it can't send.
#[test]
fn it_ends_with_taken_unread_and_the_next_offer_fails() {
    let open = |first: &Fleet| {
        let crowd = Crowd::served(first.http, 20);
        let mut slow = Client::connect(first.http);
        slow.ask("/slow/1000");
        (crowd, slow)
    };
    let ((mut crowd, mut slow), mut it) = Trial::of(server(), |first| accepted(first, 21, open));
    let offered = it.offers(20);
    it.first.freeze_first();
    it.takes(&offered[..15]);
    drop((it.heir, offered));
    // Its answer is due when the server goes on.
    pass(Duration::from_millis(1_100));
    process::go_on(it.first.first());
    let mut answer = slow.answer().expect("an answer");
    while !answer.close {
        answer = slow.get("/");
    }
    assert_eq!(answer.generation, 0);
    assert_eq!(crowd.settle(), BTreeMap::from([(Fate::Told(0), 5), (Fate::Ended, 15)]));
    drop(slow);
    let done = it.first.until("done generation=0");
    assert_eq!(["handed", "told", "cut"].map(|count| done.number(count)), [15, 6, 0], "{}", it.first.log());
}

// ---------------------------------------------------------------------------------------------------------- misspeaks

/// Nothing that it says later can be believed, so nobody knows whose they are: the server touches them no more.
#[test]
fn it_speaks_garbage_and_the_server_gives_up_what_is_undecided() {
    let (mut crowd, mut it) = Trial::with(20);
    let offered = it.offers(20);
    it.takes(&offered[..5]);
    it.heir.wire().say(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    assert_eq!(&it.first.until("cut generation=0")["why"], "http1:undecided:15");
    it.ends([5, 0, 0, 15]);
    it.first.first_exit();
    crowd.send();
    serve(&offered);
    assert_eq!(crowd.answers(), all(Fate::Kept(1), 20), "it has them all, and nobody else does");
}

#[test]
fn it_decides_twice_and_what_nobody_has_offered_and_the_first_word_counts() {
    let (mut crowd, mut it) = Trial::with(20);
    let mut offered = it.offers(20);
    let declined = offered.split_off(10);
    it.takes(&offered);
    it.heir.wire().say(&frames::declined(ids(&declined), "no"));
    let wire = it.heir.wire();
    wire.say(&frames::declined(ids(&offered), "after all"));
    wire.say(&frames::taken(ids(&declined)));
    wire.say(&frames::taken(ids(&offered)));
    wire.say(&frames::taken([u64::MAX, 0]));
    wire.say(&frames::declined([u64::MAX - 1], "what?"));
    drop(declined);
    crowd.send();
    serve(&offered);
    assert_eq!(crowd.answers(), BTreeMap::from([(Fate::Kept(1), 10), (Fate::Told(0), 10)]));
    it.ends([10, 10, 10, 0]);
}

// ------------------------------------------------------------------------------------------------------------ is killed

/// Spawned by the server, it takes these steps when it is offered connections, and is killed. Somebody else's connection
/// stays where it is.
fn killed(steps: &str, clients: usize) -> (Crowd, Lines, Fleet) {
    let mut fleet = server().start();
    let (crowd, lines) = (Crowd::served(fleet.http, clients), Lines::served(fleet.echo));
    fake::release(&fleet.release, &format!("{PRELUDE} {steps} kill"));
    fleet.signal(fleet.first(), Signal::SIGUSR2);
    fleet.until("ending generation=0 ");
    (crowd, lines, fleet)
}

#[track_caller]
fn killed_and_known(steps: &str, clients: usize, taken: usize) {
    let (mut crowd, lines, mut fleet) = killed(steps, clients);
    // With somebody else to wait for, the server lives to see it.
    fleet.until_logged("the successor died", 1);
    drop(lines);
    let fates = crowd.settle();
    let count = |fate| fates.get(&fate).copied().unwrap_or_default();
    assert_eq!((count(Fate::Ended), count(Fate::Told(0))), (taken, clients - taken), "{fates:?}");
    let done = fleet.until("done generation=0");
    let counts = ["handed", "told", "cut", "code"].map(|count| done.number(count));
    assert_eq!((counts, &done["lost"]), ([taken as u64, (clients - taken) as u64, 0, 1], "true"));
    let status = fleet.first_exit();
    assert_eq!((status.code(), status.signal()), (Some(1), None), "so that a supervisor acts now");
}

#[test]
fn it_is_killed_before_it_has_taken_anything() {
    killed_and_known("offered:20", 20, 0);
}

#[test]
fn it_is_killed_when_it_has_taken_all() {
    killed_and_known("taken:20", 20, 20);
}

/// Another process has the channel too, so that it does not end.
#[test]
fn it_is_killed_while_another_process_holds_its_channel() {
    killed_and_known("offered:20 share", 20, 0);
}

#[test]
fn it_is_killed_when_it_has_taken_all_while_another_process_holds_its_channel() {
    killed_and_known("share taken:20", 20, 20);
}

/// As many as a process may open here, if that is less.
#[test]
fn it_is_killed_in_the_midst_of_ten_thousand() {
    let (limit, _) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    let clients = 10_000.min(limit as usize / 2);
    println!("{clients} connections");
    let (mut crowd, lines, mut fleet) = killed(&format!("taking:{} offered:1", clients / 3), clients);
    let taken = fleet.until("took")["count"].parse::<usize>().unwrap();
    assert!(taken < clients / 2, "{taken}");
    drop(lines);
    assert_eq!(crowd.settle(), BTreeMap::from([(Fate::Told(0), clients - taken), (Fate::Ended, taken)]));
    let done = fleet.until("done generation=0");
    assert_eq!(["handed", "cut"].map(|count| done.number(count)), [taken as u64, 0]);
}

//! Requests that meet the end of their connection, and handlers that do not wait for the whole request: nothing is reset,
//! and nothing is lost that is not counted.

use std::time::Instant;

use crate::support::{
    Fleet, Setup,
    drain::{GRACE, Way, drained, pass, server, spread},
    http::Client,
    server::large,
};

const SIZE: usize = 6_000_000;

/// What became of a client's one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It was answered and told.
    Told,
    /// It was answered, and the connection let go later: its turn had not come.
    Answered,
    /// Nobody answered it, and the end was clean.
    Raced,
}

/// Asks at this moment, whatever the server does in it.
fn ask_at(mut client: Client, moment: Instant) -> End {
    // Not by sleeping alone: what is tested is a moment.
    while Instant::now() < moment {
        std::thread::yield_now();
    }
    client.ask("/");
    let read = client.rest().expect("no reset");
    match String::from_utf8_lossy(&read).to_ascii_lowercase() {
        nothing if nothing.is_empty() => End::Raced,
        answer if answer.contains("\r\nconnection: close\r\n") && answer.ends_with("hello world") => End::Told,
        answer if answer.starts_with("http/1.1 200") && answer.ends_with("hello world") => End::Answered,
        odd => panic!("{odd}"),
    }
}

/// Each client asks once in the time in which connections are let go, most of them about when theirs is. All of them are
/// answered, or see a clean end, and the server counts them as the clients do.
fn rounds(setup: impl Fn() -> Setup) {
    const CLIENTS: u32 = 120;
    for way in Way::BOTH {
        for round in 0..5 {
            let mut fleet = setup().with("THREADS", "1").start();
            let clients: Vec<_> = (0..CLIENTS).map(|_| Client::served(fleet.http)).collect();
            way.begin(&mut fleet);
            // From a fifth of the grace to a little beyond its end, in which what idles is let go.
            let (begin, step) = (Instant::now() + GRACE / 5, GRACE / CLIENTS);
            let ask = |(number, client): (u32, Client)| {
                let moment = begin + step * number;
                std::thread::spawn(move || ask_at(client, moment))
            };
            let threads: Vec<_> = (0..).zip(clients).map(ask).collect();
            let ends: Vec<End> = threads.into_iter().map(|thread| thread.join().expect("no reset")).collect();
            let count = |end| ends.iter().filter(|it| **it == end).count() as u64;
            let (told, answered, raced) = (count(End::Told), count(End::Answered), count(End::Raced));
            let done = fleet.until("done generation=0");
            let counts = ["finished", "told", "raced", "cut"].map(|count| done.number(count));
            println!("at a {way:?}, round {round}: {told} told, {answered} answered, {raced} raced; {counts:?}");
            // A request that is sent when the server has closed its side and waits for the client's end is raced too; one
            // that reaches it when the connection is gone altogether is lost in the client's kernel, and seen by nobody.
            assert_eq!(counts, [told + answered, told, raced, 0], "at a {way:?}");
        }
    }
}

#[test]
fn requests_that_meet_the_ends_of_their_connections_one_after_the_other_are_answered_or_counted_and_never_reset() {
    rounds(spread);
}

#[test]
fn requests_that_meet_the_end_of_all_connections_at_once_are_answered_or_counted_and_never_reset() {
    rounds(server);
}

/// What is in a pipeline when the drain begins is answered in order, up to the one that tells; behind it there is nothing
/// but a clean end, so the client knows what to send again.
#[test]
fn a_pipeline_is_answered_up_to_the_one_that_tells() {
    for way in Way::BOTH {
        let mut fleet = server().start();
        let mut client = Client::connect(fleet.http);
        (0..50).for_each(|_| client.ask("/slow/50"));
        assert!(!client.answer().expect("served").close);
        way.begin(&mut fleet);
        let mut answers = 0;
        loop {
            let answer = client.answer().expect("a whole one");
            assert_eq!(answer.body, b"slept 50 ms");
            answers += 1;
            if answer.close {
                break;
            }
        }
        assert!(answers < 49, "the grace is much shorter than all of it");
        assert_eq!(client.rest().expect("no reset"), b"", "at a {way:?}");
        let done = fleet.until("done generation=0");
        assert_eq!((&done["kinds"], done.number("raced")), ("http1:1/1/0/0", 0), "at a {way:?}");
    }
}

fn half_sent(fleet: &mut Fleet, path: &str, body: &[u8]) -> Client {
    let mut client = Client::connect(fleet.http);
    client.say(format!("POST {path} HTTP/1.1\r\nhost: test\r\ncontent-length: {SIZE}\r\n\r\n"));
    client.say(&body[..SIZE / 2]);
    client
}

/// It is answered when the drain begins, long before it has sent all of its body, and goes on to send the rest.
#[test]
fn an_answer_that_does_not_wait_for_its_upload_reaches_a_client_that_reads_it_late() {
    let body = large(SIZE);
    let finish = |mut client: Client| {
        pass(GRACE / 3);
        client.say(&body[SIZE / 2..]);
        let answer = client.answer().expect("whole");
        assert_eq!((answer.close, &*answer.body), (true, &b"taken"[..]));
        assert_eq!(client.rest().expect("no reset"), b"");
    };
    drained(server, |fleet| half_sent(fleet, "/early", &body), finish, "http1:1/1/0/0");
}

/// The handler has answered when the drain begins, and a task of the application's reads on.
#[test]
fn an_upload_that_was_handed_to_a_task_is_read_to_its_end() {
    let body = large(SIZE);
    for way in Way::BOTH {
        let mut fleet = server().start();
        let mut client = half_sent(&mut fleet, "/hand", &body);
        assert_eq!(client.answer().expect("at once").body, b"taken");
        way.begin(&mut fleet);
        pass(2 * GRACE);
        client.say(&body[SIZE / 2..]);
        assert_eq!(fleet.until("handed generation=0").number("bytes"), SIZE as u64, "at a {way:?}");
        assert_eq!(client.rest().expect("no reset"), b"", "at a {way:?}");
        let done = fleet.until("done generation=0");
        assert_eq!((done.number("cut"), done.number("raced")), (0, 0), "at a {way:?}");
    }
}

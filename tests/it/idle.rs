//! The moment at which idle connections are let go, and requests that meet it.

use std::io::ErrorKind;

use nix::sys::signal::Signal;

use crate::support::{
    drain::{GRACE, Way, pass, server},
    http::Client,
};

/// Nobody is told, for nobody asks. All idle connections are let go at one moment; the first client that sees its end
/// calls the others, and they ask while the server is at it. Each is answered, or sees a clean end with nothing
/// before it; and the server knows which.
#[test]
fn a_request_that_meets_the_end_of_its_connection_is_answered_or_counted_and_never_reset() {
    for way in Way::BOTH {
        // One thread, so that it takes its time.
        let mut fleet = server().with("THREADS", "1").start();
        let mut clients: Vec<_> = (0..400).map(|_| Client::served(fleet.http)).collect();
        way.begin(&mut fleet);
        let mut first = clients.remove(0);
        assert_eq!(first.take(1).unwrap_err().kind(), ErrorKind::UnexpectedEof);
        // Those last in the server's line have the best chance.
        clients.iter_mut().rev().for_each(|client| client.ask("/"));
        let (mut answered, mut raced) = (0, 0);
        for client in clients {
            let read = client.rest().expect("no reset");
            match String::from_utf8_lossy(&read).to_ascii_lowercase() {
                nothing if nothing.is_empty() => raced += 1,
                answer if answer.contains("\r\nconnection: close\r\n") && answer.ends_with("hello world") => {
                    answered += 1
                }
                odd => panic!("{odd}"),
            }
        }
        drop(first);
        let done = fleet.until("done generation=0");
        let counts = ["finished", "told", "raced", "cut"].map(|count| done.number(count));
        assert_eq!(counts, [answered + 1, answered, raced, 0], "at a {way:?}");
        println!("at a {way:?} {answered} were answered, {raced} raced");
    }
}

/// The server stands still while the grace passes, and meanwhile requests arrive: it looks before it lets go.
#[test]
fn a_request_that_has_arrived_before_the_end_of_its_connection_is_answered() {
    for way in Way::BOTH {
        let mut fleet = server().start();
        let mut clients: Vec<_> = (0..100).map(|_| Client::served(fleet.http)).collect();
        way.begin(&mut fleet);
        fleet.freeze_first();
        pass(2 * GRACE);
        clients.iter_mut().for_each(|client| client.ask("/"));
        fleet.signal(fleet.first(), Signal::SIGCONT);
        for mut client in clients {
            assert!(client.answer().expect("an answer").close);
            assert_eq!(client.rest().expect("no reset"), b"");
        }
        assert_eq!(&fleet.until("done generation=0")["kinds"], "http1:100/100/0/0", "at a {way:?}");
    }
}

/// A client that asks on after it was told to close gets nothing more, and a clean end.
#[test]
fn a_request_behind_the_last_answer_sees_a_clean_end() {
    for way in Way::BOTH {
        let mut fleet = server().start();
        let mut client = Client::served(fleet.http);
        way.begin(&mut fleet);
        client.ask("/");
        client.ask("/");
        assert!(client.answer().unwrap().close);
        assert_eq!(client.rest().expect("no reset"), b"");
        let done = fleet.until("done generation=0");
        assert_eq!((&done["kinds"], done.number("raced")), ("http1:1/1/0/0", 0));
    }
}

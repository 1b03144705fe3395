//! Clients are not all sent away in one moment, for then they would all come back in the next.

use std::time::{Duration, Instant};

use crate::support::{
    Setup,
    drain::{Way, spread},
    http::Client,
};

const GRACE: Duration = Duration::from_secs(2);

/// Nobody is let go before: a fifth of the grace.
const QUIET: Duration = Duration::from_millis(400);

fn patient() -> Setup {
    spread().with("GRACE_MS", GRACE.as_millis().to_string())
}

/// When so many clients that idle see their ends, counted from before the drain's beginning: in order.
fn ends(setup: Setup, way: Way, clients: usize) -> Vec<Duration> {
    let mut fleet = setup.start();
    let clients: Vec<_> = (0..clients).map(|_| Client::served(fleet.http)).collect();
    let began = Instant::now();
    let wait = |client: Client| {
        std::thread::spawn(move || {
            assert_eq!(client.rest().expect("no reset"), b"");
            began.elapsed()
        })
    };
    let clients: Vec<_> = clients.into_iter().map(wait).collect();
    way.begin(&mut fleet);
    let mut ends: Vec<_> = clients.into_iter().map(|client| client.join().expect("a clean end")).collect();
    ends.sort();
    let done = fleet.until("done generation=0");
    let counts = ["finished", "told", "raced", "cut"].map(|count| done.number(count));
    assert_eq!(counts, [ends.len() as u64, 0, 0, 0]);
    ends
}

/// How they are spread exactly is tested where the clock is the test's. Here a machine under load may be late, and never
/// early: so the last ones tell nothing, and the first ones that not all have waited for the grace's end.
#[test]
fn two_hundred_idle_connections_are_let_go_one_after_the_other() {
    for way in Way::BOTH {
        let ends = ends(patient(), way, 200);
        assert!(ends[0] >= QUIET, "at a {way:?} the first is let go after {:?}", ends[0]);
        let longest = ends.windows(2).map(|two| two[1] - two[0]).max().expect("two");
        let within = *ends.last().expect("one") - ends[0];
        assert!(within >= (GRACE - QUIET) * 4 / 5, "at a {way:?} all are let go within {within:?}");
        assert!(longest < within / 3, "at a {way:?} nobody is let go for {longest:?} of {within:?}");
    }
}

#[test]
fn at_once_all_idle_connections_are_let_go_together_when_the_grace_is_over() {
    for way in Way::BOTH {
        let ends = ends(patient().with("AT_ONCE", ""), way, 200);
        assert!(ends[0] >= GRACE, "at a {way:?} the first is let go after {:?}", ends[0]);
    }
}

/// Whoever asks more often than it would have to be quiet is told, sooner or later, and is never let go before.
#[test]
fn clients_that_ask_are_all_told_and_not_all_with_their_first_answer() {
    for way in Way::BOTH {
        let mut fleet = patient().start();
        let clients: Vec<_> = (0..40).map(|_| Client::served(fleet.http)).collect();
        way.begin(&mut fleet);
        let ask = |mut client: Client| {
            std::thread::spawn(move || {
                let mut answers = 1;
                while !client.get("/slow/20").close {
                    answers += 1;
                }
                assert_eq!(client.rest().expect("no reset"), b"");
                answers
            })
        };
        let clients: Vec<_> = clients.into_iter().map(ask).collect();
        let answers: Vec<u32> = clients.into_iter().map(|client| client.join().expect("told")).collect();
        let late = answers.iter().filter(|answers| **answers > 1).count();
        assert!(late >= 20, "at a {way:?} {answers:?}");
        let done = fleet.until("done generation=0");
        let counts = ["finished", "told", "raced", "cut"].map(|count| done.number(count));
        assert_eq!(counts, [40, 40, 0, 0], "at a {way:?}");
    }
}

#[test]
fn at_once_all_are_told_with_their_first_answer() {
    for way in Way::BOTH {
        let mut fleet = patient().with("AT_ONCE", "").start();
        let clients: Vec<_> = (0..40).map(|_| Client::served(fleet.http)).collect();
        way.begin(&mut fleet);
        for mut client in clients {
            assert!(client.get("/").close);
            assert_eq!(client.rest().expect("no reset"), b"");
        }
        assert_eq!(fleet.until("done generation=0").number("told"), 40, "at a {way:?}");
    }
}

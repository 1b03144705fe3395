//! Who never stops saying what means nothing.
#![allow(clippy::disallowed_methods)] // the frames are sent by hand, and numbers are what goes with them

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use tokio_hotrestart::ErrorKind;

use crate::{
    heir::{Heir, Trial},
    support::{Control, Footprint, frames},
};

/// Some later version's optional frames, as many at a time as are written with one call: faster than anybody reads them one
/// by one.
fn many() -> Vec<u8> {
    frames::frame(999, 0, b"", 0).repeat(5_000)
}

/// Until the other end has had enough.
fn flood(mut to: &UnixStream) {
    let many = many();
    while to.write_all(&many).is_ok() {}
}

/// Were its words heard as long as there are any, no deadline would ever act, nor anything else be heard.
#[test]
fn a_successor_that_never_stops_talking_is_given_up_at_its_deadline() {
    let trial = Trial::new();
    let floods = |heir: Heir| {
        heir.plays("take ACCEPTED");
        flood(heir.stream());
        None
    };
    let why = trial.fails(floods, ErrorKind::Deadline);
    assert_eq!(why.to_string(), "the successor was not ready by its deadline");
    trial.succeeds();
}

/// Nothing that it has said was a wish.
#[test]
fn a_visitor_that_never_stops_talking_is_sent_away_and_delays_nobody() {
    let at = Control::new();
    let mut fleet = at.start();
    let before = Footprint::of(fleet.first());
    let visitor = at.connect();
    let floods = {
        let mut visitor = visitor.try_clone().unwrap();
        std::thread::spawn(move || {
            flood(&visitor);
            // Why, if that still comes through: the server has closed with something unread.
            let mut why = Vec::new();
            visitor.read_to_end(&mut why).map(|_| why).unwrap_or_default()
        })
    };
    let began = Instant::now();
    assert_eq!(at.now(), (0, "ready".into()));
    assert!(began.elapsed() < Duration::from_secs(4), "at once, and not when the other is sent away");
    floods.join().unwrap();
    drop(visitor);
    before.returns(fleet.first());
    fleet.stop(fleet.first(), 0);
}

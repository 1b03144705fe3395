//! Messages that claim 4 GiB: refused by their first twelve bytes, and nothing is reserved for the rest.
#![allow(clippy::disallowed_methods)] // the frames are sent by hand, and numbers are what goes with them

use std::{
    io::{Read, Write},
    os::unix::net::UnixListener,
};

use tokio_hotrestart::{ErrorKind, control};

use crate::{
    heir::{Heir, Trial},
    predecessor::{Predecessor, Way},
    support::{Control, Footprint, control::wait, frames},
};

/// What each is told.
const WHY: &str = "a frame claims 4294967295 bytes, the limit is 4194304";

/// The head of such a frame.
fn head(name: &str) -> Vec<u8> {
    let mut head = frames::frame(frames::kind(name), frames::MUST_UNDERSTAND, b"", 0);
    head[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    head
}

#[test]
fn a_successor_that_claims_them_has_failed() {
    let trial = Trial::new();
    let claims = |heir: Heir| {
        heir.plays("take");
        heir.wire().say(&head("ACCEPTED"));
        heir.leaves_last()
    };
    let why = trial.fails(claims, ErrorKind::Protocol);
    assert!(why.to_string().contains(WHY), "{why}");
    trial.succeeds();
}

fn a_predecessor_claims_them(way: Way) {
    let it = Predecessor::new(way);
    it.say_hello().wire().say(&head("SOCKETS"));
    let why = it.hears_refused(0);
    assert!(why.contains(WHY), "{why}");
}

#[test]
fn a_predecessor_that_spawns_and_claims_them_is_refused() {
    a_predecessor_claims_them(Way::Spawned);
}

#[test]
fn a_predecessor_that_is_met_and_claims_them_is_refused() {
    a_predecessor_claims_them(Way::Met);
}

#[test]
fn a_visitor_that_claims_them_is_told_so() {
    let at = Control::new();
    let mut fleet = at.start();
    let before = Footprint::of(fleet.first());
    let mut visitor = at.connect();
    visitor.write_all(&head("WANT")).unwrap();
    let mut answer = Vec::new();
    visitor.read_to_end(&mut answer).unwrap();
    let said = String::from_utf8_lossy(&answer);
    assert!(said.contains(WHY), "{said}");
    drop(visitor);
    before.returns(fleet.first());
    assert_eq!(at.now(), (0, "ready".into()));
    fleet.stop(fleet.first(), 0);
}

#[test]
fn a_server_that_claims_them_in_its_answer_is_an_error_for_whoever_asks() {
    let at = Control::new();
    let listener = UnixListener::bind(at.path()).unwrap();
    let server = std::thread::spawn(move || {
        let (mut visitor, _) = listener.accept().unwrap();
        visitor.write_all(&head("ANSWER")).unwrap();
        // Until whoever has asked hangs up.
        let mut rest = Vec::new();
        visitor.read_to_end(&mut rest).map(|_| rest)
    });
    let error = wait(control::status(at.path())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(error.to_string().contains(WHY), "{error}");
    server.join().unwrap().ok();
}

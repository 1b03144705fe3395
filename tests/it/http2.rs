//! HTTP/2 at a drain, frame by frame: GOAWAY in two phases, and clients that do not play along.

use std::io::ErrorKind;

use crate::support::{
    Fleet,
    drain::{GRACE, cut, drained, pass, server},
    http2::{Client, Frame},
    server::large,
};

/// "No more streams", before the server knows which was the last: 2³¹ − 1.
const FIRST_WORD: Frame = Frame::GoAway { last: 0x7fff_ffff };

/// The server says that it goes, and asks for an answer. Its PING's payload.
#[track_caller]
fn told(client: &mut Client) -> [u8; 8] {
    assert_eq!(client.next().unwrap(), FIRST_WORD);
    match client.next().unwrap() {
        Frame::Ping(payload) => payload,
        frame => panic!("{frame:?} instead of a PING"),
    }
}

/// Nothing follows but a clean end.
#[track_caller]
fn ends(mut client: Client) {
    assert_eq!(client.next().unwrap_err().kind(), ErrorKind::UnexpectedEof);
}

fn served(fleet: &mut Fleet) -> Client {
    Client::served(fleet.http)
}

#[test]
fn a_stream_opened_between_the_two_goaways_is_answered() {
    let open = |mut client: Client| {
        let ping = told(&mut client);
        client.ask(3, "/");
        assert_eq!(client.answer(3), b"hello world");
        client.pong(ping);
        assert_eq!(client.next().unwrap(), Frame::GoAway { last: 3 });
        ends(client);
    };
    drained(server, served, open, "http2:1/1/0/0");
}

#[test]
fn a_stream_that_runs_is_finished() {
    let ask = |fleet: &mut Fleet| {
        let mut client = Client::served(fleet.http);
        client.ask(3, "/slow/600");
        client
    };
    let read = |mut client: Client| {
        let ping = told(&mut client);
        client.pong(ping);
        assert_eq!(client.next().unwrap(), Frame::GoAway { last: 3 });
        assert_eq!(client.answer(3), b"slept 600 ms");
        ends(client);
    };
    drained(server, ask, read, "http2:1/1/0/0");
}

#[test]
fn a_client_that_answers_no_ping_is_let_go_after_the_grace() {
    let ignore = |mut client: Client| {
        told(&mut client);
        ends(client);
    };
    drained(server, served, ignore, "http2:1/1/0/0");
}

#[test]
fn a_preface_without_settings_is_let_go_after_the_grace() {
    let wait = |mut client: Client| while client.next().is_ok() {};
    drained(server, |fleet| Client::greeted(fleet.http), wait, "http2:1/1/0/0");
}

/// An answer in one piece, which the server has long forgotten when the client goes on to read it.
#[test]
fn a_stream_that_is_read_slowly_is_finished() {
    let read = |mut client: Client| {
        pass(2 * GRACE);
        client.open_window(3, 1_000_000);
        assert!(client.answer(3) == large(1_000_000));
        let ping = told(&mut client);
        client.pong(ping);
        assert_eq!(client.next().unwrap(), Frame::GoAway { last: 3 });
        ends(client);
    };
    drained(server, asked_for_much, read, "http2:1/1/0/0");
}

#[test]
fn a_stream_that_is_not_read_is_cut_at_the_deadline() {
    let wait = |mut client: Client| while client.next().is_ok() {};
    cut(asked_for_much, wait, "http2");
}

/// More than fits the windows that a client begins with.
fn asked_for_much(fleet: &mut Fleet) -> Client {
    let mut client = Client::served(fleet.http);
    client.ask(3, "/large/1000000");
    client
}

//! Clients that are in the way when a generation ends. Whatever they do or don't, it ends, and says how they ended.

use crate::support::{
    Fleet, doors,
    drain::{DEADLINE, Way, accepted, cut, drained, hurried, pass, server},
    http::Client,
};

/// A client that has sent this and no more, and reads to the end: a clean one, and nothing before it.
#[track_caller]
fn half_open(sent: &str, ended: &str) {
    let clean = |client: Client| assert_eq!(client.rest().expect("no reset"), b"");
    drained(server, |fleet| connected_and_said(fleet, sent), clean, ended);
}

fn connected_and_said(fleet: &Fleet, words: &str) -> Client {
    let mut client = Client::connect(fleet.http);
    client.say(words);
    client
}

/// Whatever the end is like: it comes.
fn wait_for_end(client: Client) {
    drop(client.rest());
}

#[test]
fn a_client_that_sends_nothing_sees_a_clean_end() {
    half_open("", "fresh:1/0/0/0");
}

#[test]
fn half_a_head_is_cut_with_a_clean_end() {
    half_open("GET / HTTP/1.1\r\nhost: te", "http1:0/0/0/1");
}

#[test]
fn half_a_preface_of_http2_is_cut_with_a_clean_end() {
    half_open("PRI * HTTP/2", "fresh:0/0/0/1");
}

#[test]
fn half_a_head_that_is_completed_in_time_is_answered() {
    let complete = |mut client: Client| {
        client.say("st\r\n\r\n");
        assert!(client.answer().expect("an answer").close);
        assert_eq!(client.rest().expect("no reset"), b"");
    };
    drained(server, |fleet| connected_and_said(fleet, "GET / HTTP/1.1\r\nhost: te"), complete, "http1:1/1/0/0");
}

#[test]
fn half_a_body_is_cut_at_the_deadline() {
    let upload = |fleet: &mut Fleet| {
        let mut client = Client::connect(fleet.http);
        client.announce(1_000);
        client.say([b'x'; 500]);
        client
    };
    cut(upload, wait_for_end, "http1");
}

#[test]
fn a_client_that_reads_no_answer_is_cut_at_the_deadline() {
    let download = |fleet: &mut Fleet| {
        let mut client = Client::connect(fleet.http);
        client.ask("/large/50000000");
        client.head().expect("an answer");
        client
    };
    let wait = |mut client: Client| {
        // Not before the deadline: to read makes room for more of it.
        pass(DEADLINE);
        assert!(client.take(50_000_000).is_err(), "it was cut");
    };
    cut(download, wait, "http1");
}

#[test]
fn an_idle_connection_sees_a_clean_end() {
    let clean = |client: Client| assert_eq!(client.rest().expect("no reset"), b"");
    drained(server, |fleet| Client::served(fleet.http), clean, "http1:1/0/0/0");
}

/// Its end is waited for, by the deadline, and is no fault of the server's.
#[test]
fn a_client_that_never_closes_holds_nobody_up() {
    for way in Way::BOTH {
        let mut fleet = hurried().start();
        let mut client = accepted(&fleet, 1, |fleet| Client::served(fleet.http));
        way.begin(&mut fleet);
        assert!(client.take(1).is_err(), "the server's end");
        assert_eq!(&fleet.until("done generation=0")["kinds"], "http1:1/0/0/0");
        drop(client);
    }
}

#[test]
fn a_kept_alive_client_is_told_with_its_next_answer() {
    let ask = |mut client: Client| {
        assert!(client.get("/").close);
        assert_eq!(client.rest().expect("no reset"), b"");
    };
    drained(server, |fleet| Client::served(fleet.http), ask, "http1:1/1/0/0");
}

#[test]
fn a_request_under_way_is_answered_and_told() {
    let ask = |fleet: &mut Fleet| {
        let mut client = Client::connect(fleet.http);
        client.ask("/slow/700");
        client
    };
    let read = |mut client: Client| {
        let answer = client.answer().expect("an answer, although the grace is over");
        assert_eq!((answer.close, answer.generation, &*answer.body), (true, 0, &b"slept 700 ms"[..]));
        assert_eq!(client.rest().expect("no reset"), b"");
    };
    drained(server, ask, read, "http1:1/1/0/0");
}

// ------------------------------------------------------------------------------------------------- beyond HTTP

fn websocket(fleet: &Fleet, path: &str) -> Client {
    Client::websocket(fleet.http, path)
}

#[test]
fn a_websocket_that_stays_is_cut_at_the_deadline() {
    cut(|fleet| websocket(fleet, "/ws/stay"), wait_for_end, "upgraded");
}

#[test]
fn a_websocket_that_the_application_closes_finishes() {
    let leave = |mut client: Client| {
        let [kind, length] = client.take(2).unwrap().try_into().unwrap();
        assert_eq!(kind, 0x88, "a close frame");
        let why = client.take(length.into()).unwrap();
        assert_eq!(u16::from_be_bytes([why[0], why[1]]), 1012, "the service restarts");
        // The same back, under a mask of zeros.
        client.say([&[0x88, 0x82, 0, 0, 0, 0], &why[..2]].concat());
        assert_eq!(client.rest().expect("no reset"), b"");
    };
    drained(server, |fleet| websocket(fleet, "/ws"), leave, "upgraded:1/0/0/0");
}

#[test]
fn a_task_of_the_applications_is_cut_at_the_deadline() {
    cut(|fleet| Client::connect(fleet.echo), wait_for_end, "task");
}

#[test]
fn half_a_handshake_is_cut() {
    let place = doors::certificate();
    let setup = || server().with("DOORS", "tls").with("TLS", place.path());
    let hello = |fleet: &mut Fleet| {
        let mut client = Client::connect(doors::address(fleet, "tls"));
        // The beginning of a ClientHello: a handshake record of 256 bytes.
        client.say([22, 3, 1, 1, 0, 1]);
        client
    };
    drained(setup, hello, wait_for_end, "in_handshake:0/0/0/1");
}

// --------------------------------------------------------------------------------------------------- all of them

#[test]
fn all_kinds_are_told_apart() {
    for way in Way::BOTH {
        let mut fleet = hurried().start();
        let clients = accepted(&fleet, 9, |fleet| {
            let idle = [Client::served(fleet.http), Client::served(fleet.http)];
            let mut halves = ["", "GET / HTTP/1.1\r\n", "PRI"].map(|words| connected_and_said(fleet, words));
            halves[1].say("host: t");
            let mut slow = Client::connect(fleet.http);
            slow.ask("/slow/600");
            let sockets = [websocket(fleet, "/ws/stay"), websocket(fleet, "/ws/stay")];
            (idle, halves, slow, sockets, Client::connect(fleet.echo))
        });
        way.begin(&mut fleet);
        let ([mut told, idle], halves, mut slow, sockets, task) = clients;
        assert!(told.get("/").close);
        assert_eq!(idle.rest().expect("no reset"), b"");
        halves.into_iter().for_each(|half| assert_eq!(half.rest().expect("no reset"), b""));
        assert!(slow.answer().expect("an answer").close);
        let done = fleet.until("done generation=0");
        assert_eq!(&done["kinds"], "fresh:1/0/0/1,http1:3/2/0/1,upgraded:0/0/0/2,task:0/0/0/1", "at a {way:?}");
        let totals = ["finished", "told", "raced", "cut"].map(|total| done.number(total));
        assert_eq!(totals, [4, 2, 0, 5]);
        drop((told, slow, sockets, task));
    }
}

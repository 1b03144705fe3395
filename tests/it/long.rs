//! What knows no end of its own: it is cut at the deadline, or when a policy says, and the report tells which.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::{
    Fifo, Fleet, doors,
    drain::{DEADLINE, Way, accepted, hurried, server},
    http::Client,
    long, process,
    server::large,
};

/// Whatever the end is like: it comes.
fn wait_for_end(client: Client) {
    drop(client.rest());
}

fn said(fleet: &Fleet, words: impl AsRef<[u8]>) -> Client {
    let mut client = Client::connect(fleet.http);
    client.say(words);
    client
}

/// Its answer has begun.
fn begun(fleet: &Fleet, path: &str) -> Client {
    let mut client = Client::connect(fleet.http);
    client.ask(path);
    client.head().expect("it begins");
    client
}

/// Through it, all that is sent comes back.
fn tunnel(fleet: &Fleet) -> Client {
    let mut client = said(fleet, "CONNECT elsewhere:1 HTTP/1.1\r\nhost: elsewhere:1\r\n\r\n");
    assert!(client.head().expect("an answer").starts_with("http/1.1 200 "));
    client.say("through");
    assert_eq!(client.take(7).expect("it comes back"), b"through");
    client
}

fn raw(at: std::net::SocketAddr) -> Client {
    let mut client = Client::connect(at);
    client.say("hello");
    assert_eq!(client.take(5).expect("it comes back"), b"hello");
    client
}

// ------------------------------------------------------------------------------------------------ until the deadline

/// At once, and of each kind that there is. The process ends by its deadline, and its report has each.
#[test]
fn connections_of_all_kinds_that_never_finish_end_by_the_deadline_and_are_told_apart_by_kind_and_reason() {
    let place = doors::certificate();
    for way in Way::BOTH {
        let setup = hurried().with("DOORS", "tls").with("TLS", place.path()).with("RAW", "");
        let task = Fifo::new(setup.place().join("task"));
        let mut fleet = setup.with("TASK", task.path()).start();
        let (tls, raw_at) = (doors::address(&mut fleet, "tls"), long::address(&mut fleet, "raw"));
        let mut idle = Client::connect(fleet.http);
        assert_eq!((idle.get("/task").body, idle.get("/guard").body), (b"begun".into(), b"held".into()));
        let connections = if cfg!(feature = "http2") { 11 } else { 10 };
        let clients = accepted(&fleet, connections, |fleet| {
            let mut hello = Client::connect(tls);
            // The beginning of a ClientHello: a handshake record of 256 bytes.
            hello.say([22, 3, 1, 1, 0, 1]);
            let unread = begun(fleet, "/large/50000000");
            let half_open = ["", "PRI * HTTP/2", "GET / HTTP/1.1\r\nho"].map(|words| said(fleet, words));
            let endless = begun(fleet, "/sse");
            let half_upload = said(fleet, "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nhalf");
            let websocket = Client::websocket(fleet.http, "/ws/stay");
            #[cfg(feature = "http2")]
            let chat = chatting(fleet);
            #[cfg(not(feature = "http2"))]
            let chat = ();
            (hello, unread, half_open, endless, half_upload, websocket, chat, tunnel(fleet), raw(raw_at))
        });
        let began = Instant::now();
        way.begin(&mut fleet);
        let why = fleet.until("cut generation=0");
        let done = fleet.until("done generation=0");
        let took = began.elapsed();
        assert!(took >= DEADLINE && took < DEADLINE * 20, "{took:?}");
        let http2 = if cfg!(feature = "http2") { ["http2:0/0/0/1,", "http2:cut_at_the_deadline:1,"] } else { ["", ""] };
        let kinds = format!("in_handshake:0/0/0/1,fresh:1/0/0/1,http1:1/0/0/4,{}", http2[0]);
        assert_eq!(done["kinds"], format!("{kinds}upgraded:0/0/0/2,task:0/0/0/1,other:0/0/0/2"), "at a {way:?}");
        let half_open =
            "in_handshake:cut_half_open:1,fresh:cut_half_open:1,http1:cut_at_the_deadline:3,http1:cut_half_open:1";
        let rest =
            "upgraded:cut_at_the_deadline:2,task:cut_at_the_deadline:1,other:cut_at_the_deadline:1,other:left_behind:1";
        assert_eq!(why["why"], format!("{half_open},{}{rest}", http2[1]), "at a {way:?}");
        // A thread that blocks is not the drain's to end: the runtime waits for it.
        task.release();
        assert!(fleet.first_exit().success());
        drop((idle, clients));
    }
}

/// A stream in which both sides go on talking.
#[cfg(feature = "http2")]
fn chatting(fleet: &Fleet) -> crate::support::http2::Client {
    let mut client = crate::support::http2::Client::served(fleet.http);
    client.post(3, "/chat", b"hello");
    heard(&mut client, 3, b"hello");
    client
}

/// These bytes come back, on this stream.
#[cfg(feature = "http2")]
#[track_caller]
fn heard(client: &mut crate::support::http2::Client, on: u32, expected: &[u8]) {
    use crate::support::http2::Frame;
    loop {
        match client.next().expect("it goes on") {
            Frame::Data { stream, bytes, is_last } if stream == on => {
                return assert_eq!((&*bytes, is_last), (expected, false));
            }
            Frame::Reset { stream } => assert_ne!(stream, on),
            _ => {}
        }
    }
}

// ---------------------------------------------------------------------------------------------------------- policies

/// Far from the deadline, and from a drain's beginning.
const AFTER: Duration = Duration::from_millis(700);

/// Of the listener of each that is opened so: cut at once, later, or at the deadline.
#[track_caller]
fn closed_by_policy(open: impl Fn(&mut Fleet) -> Client, kind: &str) {
    for way in Way::BOTH {
        for (policy, from) in [("now", Duration::ZERO), ("700", AFTER)] {
            let mut fleet = server().with("RAW", "").with("POLICY", policy).start();
            let client = open(&mut fleet);
            let began = Instant::now();
            way.begin(&mut fleet);
            wait_for_end(client);
            let took = began.elapsed();
            assert_eq!(
                &fleet.until("cut generation=0")["why"],
                format!("{kind}:closed_by_policy:1"),
                "{way:?}, {policy}"
            );
            assert_eq!(&fleet.until("done generation=0")["kinds"], format!("{kind}:0/0/0/1"), "{way:?}, {policy}");
            assert!(took >= from, "{way:?}, {policy}: {took:?}");
        }
        let mut fleet = hurried().with("RAW", "").with("POLICY", "finish").start();
        let client = open(&mut fleet);
        let began = Instant::now();
        way.begin(&mut fleet);
        wait_for_end(client);
        assert_eq!(&fleet.until("cut generation=0")["why"], format!("{kind}:cut_at_the_deadline:1"), "at a {way:?}");
        assert!(began.elapsed() >= DEADLINE, "at a {way:?}");
    }
}

#[test]
fn an_endless_answer_ends_when_its_listeners_policy_says() {
    closed_by_policy(|fleet| begun(fleet, "/sse"), "http1");
}

#[test]
fn a_websocket_ends_when_its_listeners_policy_says() {
    closed_by_policy(|fleet| Client::websocket(fleet.http, "/ws/stay"), "upgraded");
}

#[test]
fn a_tunnel_ends_when_its_listeners_policy_says() {
    closed_by_policy(|fleet| tunnel(fleet), "upgraded");
}

#[test]
fn a_raw_connection_ends_when_its_policy_says() {
    let open = |fleet: &mut Fleet| raw(long::address(fleet, "raw"));
    closed_by_policy(open, "other");
}

#[test]
fn an_answers_own_policy_concerns_it_whatever_its_listeners_is() {
    for way in Way::BOTH {
        for (of_listener, path, why) in [
            ("finish", "/sse/now", "closed_by_policy"),
            ("finish", "/sse/700", "closed_by_policy"),
            ("finish", "/known/600000/now", "closed_by_policy"),
            ("now", "/sse/700", "closed_by_policy"),
            ("now", "/sse/finish", "cut_at_the_deadline"),
            ("now", "/known/600000", "cut_at_the_deadline"),
        ] {
            let mut fleet = hurried().with("POLICY", of_listener).start();
            let client = begun(&fleet, path);
            let began = Instant::now();
            way.begin(&mut fleet);
            wait_for_end(client);
            let took = began.elapsed();
            let said = fleet.until("cut generation=0");
            assert_eq!(&said["why"], format!("http1:{why}:1"), "at a {way:?}, {of_listener}, {path}");
            let from = if why == "cut_at_the_deadline" { DEADLINE } else { Duration::ZERO };
            assert!(took >= from, "at a {way:?}, {of_listener}, {path}: {took:?}");
        }
    }
}

#[test]
fn what_knows_its_length_and_what_has_no_answer_yet_is_finished_whatever_the_listeners_policy_is() {
    for way in Way::BOTH {
        let mut fleet = server().with("POLICY", "now").start();
        let (mut known, mut slow) = accepted(&fleet, 2, |fleet| {
            let mut known = Client::connect(fleet.http);
            known.ask("/known/800");
            known.peek().expect("it begins");
            let mut slow = Client::connect(fleet.http);
            slow.ask("/slow/800");
            (known, slow)
        });
        way.begin(&mut fleet);
        assert_eq!(known.answer().expect("all of it").body, b"known length");
        let answer = slow.answer().expect("all of it");
        assert_eq!((answer.close, &*answer.body), (true, &b"slept 800 ms"[..]));
        for client in [known, slow] {
            assert_eq!(client.rest().expect("no reset"), b"");
        }
        assert_eq!(fleet.until("done generation=0").number("cut"), 0, "at a {way:?}");
    }
}

/// One stream of a connection, and no other.
#[cfg(feature = "http2")]
#[test]
fn a_policy_ends_one_stream_and_its_connection_goes_on() {
    use crate::support::http2::{Client, Frame};
    for way in Way::BOTH {
        for (of_listener, path) in [("finish", "/sse/now"), ("now", "/sse"), ("400", "/sse")] {
            let mut fleet = server().with("POLICY", of_listener).start();
            let mut client = Client::served(fleet.http);
            client.ask(3, "/slow/1200");
            client.ask(5, path);
            while !matches!(client.next().expect("it begins"), Frame::Data { stream: 5, .. }) {}
            way.begin(&mut fleet);
            let ended = loop {
                match client.next().expect("the connection goes on") {
                    Frame::Reset { stream } => break stream,
                    Frame::Ping(payload) => client.pong(payload),
                    Frame::Data { stream, is_last, .. } => assert!(stream == 5 && !is_last),
                    _ => {}
                }
            };
            assert_eq!(ended, 5, "at a {way:?}, {of_listener}, {path}");
            // The one that had no answer yet gets it.
            let slept = loop {
                match client.next().expect("the connection goes on") {
                    Frame::Data { stream: 3, bytes, .. } => break bytes,
                    Frame::Ping(payload) => client.pong(payload),
                    _ => {}
                }
            };
            assert_eq!(slept, b"slept 1200 ms");
            while client.next().is_ok() {}
            drop(client);
            let why = fleet.until("cut generation=0")["why"].to_owned();
            assert_eq!(why, "http2:closed_by_policy:1", "at a {way:?}, {of_listener}, {path}");
            assert_eq!(fleet.until("done generation=0").number("code"), 0);
        }
    }
}

// ------------------------------------------------------------------------------------------------------- raw endings

/// The server stands still when it comes, and finds both the drain and the words.
#[test]
fn what_has_arrived_is_answered_and_then_the_input_of_a_raw_connection_ends() {
    let mut fleet = server().with("RAW", "").with("END_INPUT", "what_came").with("AT", "0:BeginDrain:hold").start();
    let mut client = raw(long::address(&mut fleet, "raw"));
    fleet.signal(fleet.first(), Signal::SIGTERM);
    fleet.until_held("BeginDrain");
    let large = large(100_000);
    client.say(&large);
    process::go_on(fleet.first());
    assert!(client.take(large.len()).expect("all of it") == large);
    assert_eq!(client.rest().expect("no reset"), b"");
    assert_eq!(&fleet.until("done generation=0")["kinds"], "other:1/0/0/0");
}

#[test]
fn a_raw_connection_goes_on_until_it_idles() {
    for way in Way::BOTH {
        let mut fleet = server().with("RAW", "").with("END_INPUT", "400").start();
        let mut client = raw(long::address(&mut fleet, "raw"));
        let began = Instant::now();
        way.begin(&mut fleet);
        // On and on, for longer than that in all, with pauses that are shorter.
        while began.elapsed() < Duration::from_millis(600) {
            client.say("hello");
            assert_eq!(client.take(5).expect("it comes back"), b"hello");
        }
        let last = Instant::now();
        assert_eq!(client.rest().expect("no reset"), b"");
        assert!(last.elapsed() >= Duration::from_millis(300), "let go after {:?}", last.elapsed());
        assert_eq!(&fleet.until("done generation=0")["kinds"], "other:1/0/0/0", "at a {way:?}");
    }
}

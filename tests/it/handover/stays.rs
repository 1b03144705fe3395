//! What does not go to the successor: it is served and drained where it is, as if there were no handover.

use std::io::{Read, Write};

use super::{all, server};
use crate::{
    fake,
    support::{
        Fleet, Setup, Tunnel,
        crowd::{Crowd, Fate},
        doors,
        drain::accepted,
        http::Client,
    },
};

/// A restart, after which these are asked once more: all are answered and told by their own generation, which then ends,
/// and has handed none of them over.
#[track_caller]
fn drained(setup: Setup, door: impl FnOnce(&mut Fleet) -> Crowd, change: impl FnOnce(&Fleet)) -> Fleet {
    let mut fleet = setup.start();
    let mut crowd = door(&mut fleet);
    change(&fleet);
    let successor = fleet.restart(0, fleet.first());
    assert_eq!(crowd.settle(), all(Fate::Told(0), 20));
    let done = fleet.until("done generation=0");
    assert_eq!(["handed", "told", "raced", "cut"].map(|count| done.number(count)), [0, 20, 0, 0], "{done:?}");
    fleet.stop(successor, 1);
    fleet
}

fn main_door(fleet: &mut Fleet) -> Crowd {
    Crowd::served(fleet.http, 20)
}

#[test]
fn those_of_a_serve_that_keeps_its_connections() {
    drained(server().without_handover(), main_door, |_| ());
}

/// The successor has not the knob: it would serve them.
#[test]
fn those_whose_own_generation_keeps_them() {
    drained(server().without_handover(), main_door, |fleet| fleet.release.after("unset HR_HAND_OVER"));
}

/// The predecessor has not the knob: it offers them.
#[test]
fn those_that_the_successor_does_not_take() {
    let setup = server().with("LOG", "info,tokio_hotrestart=debug");
    let fleet = drained(setup, main_door, |fleet| fleet.release.after("export HR_HAND_OVER=never"));
    assert!(fleet.log().contains("the successor declined it: nobody serves"), "{}", fleet.log());
}

#[test]
fn those_of_a_name_that_the_successor_does_not_serve() {
    let make = |fleet: &mut Fleet| {
        let make = doors::address(fleet, "make");
        Crowd::served(make, 20)
    };
    drained(server().with("DOORS", "make"), make, |fleet| fleet.release.after("unset HR_DOORS"));
}

/// Encrypted by the process, which nobody else can go on with.
#[test]
fn those_over_tls() {
    let place = doors::certificate();
    let mut tunnel = None;
    let setup = server().with("DOORS", "tls").with("TLS", place.path());
    let door = |fleet: &mut Fleet| {
        let tunnel = tunnel.insert(Tunnel::to(doors::address(fleet, "tls"), place.path()));
        Crowd::served(tunnel.address, 20)
    };
    drained(setup, door, |_| ());
}

/// They have no serve whose name could be asked for.
#[test]
fn those_of_an_accept_loop_of_ones_own() {
    let door = |fleet: &mut Fleet| {
        let door = doors::address(fleet, "loop");
        Crowd::served(door, 20)
    };
    drained(server().with("DOORS", "loop"), door, |_| ());
}

/// One that knows nothing of handover is offered nothing, for it would close what comes with a message that it skips.
#[test]
fn those_of_a_server_whose_successor_is_of_an_earlier_release() {
    let mut fleet = server().start();
    let mut crowd = main_door(&mut fleet);
    fake::release(
        &fleet.release,
        "take able:final-state READY hear:LET-GO hear:FINAL-END FINAL-TAKEN tell:complete linger",
    );
    fleet.signal(fleet.first(), nix::sys::signal::Signal::SIGUSR2);
    fleet.until("complete");
    fleet.until("ending generation=0 ");
    assert_eq!(crowd.settle(), all(Fate::Told(0), 20));
    let done = fleet.until("done generation=0");
    assert_eq!(["handed", "told", "raced", "cut", "code"].map(|count| done.number(count)), [0, 20, 0, 0, 0]);
}

/// A foreign one, likewise: there is no channel at all.
#[test]
fn those_of_a_server_whose_successor_is_foreign() {
    let mut fleet = server().with("FOREIGN", "1").start();
    let mut crowd = main_door(&mut fleet);
    crate::support::activated::release(&fleet.release, "serve READY=1");
    fleet.ask(fleet.first());
    let (successor, _) = crate::support::activated::serving(&mut fleet);
    fleet.until("ending generation=0 ");
    assert_eq!(crowd.settle(), all(Fate::Told(0), 20));
    assert_eq!(fleet.until("done generation=0").number("handed"), 0);
    crate::support::activated::stop(&mut fleet, successor);
}

/// As many go as the successor has places for; for the others it is as if nobody had been asked.
#[test]
fn those_beyond_the_successors_number_of_connections() {
    let mut fleet = server().start();
    let mut crowd = Crowd::served(fleet.http, 20);
    fleet.release.after("export HR_MAX_CONNECTIONS=12");
    let successor = fleet.restart(0, fleet.first());
    assert_eq!(crowd.settle(), [(Fate::Kept(1), 12), (Fate::Told(0), 8)].into());
    let done = fleet.until("done generation=0");
    assert_eq!(["handed", "told", "cut"].map(|count| done.number(count)), [12, 8, 0]);
    // They have their places: nobody else is accepted until one of them leaves.
    let mut late = Client::connect(fleet.http);
    late.ask("/");
    assert_eq!(crowd.ask(), all(Fate::Kept(1), 12));
    drop(crowd);
    assert_eq!(late.answer().expect("there is room now").generation, 1);
    drop(late);
    fleet.stop(successor, 1);
}

/// Its answer says so, and nothing is left to be handed over.
#[track_caller]
fn ends_with_its_answer(request: &str) {
    let mut fleet = server().start();
    let client = accepted(&fleet, 1, |fleet| {
        let mut client = Client::connect(fleet.http);
        client.say(request);
        client
    });
    let successor = fleet.restart(0, fleet.first());
    let answer = String::from_utf8(client.rest().expect("no reset")).unwrap();
    assert!(answer.to_lowercase().contains("x-generation: 0\r\n") && answer.ends_with("slept 500 ms"), "{answer}");
    let done = fleet.until("done generation=0");
    assert_eq!((done.number("handed"), done.number("finished")), (0, 1), "{done:?}");
    fleet.stop(successor, 1);
}

#[test]
fn one_whose_client_asks_for_its_end() {
    ends_with_its_answer("GET /slow/500 HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
}

#[test]
fn one_of_http_1_0() {
    ends_with_its_answer("GET /slow/500 HTTP/1.0\r\nhost: test\r\n\r\n");
}

/// The upgrade and the restart meet: a WebSocket is never taken for a connection between two requests.
#[test]
fn a_websocket() {
    let mut fleet = server().start();
    let mut sockets: Vec<_> =
        accepted(&fleet, 5, |fleet| (0..5).map(|_| Client::websocket(fleet.http, "/ws/stay")).collect());
    let successor = fleet.restart(0, fleet.first());
    for socket in &mut sockets {
        // A text of two letters, under a mask of zeros; and back it comes without one.
        socket.say([0x81, 0x82, 0, 0, 0, 0, b'h', b'i']);
        assert_eq!(socket.take(4).expect("it goes on"), [0x81, 2, b'h', b'i']);
    }
    drop(sockets);
    let done = fleet.until("done generation=0");
    assert_eq!((done.number("handed"), &done["kinds"]), (0, "upgraded:5/0/0/0"));
    fleet.stop(successor, 1);
}

/// GOAWAY, as at any drain.
#[cfg(feature = "http2")]
#[test]
fn one_of_http_2() {
    use crate::support::http2::{Client, Frame};
    let mut fleet = server().start();
    let mut client = accepted(&fleet, 1, |fleet| Client::served(fleet.http));
    let successor = fleet.restart(0, fleet.first());
    assert_eq!(client.next().unwrap(), Frame::GoAway { last: 0x7fff_ffff });
    let Frame::Ping(ping) = client.next().unwrap() else { panic!("no PING") };
    client.pong(ping);
    assert_eq!(client.next().unwrap(), Frame::GoAway { last: 1 });
    assert_eq!(client.next().unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
    drop(client);
    let done = fleet.until("done generation=0");
    assert_eq!((done.number("handed"), &done["kinds"]), (0, "http2:1/1/0/0"));
    fleet.stop(successor, 1);
}

/// Beside others that go: each by its own rule, in one drain.
#[test]
fn each_kind_goes_or_stays_by_its_own_rule() {
    let mut fleet = server().with("DOORS", "make loop").start();
    let doors = ["make", "loop"].map(|door| doors::address(&mut fleet, door));
    let mut crowds = [fleet.http, doors[0], doors[1]].map(|door| Crowd::served(door, 10));
    let mut socket = Client::websocket(fleet.http, "/ws/stay");
    let successor = fleet.restart(0, fleet.first());
    assert_eq!(crowds[2].settle(), all(Fate::Told(0), 10));
    socket.stream.write_all(&[0x81, 0x80, 0, 0, 0, 0]).unwrap();
    assert_eq!(socket.stream.read(&mut [0; 2]).unwrap(), 2);
    drop(socket);
    let done = fleet.until("done generation=0");
    assert_eq!(["handed", "finished", "told", "cut"].map(|count| done.number(count)), [20, 11, 10, 0], "{done:?}");
    for crowd in &mut crowds[..2] {
        assert_eq!(crowd.ask(), all(Fate::Kept(1), 10));
    }
    drop(crowds);
    fleet.stop(successor, 1);
}

//! `examples/websocket.rs`.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use load::{Exchange, Load, Mode};
use nix::sys::signal::Signal;

use super::{Server, survive};

#[test]
fn websockets_lose_no_message() {
    let mut server = Server::start("websocket", &[]);
    let mode = Mode::WebSocket(Exchange::messages(1_000).without_generation());
    let load = Load::new(server.address("http"), mode).clients(8);
    let (tallies, _) = survive(&mut server, [load]);
    assert_eq!(tallies[0].untold(), 0, "{}", tallies[0]);
}

#[test]
fn the_close_code_tells_a_restart_from_a_stop() {
    let mut server = Server::start("websocket", &[]);
    let mut old = WebSocket::open(server.address("http"));
    server.restart();
    assert_eq!(old.close_code(), 1012);

    let mut new = WebSocket::open(server.address("http"));
    server.signal(Signal::SIGTERM);
    assert_eq!(new.close_code(), 1001);
    for mut socket in [old, new] {
        socket.close();
    }
    server.report(1);
    server.until_all_have_ended();
}

#[test]
fn a_websocket_is_waited_for_although_a_task_of_its_own_handles_it() {
    let mut server = Server::start("websocket", &[]);
    let mut socket = WebSocket::open(server.address("http"));
    server.restart();
    assert_eq!(socket.close_code(), 1012);
    socket.close();
    let report = server.report(0);
    assert!(report.contains(" 1 finished"), "{report}");
}

#[test]
fn a_client_that_is_told_and_does_not_close_is_not_waited_for_until_the_deadline() {
    let mut server = Server::start("websocket", &[]);
    let mut socket = WebSocket::open(server.address("http"));
    server.restart();
    assert_eq!(socket.close_code(), 1012);
    // Five minutes before the deadline.
    let report = server.report(0);
    assert!(report.contains(" 1 finished"), "{report}");
}

/// As much of a client as these tests want.
struct WebSocket(TcpStream);

impl WebSocket {
    fn open(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).expect("somebody listens");
        let head = "GET /ws HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
            sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(head.as_bytes()).expect("sent");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("an answer");
            answer.extend(byte);
        }
        assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
        Self(stream)
    }

    /// Waits for the close frame, which must be what comes next.
    fn close_code(&mut self) -> u16 {
        let mut frame = [0; 4];
        self.0.read_exact(&mut frame).expect("a frame");
        let [kind, length, code @ ..] = frame;
        assert_eq!(kind, 0x88, "a close frame");
        self.0.read_exact(&mut vec![0; usize::from(length) - 2]).expect("the reason");
        u16::from_be_bytes(code)
    }

    /// Answers it, and waits for the connection's end.
    fn close(&mut self) {
        // Masked, by zeroes.
        self.0.write_all(&[0x88, 0x80, 0, 0, 0, 0]).expect("sent");
        assert_eq!(self.0.read(&mut [0]).expect("an end in order"), 0);
    }
}

//! HTTP by servers of other crates: `examples/axum_serve.rs`, `examples/axum_server.rs`, `examples/hyper_util.rs`.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use load::{Exchange, Load, Mode, Outcome};

use super::{Server, survive, survive_but_for};

/// Clients of every kind: busy, slow, with new connections, and such that idle nearly always.
fn loads(address: SocketAddr) -> [Load; 4] {
    let load = |mode| Load::new(address, mode).clients(2);
    let slow = Exchange::slow(Duration::from_millis(30)).without_generation();
    [
        load(Mode::KeepAlive(Exchange::get())),
        load(Mode::KeepAlive(slow)),
        load(Mode::Fresh(Exchange::get())),
        load(Mode::KeepAlive(Exchange::get())).clients(32).think(Duration::from_millis(50)),
    ]
}

fn start(example: &str) -> (Server, SocketAddr) {
    let server = Server::start(example, &["--grace", "1"]);
    let address = server.address("http");
    (server, address)
}

#[test]
fn axum_serve_loses_nothing() {
    let (mut server, address) = start("axum_serve");
    survive(&mut server, loads(address));
}

#[test]
fn hyper_util_loses_nothing() {
    let (mut server, address) = start("hyper_util");
    let http2 = Mode::Http2 { exchange: Exchange::get(), streams: 4 };
    survive(&mut server, loads(address).into_iter().chain([Load::new(address, http2).clients(2)]));
}

/// Its own drain ends a connection that it has accepted just then, with the first request on its way.
#[test]
fn axum_server_loses_nothing_on_a_connection_that_has_answered() {
    let (mut server, address) = start("axum_server");
    survive_but_for(&[Outcome::Reset, Outcome::Cut], &mut server, loads(address));
}

#[test]
fn axum_serve_tells_who_the_peer_is() {
    let server = Server::start("axum_serve", &[]);
    let mut stream = TcpStream::connect(server.address("http")).unwrap();
    stream.write_all(b"GET /peer HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let own = stream.local_addr().unwrap().to_string();
    assert!(answer.ends_with(&own), "{answer}");
}

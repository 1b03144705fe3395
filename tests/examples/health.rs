//! `examples/health.rs`.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use load::{Exchange, Load, Mode};
use nix::sys::signal::Signal;

use super::{RESTARTS, Server, Traffic, in_order};

/// What is not said to be over by a second signal is not over.
const LONG: &str = "600";

fn start(lame_duck: &str) -> (Server, SocketAddr, SocketAddr) {
    let arguments = ["--health", "127.0.0.1:0", "--lame-duck", lame_duck, "--deadline", LONG];
    let server = Server::start("health", &arguments);
    let (http, health) = (server.address("http"), server.address("health"));
    (server, http, health)
}

#[test]
fn a_lame_duck_is_not_ready_and_serves_whoever_comes() {
    let (mut server, http, health) = start(LONG);
    assert_eq!(probe(health, "/readyz"), 200);
    server.signal(Signal::SIGTERM);
    while probe(health, "/readyz") == 200 {}
    assert_eq!(status(&get(http, "/").unwrap()), 200);
    assert_eq!((probe(health, "/livez"), probe(health, "/readyz")), (200, 503));
    server.signal(Signal::SIGTERM);
    server.report(0);
    server.until_all_have_ended();
}

#[test]
fn probes_answer_to_the_last() {
    let (mut server, http, health) = start("0");
    let slow = ask(http, "/slow/600000").unwrap();
    server.signal(Signal::SIGTERM);
    while get(http, "/").is_ok() {}
    // The drain, of which the slow request is left.
    assert_eq!((probe(health, "/livez"), probe(health, "/readyz")), (200, 503));
    server.signal(Signal::SIGTERM);
    let report = server.report(0);
    assert!(report.contains(" 1 cut at the deadline "), "{report}");
    server.until_all_have_ended();
    drop(slow);
}

#[test]
fn clients_that_obey_readiness_lose_nothing() {
    let (mut server, http, health) = start(LONG);
    let load = |mode| Load::new(http, mode).clients(4);
    let loads = [Mode::KeepAlive(Exchange::get()), Mode::Fresh(Exchange::get())].map(load);
    let traffic = Traffic::on(loads);
    server.signal(Signal::SIGTERM);
    while probe(health, "/readyz") == 200 {}
    traffic.reach(20);
    for tally in traffic.off() {
        assert_eq!(tally.lost(), 0, "{tally}");
    }
    server.signal(Signal::SIGTERM);
    server.report(0);
    server.until_all_have_ended();
}

#[test]
fn probes_see_no_restart() {
    let (mut server, _, health) = start(LONG);
    let (probed, over) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
    let (count, end) = (Arc::clone(&probed), Arc::clone(&over));
    let prober = thread::spawn(move || {
        while !end.load(Relaxed) {
            assert_eq!((probe(health, "/livez"), probe(health, "/readyz")), (200, 200));
            count.fetch_add(1, Relaxed);
        }
    });
    for generation in 0..RESTARTS {
        server.restart();
        in_order(&server.report(generation));
    }
    over.store(true, Relaxed);
    prober.join().expect("well at any time");
    assert!(probed.load(Relaxed) > RESTARTS);
}

/// As the kubelet does it: over a connection of its own.
#[track_caller]
fn probe(health: SocketAddr, path: &str) -> u16 {
    status(&get(health, path).expect("an answer"))
}

fn get(address: SocketAddr, path: &str) -> io::Result<String> {
    answer(&mut ask(address, path)?)
}

fn ask(address: SocketAddr, path: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    Ok(stream)
}

fn answer(stream: &mut TcpStream) -> io::Result<String> {
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(answer) }
}

#[track_caller]
fn status(answer: &str) -> u16 {
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.unwrap_or_else(|| panic!("{answer}"))
}

//! `examples/lock.rs`.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::fs::symlink,
    path::Path,
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    sys::signal::Signal,
};

use super::{Server, in_order, server::program};

#[test]
fn an_exclusive_lock_goes_through_ten_restarts() {
    let place = tempfile::tempdir().unwrap();
    let lock = place.path().join("lock");
    let mut server = Server::start("lock", &["--lock", lock.to_str().unwrap()]);
    let address = server.address("http");
    for generation in 0..10 {
        holds(address, generation, &lock);
        server.restart();
        in_order(&server.report(generation));
    }
    holds(address, 10, &lock);
    server.signal(Signal::SIGTERM);
    in_order(&server.report(10));
    server.until_all_have_ended();
}

#[test]
fn an_exclusive_lock_stays_where_the_successor_fails() {
    let place = tempfile::tempdir().unwrap();
    let (lock, link, example) = (place.path().join("lock"), place.path().join("current"), program("lock"));
    symlink(&example, &link).unwrap();
    let mut server = Server::start_as(&link, &example, &["--lock", lock.to_str().unwrap()]);
    let address = server.address("http");
    flip(&link, Path::new("/bin/false"));
    server.signal(Signal::SIGUSR2);
    server.until(&["logged", "the restart failed"]);
    holds(address, 0, &lock);
    flip(&link, &example);
    server.restart();
    in_order(&server.report(0));
    holds(address, 1, &lock);
    server.signal(Signal::SIGTERM);
    in_order(&server.report(1));
    server.until_all_have_ended();
}

/// Both try as often, so which of them takes a lock that becomes free is a matter of chance: hence more than once.
#[test]
fn who_is_replaced_while_it_waits_for_the_lock_takes_it_from_nobody() {
    let place = tempfile::tempdir().unwrap();
    let lock = place.path().join("lock");
    let mut server = Server::start("lock", &["--lock", lock.to_str().unwrap()]);
    let address = server.address("http");
    for generation in [1, 3, 5, 7] {
        // Another file, whose lock is ours: the next two generations wait for that one.
        let ours = locked_anew(&lock);
        in_order(&server.hand_over());
        let mut old = TcpStream::connect(address).unwrap();
        assert_eq!(ask(&mut old), (generation, false));
        server.signal(Signal::SIGUSR2);
        while ask(&mut TcpStream::connect(address).unwrap()).0 == generation {}
        drop(ours);
        // Asked so often, the old connection is told before it ends.
        let mut is_told = false;
        while ask(&mut TcpStream::connect(address).unwrap()) != (generation + 1, true) {
            if !is_told {
                let answer = answer(&mut old);
                is_told = answer.contains("\r\nconnection: close\r\n");
                assert!(answer.ends_with(&format!("\ngeneration {generation} holds the lock: false\n")), "{answer}");
            }
        }
        server.until_ready();
        drop(old);
        // Else a stop would end a successor on probation, and nothing else.
        server.report(generation);
    }
    holds(address, 8, &lock);
    server.signal(Signal::SIGTERM);
    server.report(8);
    server.until_all_have_ended();
}

/// A new file in its place, whose lock this process has.
fn locked_anew(lock: &Path) -> Flock<File> {
    let beside = lock.with_extension("next");
    let file = File::create(&beside).unwrap();
    let ours = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| error).unwrap();
    fs::rename(&beside, lock).unwrap();
    ours
}

/// Which generation answers, and whether it has the lock.
#[track_caller]
fn ask(stream: &mut TcpStream) -> (u64, bool) {
    let answer = answer(stream);
    let said =
        answer.rsplit_once("\ngeneration ").and_then(|(_, said)| said.trim_end().split_once(" holds the lock: "));
    let (generation, holds) = said.unwrap_or_else(|| panic!("{answer}"));
    (generation.parse().unwrap(), holds.parse().unwrap())
}

/// The whole answer to one request, after which the connection stays as it is.
#[track_caller]
fn answer(stream: &mut TcpStream) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    // The answer's last word ends with its only line that has no carriage return.
    while !(answer.ends_with(b"true\n") || answer.ends_with(b"false\n")) {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.extend(byte);
    }
    String::from_utf8(answer).unwrap()
}

/// It says so, and nobody else can have it.
#[track_caller]
fn holds(address: SocketAddr, generation: u64, lock: &Path) {
    assert_eq!(ask(&mut TcpStream::connect(address).unwrap()), (generation, true));
    let file = File::options().write(true).open(lock).unwrap();
    let tried = Flock::lock(file, FlockArg::LockExclusiveNonblock);
    assert_eq!(tried.map(drop).map_err(|(_, error)| error), Err(Errno::EWOULDBLOCK));
}

/// By rename, as a deploy does.
pub fn flip(link: &Path, to: &Path) {
    let beside = link.with_extension("next");
    symlink(to, &beside).unwrap();
    fs::rename(&beside, link).unwrap();
}

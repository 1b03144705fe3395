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

/// It says so, and nobody else can have it.
#[track_caller]
fn holds(address: SocketAddr, generation: u64, lock: &Path) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with(&format!("\ngeneration {generation} holds the lock: true\n")), "{answer}");
    let file = File::options().write(true).open(lock).unwrap();
    let tried = Flock::lock(file, FlockArg::LockExclusiveNonblock);
    assert_eq!(tried.map(drop).map_err(|(_, error)| error), Err(Errno::EWOULDBLOCK));
}

/// By rename, as a deploy does.
fn flip(link: &Path, to: &Path) {
    let beside = link.with_extension("next");
    symlink(to, &beside).unwrap();
    fs::rename(&beside, link).unwrap();
}

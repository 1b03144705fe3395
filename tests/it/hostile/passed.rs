//! Predecessors that pass what is not what they say.
#![allow(clippy::disallowed_methods)] // the frames are sent by hand, and numbers are what goes with them

use std::{
    fs::File,
    net::{TcpListener, TcpStream},
    os::fd::{AsFd, AsRawFd},
};

use crate::{
    predecessor::{Predecessor, Way},
    support::frames,
};

/// As the TCP listener of this name and address.
fn is_refused(way: Way, passed: impl AsFd, actual: &str, why: &str) {
    let it = Predecessor::new(way);
    let frame = frames::socket("echo", "127.0.0.1:0", actual);
    it.say_hello().pass_control().wire().pass(&frame, &[passed.as_fd().as_raw_fd()]);
    it.say_end();
    let said = it.hears_refused(0);
    assert!(said.starts_with(&format!("the socket passed as \"echo\": {why}")), "{said}");
}

fn passes_a_connection_as_a_listener(way: Way) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let _client = TcpStream::connect(address).unwrap();
    let (connection, _) = listener.accept().unwrap();
    is_refused(way, connection, &address.to_string(), "it is not listening");
}

fn passes_a_file_as_a_listener(way: Way) {
    is_refused(way, tempfile::tempfile().unwrap(), "127.0.0.1:1", "it is no socket");
    is_refused(way, File::open("/dev/null").unwrap(), "127.0.0.1:1", "it is no socket");
}

fn passes_a_pipe_as_a_listener(way: Way) {
    let (read, _write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    is_refused(way, read, "127.0.0.1:1", "it is no socket");
}

fn passes_an_epoll_as_a_listener(way: Way) {
    let epoll = nix::sys::epoll::Epoll::new(nix::sys::epoll::EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
    is_refused(way, epoll.0, "127.0.0.1:1", "it is no socket");
}

/// Whatever is not in this list is dead code.
macro_rules! both_ways {
    ($($claim:ident),* $(,)?) => {
        mod spawned {
            $(#[test] fn $claim() { super::$claim(super::Way::Spawned); })*
        }
        mod met {
            $(#[test] fn $claim() { super::$claim(super::Way::Met); })*
        }
    };
}

both_ways! {
    passes_a_connection_as_a_listener,
    passes_a_file_as_a_listener,
    passes_a_pipe_as_a_listener,
    passes_an_epoll_as_a_listener,
}

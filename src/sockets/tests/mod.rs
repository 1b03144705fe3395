//! Every kind and every wrong one, by descriptor and by number, paths and those who race for them, what is found by which name.

mod activation;
mod kinds;
mod manifest;
mod numbers;
mod paths;
mod registry;

use std::{
    collections::HashSet,
    ffi::OsStr,
    fmt::Debug,
    fs,
    io::{self, Read, Seek, Write},
    net::{self, SocketAddr},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{
            fs::{MetadataExt, PermissionsExt},
            net as unix,
        },
    },
    path::Path,
    sync::{Arc, Barrier},
};

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use socket2::{Domain, SockAddr, SockRef, Type};
use tempfile::TempDir;
use tokio::net::{TcpListener, UdpSocket, UnixDatagram, UnixListener, unix::pipe};

use super::{ControlListener, kind::Kind, *};
use crate::{
    Error, ErrorKind,
    channel::Channel,
    name::Name,
    sys::{self, Identity},
    wire::{self, Message, Origin, SocketKind},
};

fn tcp() -> OwnedFd {
    net::TcpListener::bind("127.0.0.1:0").unwrap().into()
}

fn udp() -> OwnedFd {
    net::UdpSocket::bind("127.0.0.1:0").unwrap().into()
}

fn at(place: &TempDir, name: &str) -> std::path::PathBuf {
    place.path().join(name)
}

fn unix_listener(place: &TempDir) -> OwnedFd {
    unix::UnixListener::bind(at(place, "listener")).unwrap().into()
}

fn unix_datagram(place: &TempDir) -> OwnedFd {
    unix::UnixDatagram::bind(at(place, "datagram")).unwrap().into()
}

fn seqpacket(place: &TempDir) -> OwnedFd {
    let socket = socket2::Socket::new(Domain::UNIX, Type::SEQPACKET, None).unwrap();
    socket.bind(&SockAddr::unix(at(place, "seqpacket")).unwrap()).unwrap();
    socket.listen(8).unwrap();
    socket.into()
}

fn pipe() -> (OwnedFd, OwnedFd) {
    sys::pipe().unwrap()
}

fn fifo(place: &TempDir) -> OwnedFd {
    let path = at(place, "fifo");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::OpenOptions::new().read(true).write(true).open(path).unwrap().into()
}

fn file() -> OwnedFd {
    tempfile::tempfile().unwrap().into()
}

fn is_blocking(descriptor: impl AsFd) -> bool {
    !OFlag::from_bits_retain(fcntl(descriptor, FcntlArg::F_GETFL).unwrap()).contains(OFlag::O_NONBLOCK)
}

fn closes_on_exec(descriptor: impl AsFd) -> bool {
    FdFlag::from_bits_retain(fcntl(descriptor, FcntlArg::F_GETFD).unwrap()).contains(FdFlag::FD_CLOEXEC)
}

/// Runs an ignored test of this crate in a process of its own.
fn alone(test: &str) {
    let mut process = std::process::Command::new(std::env::current_exe().unwrap());
    let output = process.args(["--exact", test, "--ignored"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// As another process passes it: blocking, and open for whoever is started next.
fn as_passed(descriptor: OwnedFd) -> OwnedFd {
    sys::set_blocking(&descriptor, true).unwrap();
    fcntl(&descriptor, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    descriptor
}

fn name(name: &str) -> Name {
    Name::new(name).unwrap()
}

/// What lies in there, in order.
fn files(place: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(place.path()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What the next generation begins with: looked at as it is looked at there.
fn successor(registry: &Registry) -> Registry {
    let passed = registry.to_pass();
    let passed: Vec<_> = passed.into_iter().map(|(socket, fd)| (socket, fd.try_clone().unwrap())).collect();
    Registry::inherit(verify(passed).unwrap())
}

fn activated(sockets: impl IntoIterator<Item = (&'static str, OwnedFd)>) -> Registry {
    let mut registry = Registry::default();
    registry.activate(sockets.into_iter().map(|(name, fd)| (name.to_owned(), fd)).collect());
    registry
}

fn inet(descriptor: impl AsFd) -> SocketAddr {
    SockRef::from(&descriptor).local_addr().unwrap().as_socket().unwrap()
}

fn same(one: impl AsFd, other: impl AsFd) -> bool {
    sys::identity(one).unwrap() == sys::identity(other).unwrap()
}

fn tcp_listen(registry: &mut Registry, under: &str, to: SocketAddr) -> Result<TcpListener, Error> {
    registry.listen::<TcpListener, SocketAddr>(&name(under), &[Bound::Inet(to)], &mut Options::default())
}

/// Waits until nobody answers there. A process that another test has just forked holds copies of our descriptors until it
/// is another program, and so long what we have closed is open.
fn until_refused<T>(connect: impl Fn() -> io::Result<T>) {
    loop {
        match connect() {
            Ok(_) => std::thread::yield_now(),
            Err(error) => return assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused),
        }
    }
}

//! The socket of a connection, where it has one that can change hands: a TCP or Unix stream as it is. What speaks TLS has
//! none, for its keys would have to go along.

use std::{
    any::{Any, TypeId},
    io,
    net::{self, Shutdown},
    os::{fd::OwnedFd, unix},
};

use socket2::SockRef;
use tokio::net::{TcpStream, UnixStream};

use super::Io;

pub(super) fn is_socket<T: Io>() -> bool {
    [TypeId::of::<TcpStream>(), TypeId::of::<UnixStream>()].contains(&TypeId::of::<T>())
}

/// Out of the reactor.
pub(super) fn from_io<T: Io>(io: T) -> io::Result<OwnedFd> {
    let mut io = Some(io);
    if let Some(tcp) = taken(&mut io) {
        return TcpStream::into_std(tcp).map(OwnedFd::from);
    }
    match taken(&mut io) {
        Some(unix) => UnixStream::into_std(unix).map(OwnedFd::from),
        None => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Into the reactor again.
pub(super) fn into_io<T: Io>(socket: OwnedFd) -> io::Result<T> {
    let io = if TypeId::of::<T>() == TypeId::of::<TcpStream>() {
        taken(&mut Some(TcpStream::from_std(net::TcpStream::from(socket))?))
    } else {
        taken(&mut Some(UnixStream::from_std(unix::net::UnixStream::from(socket))?))
    };
    io.ok_or_else(|| io::ErrorKind::Unsupported.into())
}

/// If that fails, the connection ends for its client, whoever else holds a copy.
pub(super) fn or_shut_down<T>(socket: OwnedFd, then: impl FnOnce(OwnedFd) -> io::Result<T>) -> io::Result<T> {
    // For whoever fails has closed what it was given. Without one, the client sees the end when the other process closes.
    let copy = socket.try_clone();
    then(socket).inspect_err(|_| {
        if let Ok(copy) = copy {
            shut_down_socket(&SockRef::from(&copy));
        }
    })
}

/// Ends it for the client, whoever else holds a copy. Not for the sake of its own end: that it is gone already is no error.
pub(super) fn shut_down(io: &dyn Any) {
    let socket = match (io.downcast_ref::<TcpStream>(), io.downcast_ref::<UnixStream>()) {
        (Some(tcp), _) => SockRef::from(tcp),
        (_, Some(unix)) => SockRef::from(unix),
        _ => return,
    };
    shut_down_socket(&socket);
}

/// As [`shut_down`], of one that is in no reactor.
pub(super) fn shut_down_socket(socket: &SockRef<'_>) {
    if let Err(error) = socket.shutdown(Shutdown::Both) {
        crate::log::debug!(%error, "a connection that was handed over had ended already");
    }
}

/// What it holds, if that is of this type.
fn taken<T: 'static, U: 'static>(io: &mut Option<T>) -> Option<U> {
    let io: &mut dyn Any = io;
    io.downcast_mut::<Option<U>>().and_then(Option::take)
}

//! The socket of a connection, where it has one that can change hands: a TCP or Unix stream as it is. What speaks TLS has
//! none, for its keys would have to go along.

use std::{
    any::{Any, TypeId},
    io,
    os::fd::OwnedFd,
};

use tokio::net::{TcpStream, UnixStream};

use super::Io;
use crate::handover::socket::{self, Socket};

pub(super) fn is_socket<T: Io>() -> bool {
    [TypeId::of::<TcpStream>(), TypeId::of::<UnixStream>()].contains(&TypeId::of::<T>())
}

/// Out of the reactor.
pub(super) fn from_io<T: Io>(io: T) -> io::Result<OwnedFd> {
    let mut io = Some(io);
    if let Some(tcp) = taken(&mut io) {
        return TcpStream::into_socket(tcp);
    }
    match taken(&mut io) {
        Some(unix) => UnixStream::into_socket(unix),
        None => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Into the reactor again. If that can't be, it has ended for its client, too.
pub(super) fn into_io<T: Io>(socket: OwnedFd) -> io::Result<T> {
    let io = if TypeId::of::<T>() == TypeId::of::<TcpStream>() {
        taken(&mut Some(socket::register::<TcpStream>(socket)?))
    } else {
        taken(&mut Some(socket::register::<UnixStream>(socket)?))
    };
    io.ok_or_else(|| io::ErrorKind::Unsupported.into())
}

/// Ends it for the client, whoever else holds a copy.
pub(super) fn shut_down(io: &dyn Any) {
    match (io.downcast_ref::<TcpStream>(), io.downcast_ref::<UnixStream>()) {
        (Some(tcp), _) => socket::shut_down(tcp),
        (_, Some(unix)) => socket::shut_down(unix),
        _ => {}
    }
}

/// What it holds, if that is of this type.
fn taken<T: 'static, U: 'static>(io: &mut Option<T>) -> Option<U> {
    let io: &mut dyn Any = io;
    io.downcast_mut::<Option<U>>().and_then(Option::take)
}

use std::{any::Any, io::Read};

use hyper::body::Bytes;
use socket2::SockRef;
use tokio::net::{TcpStream, UnixStream};

use super::Io;

/// Reads from the socket itself, whether or not the reactor thinks that there is something.
///
/// Before an idle connection is let go: a request may lie in the kernel of which the reactor will tell in its next
/// turn. To end the connection now would lose it. `None` also where there is no socket to look at (TLS, in-memory).
pub(super) fn last_look<T: Io>(io: &T) -> Option<Bytes> {
    let io: &dyn Any = io;
    let socket = match io.downcast_ref::<TcpStream>() {
        Some(tcp) => SockRef::from(tcp),
        None => SockRef::from(io.downcast_ref::<UnixStream>()?),
    };
    let mut read = [0; 2048];
    match (&mut &*socket).read(&mut read) {
        // The client's end, nothing yet, or an error: no request, in any case, and the connection ends.
        Ok(0) | Err(_) => None,
        Ok(n) => Some(Bytes::copy_from_slice(&read[..n])),
    }
}

use std::{any::Any, io::Read};

use socket2::SockRef;
use tokio::net::{TcpStream, UnixStream};

/// Reads from the socket itself, whether or not the reactor thinks that there is something.
///
/// Before a connection is ended because nothing comes: a request may lie in the kernel of which the reactor will tell in
/// its next turn. To end the connection now would lose it. How much; `None` also where there is no socket to look at (TLS,
/// in-memory).
pub(crate) fn last_look<T: 'static>(io: &T, into: &mut [u8]) -> Option<usize> {
    let io: &dyn Any = io;
    let socket = match io.downcast_ref::<TcpStream>() {
        Some(tcp) => SockRef::from(tcp),
        None => SockRef::from(io.downcast_ref::<UnixStream>()?),
    };
    // The client's end, nothing yet, or an error: nothing that could be answered, in any case.
    (&*socket).read(into).ok().filter(|&read| read > 0)
}

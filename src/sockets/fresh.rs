//! Binding, for a name that nobody has passed.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use socket2::{Domain, SockAddr, Socket, Type};

use super::{
    address::{self, Bound},
    kind::{Kind, Shape},
    path,
};
use crate::wire::SocketKind;

/// How many connections may wait to be accepted, capped by `net.core.somaxconn`. tokio's 128 overflow within a
/// millisecond when the clients of a crashed server come back; the kernel's own default cap is 4096 (Linux 5.4).
const BACKLOG: u32 = 4096;

/// The application's own settings of a socket, before it is bound.
pub(crate) type SetOptions<'a> = Box<dyn FnMut(BorrowedFd<'_>) -> io::Result<()> + Send + 'a>;

/// How a fresh socket is made.
pub(crate) struct Options<'a> {
    pub(crate) backlog: u32,
    pub(crate) set: Option<SetOptions<'a>>,
    /// Of a Unix path; `None`: as the process's umask has it, but for the control listener, which is its user's only.
    pub(crate) mode: Option<u32>,
    /// User and group of a Unix path.
    pub(crate) owner: (Option<u32>, Option<u32>),
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { backlog: BACKLOG, set: None, mode: None, owner: (None, None) }
    }
}

/// Why there is no fresh socket: what was being done besides `bind(2)` itself, and what the system said.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) during: &'static str,
    pub(super) error: io::Error,
}

impl Fault {
    pub(super) fn during(during: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self { during, error }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self { during: "", error }
    }
}

/// A bound socket, and device and inode of its path.
pub(super) type Fresh = (OwnedFd, (u64, u64));

/// A socket of this kind at this place, listening where it is a listener.
pub(super) fn open(kind: &Kind, to: &Bound, options: &mut Options<'_>) -> Result<Fresh, Fault> {
    match (to, &kind.shape) {
        (Bound::Inet(address), Shape::Listener(_, r#type)) => tcp(*address, *r#type, options),
        (Bound::Inet(address), Shape::Datagram(_)) => udp(*address, options),
        (Bound::Path(path), Shape::Listener(..) | Shape::Datagram(_)) => {
            if kind.code == SocketKind::Control {
                // An abstract name has no mode: there the check of who connects is the only one.
                options.mode = (!address::is_abstract(path)).then(|| options.mode.unwrap_or(0o600));
            }
            path::bind(path, &kind.shape, options)
        }
        // `Address` has no such pair.
        (_, Shape::PipeNot(_) | Shape::Any) => Err(io::Error::from(io::ErrorKind::InvalidInput).into()),
    }
}

fn tcp(address: SocketAddr, r#type: Type, options: &mut Options<'_>) -> Result<Fresh, Fault> {
    let socket = unbound(Domain::for_address(address), r#type)?;
    // As tokio and std: a server started anew must not wait for its predecessor's connections in TIME_WAIT.
    socket.set_reuse_address(true)?;
    set(&socket, options)?;
    socket.bind(&SockAddr::from(address))?;
    listen(&socket, options)?;
    Ok((socket.into(), (0, 0)))
}

fn udp(address: SocketAddr, options: &mut Options<'_>) -> Result<Fresh, Fault> {
    let socket = unbound(Domain::for_address(address), Type::DGRAM)?;
    set(&socket, options)?;
    socket.bind(&SockAddr::from(address))?;
    Ok((socket.into(), (0, 0)))
}

/// Never blocking from its first moment: that belongs to the open file, and so to all generations.
pub(super) fn unbound(domain: Domain, r#type: Type) -> io::Result<Socket> {
    let socket = Socket::new(domain, r#type, None)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

pub(super) fn set(socket: &Socket, options: &mut Options<'_>) -> Result<(), Fault> {
    match &mut options.set {
        Some(set) => set(socket.as_fd()).map_err(Fault::during("set the options")),
        None => Ok(()),
    }
}

pub(super) fn listen(socket: &Socket, options: &Options<'_>) -> Result<(), Fault> {
    socket.listen(options.backlog.min(i32::MAX as u32) as i32).map_err(Fault::during("listen"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_is_larger_than_tokios() {
        let (listener, _) = tcp(([127, 0, 0, 1], 0).into(), Type::STREAM, &mut Options::default()).unwrap();
        let address = socket2::SockRef::from(&listener).local_addr().unwrap();
        let connect = || {
            let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            client.connect_timeout(&address, std::time::Duration::from_secs(5)).map(|()| client)
        };
        let waiting: Vec<_> = (0..1024).map(|_| connect()).collect::<Result<_, _>>().unwrap();
        assert_eq!(waiting.len(), 1024);
    }
}

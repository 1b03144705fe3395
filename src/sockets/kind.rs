//! The kinds of sockets that travel, each in a few lines: one path in the code for all of them.

use std::{
    ffi::OsString,
    fs,
    future::Future,
    io,
    net::SocketAddr,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::Path,
    pin::Pin,
};

use socket2::{Domain, SockRef, Type};
use tokio::net::{TcpListener, ToSocketAddrs, UnixListener};

use super::fresh::{self, Options};
use crate::wire;

/// A kind of socket that travels from generation to generation. Sealed.
///
/// # Examples
///
/// ```
/// use tokio_hotrestart::sockets::Socket;
///
/// fn inherits<S: Socket>() {}
/// inherits::<tokio::net::TcpListener>();
/// inherits::<tokio::net::UnixListener>();
/// ```
pub trait Socket: AsFd + Sized + Send + sealed::Sealed + 'static {
    #[doc(hidden)]
    const KIND: &'static Kind;

    #[doc(hidden)]
    fn into_tokio(descriptor: OwnedFd) -> io::Result<Self>;
}

/// What differs from kind to kind.
#[doc(hidden)]
#[derive(Debug)]
pub struct Kind {
    pub(super) code: wire::SocketKind,
    pub(super) name: &'static str,
    /// What is wrong with a descriptor, as a sentence's end.
    pub(super) check: fn(SockRef<'_>) -> Result<(), String>,
    pub(super) fresh: fn(&Bound, &mut Options<'_>) -> io::Result<OwnedFd>,
}

/// What a kind of socket can be bound to. Sealed.
///
/// # Examples
///
/// ```
/// use tokio_hotrestart::sockets::Address;
///
/// fn binds<S: Address<A>, A>(_to: A) {}
/// binds::<tokio::net::TcpListener, _>("[::]:443");
/// binds::<tokio::net::UnixListener, _>("/run/server.sock");
/// ```
pub trait Address<A>: Socket {
    #[doc(hidden)]
    fn resolve(address: A) -> Pin<Box<dyn Future<Output = io::Result<Vec<Bound>>> + Send>>
    where
        A: Send;
}

/// One place to bind to.
#[doc(hidden)]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bound {
    Inet(SocketAddr),
    Path(OsString),
}

impl Bound {
    pub(crate) fn text(&self) -> OsString {
        match self {
            Self::Inet(address) => address.to_string().into(),
            Self::Path(path) => path.clone(),
        }
    }

    /// Whether the socket that was asked for as `requested` and is bound to `actual` is what this asks for. Port 0 asks
    /// for any port, so it finds the one that was given to it.
    pub(crate) fn is(&self, requested: &OsString, actual: &OsString) -> bool {
        match self {
            Self::Inet(address) if address.port() == 0 => self.text() == *requested,
            _ => self.text() == *actual,
        }
    }
}

/// Which kinds travel is the protocol's to say, so nobody else adds one.
mod sealed {
    #[allow(unnameable_types)] // that is what seals it
    pub trait Sealed {}
    impl Sealed for tokio::net::TcpListener {}
    impl Sealed for tokio::net::UnixListener {}
}

impl Socket for TcpListener {
    const KIND: &'static Kind = &Kind {
        code: wire::SocketKind::TcpListener,
        name: "a TCP listener",
        check: |socket| check_listener(socket, &[Domain::IPV4, Domain::IPV6]),
        fresh: |to, options| match to {
            Bound::Inet(address) => fresh::tcp(*address, options),
            Bound::Path(_) => Err(io::ErrorKind::InvalidInput.into()),
        },
    };

    fn into_tokio(descriptor: OwnedFd) -> io::Result<Self> {
        Self::from_std(descriptor.into())
    }
}

impl<A: ToSocketAddrs + 'static> Address<A> for TcpListener {
    fn resolve(address: A) -> Pin<Box<dyn Future<Output = io::Result<Vec<Bound>>> + Send>>
    where
        A: Send,
    {
        Box::pin(async move { Ok(tokio::net::lookup_host(address).await?.map(Bound::Inet).collect()) })
    }
}

impl Socket for UnixListener {
    const KIND: &'static Kind = &Kind {
        code: wire::SocketKind::UnixListener,
        name: "a Unix listener",
        check: |socket| check_listener(socket, &[Domain::UNIX]),
        fresh: |to, options| match to {
            Bound::Path(path) => fresh::unix(Path::new(path), options),
            Bound::Inet(_) => Err(io::ErrorKind::InvalidInput.into()),
        },
    };

    fn into_tokio(descriptor: OwnedFd) -> io::Result<Self> {
        Self::from_std(descriptor.into())
    }
}

impl<P: AsRef<Path>> Address<P> for UnixListener {
    /// Absolute, because the path is compared in the next generation and removed at the end, wherever the process
    /// stands by then.
    fn resolve(path: P) -> Pin<Box<dyn Future<Output = io::Result<Vec<Bound>>> + Send>>
    where
        P: Send,
    {
        let path = std::path::absolute(path.as_ref());
        Box::pin(async move { Ok(vec![Bound::Path(path?.into_os_string())]) })
    }
}

fn check_listener(socket: SockRef<'_>, families: &[Domain]) -> Result<(), String> {
    let said = |error: io::Error| error.to_string();
    let kind = socket.r#type().map_err(said)?;
    if kind != Type::STREAM {
        return Err(format!("it is a socket of another type ({kind:?})"));
    }
    let family = socket.domain().map_err(said)?;
    if !families.contains(&family) {
        return Err(format!("it is of another address family ({family:?})"));
    }
    if !socket.is_listener().map_err(said)? {
        return Err("it is not listening".to_owned());
    }
    Ok(())
}

/// What a bound socket's manifest entry says of it.
pub(super) fn describe(descriptor: &OwnedFd, asked: &Bound) -> io::Result<(OsString, (u64, u64))> {
    match asked {
        Bound::Inet(_) => Ok((inet_address(descriptor)?, (0, 0))),
        Bound::Path(path) => {
            let file = fs::symlink_metadata(path)?;
            Ok((path.clone(), (file.dev(), file.ino())))
        }
    }
}

pub(super) fn inet_address(descriptor: &OwnedFd) -> io::Result<OsString> {
    let address = SockRef::from(descriptor).local_addr()?;
    let address = address.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
    Ok(address.to_string().into())
}

pub(super) fn unix_path(descriptor: &OwnedFd) -> io::Result<OsString> {
    let address = SockRef::from(descriptor).local_addr()?;
    let path = address.as_pathname().ok_or(io::ErrorKind::AddrNotAvailable)?;
    Ok(path.as_os_str().to_owned())
}

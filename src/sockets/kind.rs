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

use super::{
    Refused,
    fresh::{self, Options},
};
use crate::{Error, ErrorKind, sys, wire};

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
pub trait Socket: AsFd + Sized + Send + 'static + sealed::Kind {
    #[doc(hidden)]
    fn adopt(descriptor: OwnedFd) -> Result<Self, Refused> {
        if let Err(why) = Self::check(SockRef::from(&descriptor)) {
            let why = Error::new(ErrorKind::Socket, format!("adopt a descriptor as {}: {why}", Self::NAME));
            return Err(Refused { why, descriptor });
        }
        // Only now is anything changed, and nothing after this refuses.
        Self::own(descriptor)
    }
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

mod sealed {
    use super::{Bound, OwnedFd, Refused, SockRef, fresh::Options, io, wire};

    pub trait Kind {
        const KIND: wire::SocketKind;
        const NAME: &'static str;

        /// What is wrong with a descriptor, as a sentence's end.
        fn check(socket: SockRef<'_>) -> Result<(), String>;
        fn own(descriptor: OwnedFd) -> Result<Self, Refused>
        where
            Self: Sized;
        fn fresh(to: &Bound, options: &mut Options<'_>) -> io::Result<OwnedFd>;
    }
}
pub(super) use sealed::Kind;

impl Kind for TcpListener {
    const KIND: wire::SocketKind = wire::SocketKind::TcpListener;
    const NAME: &'static str = "a TCP listener";

    fn check(socket: SockRef<'_>) -> Result<(), String> {
        check_listener(socket, &[Domain::IPV4, Domain::IPV6])
    }

    fn own(descriptor: OwnedFd) -> Result<Self, Refused> {
        own(descriptor, |descriptor| Self::from_std(descriptor.into()))
    }

    fn fresh(to: &Bound, options: &mut Options<'_>) -> io::Result<OwnedFd> {
        match to {
            Bound::Inet(address) => fresh::tcp(*address, options),
            Bound::Path(_) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }
}

impl Socket for TcpListener {}

impl<A: ToSocketAddrs + 'static> Address<A> for TcpListener {
    fn resolve(address: A) -> Pin<Box<dyn Future<Output = io::Result<Vec<Bound>>> + Send>>
    where
        A: Send,
    {
        Box::pin(async move { Ok(tokio::net::lookup_host(address).await?.map(Bound::Inet).collect()) })
    }
}

impl Kind for UnixListener {
    const KIND: wire::SocketKind = wire::SocketKind::UnixListener;
    const NAME: &'static str = "a Unix listener";

    fn check(socket: SockRef<'_>) -> Result<(), String> {
        check_listener(socket, &[Domain::UNIX])
    }

    fn own(descriptor: OwnedFd) -> Result<Self, Refused> {
        own(descriptor, |descriptor| Self::from_std(descriptor.into()))
    }

    fn fresh(to: &Bound, options: &mut Options<'_>) -> io::Result<OwnedFd> {
        match to {
            Bound::Path(path) => fresh::unix(Path::new(path), options),
            Bound::Inet(_) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }
}

impl Socket for UnixListener {}

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

/// Non-blocking belongs to the open file, so it holds for every generation at once; close-on-exec is this descriptor's.
fn own<S>(descriptor: OwnedFd, to_tokio: impl FnOnce(OwnedFd) -> io::Result<S>) -> Result<S, Refused> {
    let prepared = SockRef::from(&descriptor).set_cloexec(true).and_then(|()| sys::set_blocking(&descriptor, false));
    // tokio takes the descriptor whatever comes of it, so the one to give back is a second one.
    match prepared.and_then(|()| descriptor.try_clone()) {
        Ok(copy) => to_tokio(copy).map_err(|error| refused(error, descriptor)),
        Err(error) => Err(refused(error, descriptor)),
    }
}

fn refused(error: io::Error, descriptor: OwnedFd) -> Refused {
    Refused { why: Error::io(ErrorKind::Socket, "adopt a descriptor", error), descriptor }
}

/// What a bound socket's manifest entry says of it.
pub(super) fn describe<S: Socket>(descriptor: &OwnedFd, asked: &Bound) -> io::Result<(OsString, (u64, u64))> {
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

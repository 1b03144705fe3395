//! What sockets are bound to, as applications write it and as the kernel tells it.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    future::Future,
    io,
    net::SocketAddr,
    os::{
        fd::BorrowedFd,
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::Path,
    pin::Pin,
};

use socket2::{SockAddr, SockRef};
use tokio::net::{TcpListener, ToSocketAddrs, UdpSocket, UnixDatagram, UnixListener};

use super::{ControlListener, Socket};
use crate::wire;

/// How long a Unix path can be: the kernel's 108 bytes, and it wants its zero at the end.
const PATH_LIMIT: usize = 107;

/// What a kind of socket can be bound to: TCP and UDP to whatever tokio resolves, Unix sockets to a path. A path that
/// begins with `@` is an abstract name (Linux), which lies in no directory; write `./@…` for a file of such a name.
/// Sealed.
///
/// # Examples
///
/// ```
/// use tokio::net::{TcpListener, UdpSocket, UnixDatagram, UnixListener};
/// use tokio_hotrestart::sockets::Address;
///
/// fn binds<S: Address<A>, A>(_to: A) {}
/// binds::<TcpListener, _>("[::]:443");
/// binds::<UdpSocket, _>("0.0.0.0:53");
/// binds::<UnixListener, _>("/run/server.sock");
/// binds::<UnixDatagram, _>("@server");
/// ```
pub trait Address<A>: Socket {
    #[doc(hidden)]
    fn resolve(address: A) -> Resolving
    where
        A: Send;
}

/// The places to bind to, of which the first that is free is taken.
#[doc(hidden)]
pub type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<Bound>>> + Send>>;

/// One place to bind to.
#[doc(hidden)]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bound {
    Inet(SocketAddr),
    /// An absolute path, or `@` and an abstract name.
    Path(OsString),
}

impl Bound {
    pub(crate) fn text(&self) -> OsString {
        match self {
            Self::Inet(address) => address.to_string().into(),
            Self::Path(path) => path.clone(),
        }
    }

    /// Whether that socket is what this asks for. Port 0 asks for any port, so it finds the one that was given to it then;
    /// and a UDP socket that has been connected since is bound to another address than it was asked for.
    pub(super) fn is(&self, socket: &wire::Socket) -> bool {
        let text = self.text();
        text == socket.requested || text == socket.actual
    }
}

macro_rules! addresses {
    (inet: $($inet:ty),*; path: $($unix:ty),*) => {
        $(impl<A: ToSocketAddrs + 'static> Address<A> for $inet {
            fn resolve(address: A) -> Resolving
            where
                A: Send,
            {
                Box::pin(async move { Ok(tokio::net::lookup_host(address).await?.map(Bound::Inet).collect()) })
            }
        })*
        $(impl<P: AsRef<Path>> Address<P> for $unix {
            fn resolve(path: P) -> Resolving
            where
                P: Send,
            {
                let path = absolute(path.as_ref().as_os_str());
                Box::pin(async move { Ok(vec![Bound::Path(path?)]) })
            }
        })*
    };
}

addresses! { inet: TcpListener, UdpSocket; path: UnixListener, UnixDatagram, ControlListener }

/// Absolute, because the path is compared in the next generation and removed at the end, wherever the process stands by
/// then. An abstract name lies nowhere.
pub(super) fn absolute(path: &OsStr) -> io::Result<OsString> {
    if is_abstract(path) {
        return Ok(path.to_owned());
    }
    Ok(std::path::absolute(path)?.into_os_string())
}

pub(super) fn is_abstract(path: &OsStr) -> bool {
    path.as_bytes().first() == Some(&b'@')
}

/// As the kernel wants it.
pub(super) fn unix(path: &OsStr) -> io::Result<SockAddr> {
    // An abstract name needs no zero at its end, and has one in place of the `@`.
    let limit = if is_abstract(path) { PATH_LIMIT + 1 } else { PATH_LIMIT };
    if path.len() > limit {
        let what = format!("the path is {} bytes long, and a Unix socket's may be at most {limit}", path.len());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    if !is_abstract(path) {
        return SockAddr::unix(path);
    }
    if !cfg!(any(target_os = "linux", target_os = "android")) {
        let what = "abstract names of Unix sockets are Linux's";
        return Err(io::Error::new(io::ErrorKind::Unsupported, what));
    }
    let mut name = path.as_bytes().to_vec();
    name[0] = 0;
    SockAddr::unix(OsString::from_vec(name))
}

/// What a socket is bound to, as `getsockname` says; empty for a Unix socket without a name.
pub(super) fn actual(socket: BorrowedFd<'_>) -> io::Result<OsString> {
    let address = SockRef::from(&socket).local_addr()?;
    if let Some(address) = address.as_socket() {
        return Ok(address.to_string().into());
    }
    if let Some(name) = address.as_abstract_namespace() {
        return Ok(OsString::from_vec([b"@", name].concat()));
    }
    Ok(address.as_pathname().map(|path| path.as_os_str().to_owned()).unwrap_or_default())
}

/// For people.
pub(super) fn shown(address: &OsStr) -> impl fmt::Display + '_ {
    Path::new(address).display()
}

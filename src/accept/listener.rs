use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    task::{Context, Poll},
};

use socket2::{Domain, SockRef, Type};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream, unix},
};

/// What connections are accepted from: tokio's TCP and Unix listeners, and your own.
///
/// Open to implementations: vsock, in-memory pairs for tests, sockets from elsewhere. Unlike axum's trait of this
/// name it may fail, and `poll_accept` loses nothing when it is given up.
///
/// # Examples
///
/// A listener for tests, over a channel of in-memory connections:
///
/// ```
/// use std::{io, task::{Context, Poll}};
/// use tokio::{io::DuplexStream, sync::mpsc};
/// use tokio_hotrestart::Listener;
///
/// struct InMemory(mpsc::Receiver<DuplexStream>);
///
/// impl Listener for InMemory {
///     type Io = DuplexStream;
///     type Addr = ();
///
///     fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(DuplexStream, ())>> {
///         match self.0.poll_recv(cx) {
///             Poll::Ready(Some(io)) => Poll::Ready(Ok((io, ()))),
///             Poll::Ready(None) | Poll::Pending => Poll::Pending,
///         }
///     }
///
///     fn local_addr(&self) -> io::Result<()> {
///         Ok(())
///     }
/// }
/// ```
pub trait Listener: Send + Unpin + 'static {
    /// An accepted connection.
    type Io: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Where it comes from.
    type Addr: Send + 'static;

    /// The next connection, or the wake-up of this task when there may be one.
    ///
    /// # Errors
    ///
    /// As `accept(2)` has them. Those of one connection are passed over, shortages are waited out; `EBADF`, `EINVAL`,
    /// `ENOTSOCK`, `EOPNOTSUPP` and `EFAULT` mean that this listener can never accept again.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Self::Io, Self::Addr)>>;

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// As `getsockname(2)` has them.
    fn local_addr(&self) -> io::Result<Self::Addr>;

    /// The listening socket, through which a plain listener finds its name, and whose queue is looked at before it is
    /// closed. `None`: it has no name, and it is empty when [`poll_accept`](Self::poll_accept) is pending.
    fn socket(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Leaves the reactor, so that connections which another process accepts from the same socket wake nobody here.
    ///
    /// # Errors
    ///
    /// When the reactor does not let it go. The listener is lost then.
    fn park(self) -> io::Result<Parked<Self>>
    where
        Self: Sized,
    {
        Ok(Parked::InPlace(self))
    }

    /// Comes back from where [`park`](Self::park) left it.
    ///
    /// # Errors
    ///
    /// When the reactor does not take it; always, where `park` is not implemented. The listener is lost then.
    fn unpark(socket: OwnedFd) -> io::Result<Self>
    where
        Self: Sized,
    {
        drop(socket);
        Err(io::Error::new(io::ErrorKind::Unsupported, "this listener cannot be made from a socket"))
    }

    /// Whether [`adopt`](Self::adopt) can make one of its connections of this socket, which a predecessor offers. It is the
    /// predecessor's still: to look at, and not to touch.
    ///
    /// # Examples
    ///
    /// A listener around tokio's, whose connections come over too:
    ///
    /// ```
    /// use std::{io, net::SocketAddr, os::fd::{BorrowedFd, OwnedFd}, task::{Context, Poll}};
    /// use tokio::net::{TcpListener, TcpStream};
    /// use tokio_hotrestart::Listener;
    ///
    /// struct OfMine(TcpListener);
    ///
    /// impl Listener for OfMine {
    ///     type Io = TcpStream;
    ///     type Addr = SocketAddr;
    ///
    ///     fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
    ///         self.0.poll_accept(cx)
    ///     }
    ///
    ///     fn local_addr(&self) -> io::Result<SocketAddr> {
    ///         self.0.local_addr()
    ///     }
    ///
    ///     fn socket(&self) -> Option<BorrowedFd<'_>> {
    ///         Listener::socket(&self.0)
    ///     }
    ///
    ///     fn takes(connection: BorrowedFd<'_>) -> bool {
    ///         <TcpListener as Listener>::takes(connection)
    ///     }
    ///
    ///     fn adopt(connection: OwnedFd) -> io::Result<(TcpStream, SocketAddr)> {
    ///         <TcpListener as Listener>::adopt(connection)
    ///     }
    /// }
    /// ```
    fn takes(connection: BorrowedFd<'_>) -> bool
    where
        Self: Sized,
    {
        let _ = connection; // of which this listener can make nothing
        false
    }

    /// A connection that was accepted in a predecessor and handed over, as [`poll_accept`](Self::poll_accept) would have
    /// given it.
    ///
    /// The predecessor may still hold its own copy of the socket, and then a mere close would show the client nothing: an
    /// `Io` other than tokio's must end by `shutdown(2)` when it is dropped. Nor can such an `Io` leave again: only tokio's TCP
    /// and Unix streams are handed over to a successor; all others are drained.
    ///
    /// # Errors
    ///
    /// When the client is gone, or the reactor does not take it; always, where this is not implemented.
    fn adopt(connection: OwnedFd) -> io::Result<(Self::Io, Self::Addr)>
    where
        Self: Sized,
    {
        drop(connection);
        Err(io::Error::new(io::ErrorKind::Unsupported, "this listener cannot adopt connections"))
    }
}

/// A [`Listener`] that is not to be woken.
#[derive(Debug)]
#[allow(clippy::exhaustive_enums, reason = "a listener is either in the reactor or not")]
pub enum Parked<L> {
    /// It cannot leave the reactor, or was never in one.
    InPlace(L),
    /// Its socket, of which no reactor knows.
    Out(OwnedFd),
}

impl Listener for TcpListener {
    type Io = TcpStream;
    type Addr = SocketAddr;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        Self::poll_accept(self, cx)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Self::local_addr(self)
    }

    fn socket(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_fd())
    }

    fn park(self) -> io::Result<Parked<Self>> {
        Ok(Parked::Out(self.into_std()?.into()))
    }

    fn unpark(socket: OwnedFd) -> io::Result<Self> {
        Self::from_std(socket.into())
    }

    fn takes(connection: BorrowedFd<'_>) -> bool {
        is_stream(connection, &[Domain::IPV4, Domain::IPV6])
    }

    fn adopt(connection: OwnedFd) -> io::Result<(TcpStream, SocketAddr)> {
        let connection = TcpStream::from_std(non_blocking(connection)?)?;
        let peer = connection.peer_addr()?;
        Ok((connection, peer))
    }
}

impl Listener for UnixListener {
    type Io = UnixStream;
    type Addr = unix::SocketAddr;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(UnixStream, unix::SocketAddr)>> {
        Self::poll_accept(self, cx)
    }

    fn local_addr(&self) -> io::Result<unix::SocketAddr> {
        Self::local_addr(self)
    }

    fn socket(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_fd())
    }

    fn park(self) -> io::Result<Parked<Self>> {
        Ok(Parked::Out(self.into_std()?.into()))
    }

    fn unpark(socket: OwnedFd) -> io::Result<Self> {
        Self::from_std(socket.into())
    }

    fn takes(connection: BorrowedFd<'_>) -> bool {
        is_stream(connection, &[Domain::UNIX])
    }

    fn adopt(connection: OwnedFd) -> io::Result<(UnixStream, unix::SocketAddr)> {
        let connection = UnixStream::from_std(non_blocking(connection)?)?;
        let peer = connection.peer_addr()?;
        Ok((connection, peer))
    }
}

/// A connection. A listener would be shut down where it is taken for one and ended, for everybody who has it.
fn is_stream(socket: BorrowedFd<'_>, domains: &[Domain]) -> bool {
    let socket = SockRef::from(&socket);
    let is_of_domain = socket.domain().is_ok_and(|domain| domains.contains(&domain));
    is_of_domain
        && socket.r#type().is_ok_and(|kind| kind == Type::STREAM)
        && socket.is_listener().is_ok_and(|listens| !listens)
}

/// As the reactor wants it, whatever the predecessor has left it in.
fn non_blocking<S: From<OwnedFd>>(socket: OwnedFd) -> io::Result<S> {
    SockRef::from(&socket).set_nonblocking(true)?;
    Ok(socket.into())
}

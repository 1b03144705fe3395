//! Where a load goes.

use std::{fmt, io, net::SocketAddr, path::PathBuf, pin::Pin, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

use crate::{
    Signpost,
    failure::{Failure, Progress},
};

/// Where a load goes: `"127.0.0.1:8080".into()`, a [`SocketAddr`], a [`PathBuf`], or a [`Signpost`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A TCP address.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
    /// The TCP address at which it points when a connection is opened.
    Signpost(Signpost),
}

/// A connection of any kind. Boxed, so that each client exists once and not once per kind.
pub type Stream = Box<dyn Duplex>;

/// What a connection can do.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// What makes a connection of another before anything is asked on it: TLS.
#[derive(Clone)]
pub(crate) struct Handshake(Arc<Shake>);

type Shake = dyn Fn(Stream) -> Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>> + Send + Sync;

impl Handshake {
    pub(crate) fn new<F, Fut, Io>(shake: F) -> Self
    where
        F: Fn(Stream) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<Io>> + Send + 'static,
        Io: Duplex + 'static,
    {
        Self(Arc::new(move |stream| {
            let shaken = shake(stream);
            Box::pin(async move { Ok(Box::new(shaken.await?) as Stream) })
        }))
    }

    pub(crate) async fn shake(&self, stream: Stream) -> Result<Stream, Failure> {
        (self.0)(stream).await.map_err(|error| Failure::ended(Progress::New, Some(&error)))
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake").finish_non_exhaustive()
    }
}

impl Target {
    /// And which is the client's own end, of TCP.
    pub(crate) async fn connect(&self, deadline: Duration) -> Result<(Stream, Option<SocketAddr>), Failure> {
        match self {
            Self::Tcp(address) => connect_tcp(*address).await,
            Self::Unix(path) => connect_unix(path.clone(), deadline).await.map(|stream| (stream, None)),
            Self::Signpost(signpost) => connect_tcp(signpost.address()).await,
        }
        .map_err(|error| Failure::connect(&error))
    }
}

async fn connect_tcp(address: SocketAddr) -> io::Result<(Stream, Option<SocketAddr>)> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let local = stream.local_addr()?;
    Ok((Box::new(stream), Some(local)))
}

async fn connect_unix(path: PathBuf, deadline: Duration) -> io::Result<Stream> {
    match UnixStream::connect(&path).await {
        // A Unix socket whose queue is full says so at once to a non-blocking client. That is this client's way of
        // asking and no fault of the server's: an ordinary client waits in `connect(2)`.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            let waited = tokio::task::spawn_blocking(move || connect_unix_waiting(&path, deadline));
            let stream = waited.await.map_err(io::Error::other)??;
            Ok(Box::new(UnixStream::from_std(stream)?))
        }
        connected => Ok(Box::new(connected?)),
    }
}

fn connect_unix_waiting(path: &PathBuf, deadline: Duration) -> io::Result<std::os::unix::net::UnixStream> {
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
    // Else a server that never accepts would hold this thread, and with it the runtime's end, for ever.
    socket.set_write_timeout(Some(deadline))?;
    socket.connect(&socket2::SockAddr::unix(path)?)?;
    socket.set_nonblocking(true)?;
    Ok(std::os::fd::OwnedFd::from(socket).into())
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl From<PathBuf> for Target {
    fn from(path: PathBuf) -> Self {
        Self::Unix(path)
    }
}

impl From<Signpost> for Target {
    fn from(signpost: Signpost) -> Self {
        Self::Signpost(signpost)
    }
}

/// An IP address with a port is TCP, anything else is a path.
impl From<&str> for Target {
    fn from(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Unix(text.into()), Self::Tcp)
    }
}

impl From<&Self> for Target {
    fn from(target: &Self) -> Self {
        target.clone()
    }
}

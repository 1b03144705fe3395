//! `graceful.bind(name, address)`: a socket under a name, found or made when it is awaited.

use std::{
    fmt,
    future::{Future, IntoFuture},
    io,
    marker::PhantomData,
    os::fd::BorrowedFd,
    path::PathBuf,
    pin::Pin,
};

use super::Graceful;
use crate::{
    Error, ErrorKind,
    name::Name,
    sockets::{Address, Options, Socket},
};

/// A socket that is about to be found or made: await it. The knobs hold for a fresh bind only: none of them is looked at
/// for a socket that is inherited or was activated (by systemd, say), which stays as it was made.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tokio_hotrestart::Error> {
/// use socket2::SockRef;
///
/// let graceful = tokio_hotrestart::Graceful::detached();
/// let listener = graceful
///     .listen("http", "127.0.0.1:0")
///     .backlog(1024)
///     .options(|socket| SockRef::from(&socket).set_keepalive(true))
///     .await?;
/// # drop(listener); Ok(()) }
/// ```
#[must_use = "await it"]
pub struct Bind<'a, S, A> {
    graceful: &'a Graceful,
    name: &'a str,
    address: A,
    options: Options<'a>,
    kind: PhantomData<fn() -> S>,
}

impl<'a, S: Socket, A> Bind<'a, S, A> {
    pub(super) fn new(graceful: &'a Graceful, name: &'a str, address: A) -> Self {
        Self { graceful, name, address, options: Options::default(), kind: PhantomData }
    }

    /// How many connections may wait to be accepted (4096, capped by `net.core.somaxconn`). A socket of datagrams has no
    /// such queue. Not for an inherited or activated socket.
    pub fn backlog(mut self, connections: u32) -> Self {
        self.options.backlog = connections;
        self
    }

    /// Runs on a fresh socket before `bind(2)`, once for each address that is tried. It does not run on an inherited or
    /// activated socket, which keeps the options that an earlier generation or systemd has set.
    ///
    /// It runs while other sockets wait to be bound, so it does nothing but set options; and it leaves the socket
    /// non-blocking.
    pub fn options(mut self, set: impl FnMut(BorrowedFd<'_>) -> io::Result<()> + Send + 'a) -> Self {
        self.options.set = Some(Box::new(set));
        self
    }
}

/// Only for sockets that can have a path.
impl<S: Address<PathBuf>, A> Bind<'_, S, A> {
    /// The mode of a fresh socket's path (as the umask has it). Nobody gets at the socket before it is set. Awaiting fails
    /// with an abstract name, which has no mode. Not for an inherited or activated socket.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::os::unix::fs::PermissionsExt;
    ///
    /// # let place = tempfile::tempdir()?; let path = place.path().join("s");
    /// # let graceful = tokio_hotrestart::Graceful::detached();
    /// let listener = graceful.listen_unix("admin", path.clone()).mode(0o660).await?;
    /// assert_eq!(std::fs::metadata(path)?.permissions().mode() & 0o777, 0o660);
    /// # drop(listener); Ok(()) }
    /// ```
    pub fn mode(mut self, mode: u32) -> Self {
        self.options.mode = Some(mode);
        self
    }

    /// User and group of a fresh socket's path, where they are to be others than this process's. Awaiting fails with an
    /// abstract name, which has no owner. Not for an inherited or activated socket.
    pub fn owner(mut self, user: Option<u32>, group: Option<u32>) -> Self {
        self.options.owner = (user, group);
        self
    }
}

impl<'a, S: Address<A>, A: Send + 'a> IntoFuture for Bind<'a, S, A> {
    type Output = Result<S, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { graceful, name, address, mut options, .. } = self;
        let asked = S::resolve(address);
        Box::pin(async move {
            let name = Name::new(name)?;
            let failed = |error| Error::io(ErrorKind::Socket, format!("resolve the address of {name:?}"), error);
            let asked = asked.await.map_err(failed)?;
            let found = graceful.registry().listen(&name, &asked, &mut options)?;
            graceful.has_registered();
            Ok(found)
        })
    }
}

impl<S, A: fmt::Debug> fmt::Debug for Bind<'_, S, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bind").field("name", &self.name).field("address", &self.address).finish_non_exhaustive()
    }
}

//! The handle's way to the sockets: found or made by name, given, and let go.

use std::{os::fd::AsFd, path::Path};

use tokio::net::{TcpListener, ToSocketAddrs, UnixListener};

use super::{Bind, Graceful, handle::ask, shared::Ask};
use crate::{
    Error,
    name::Name,
    sockets::{Address, Socket},
};

impl Graceful {
    /// A TCP listener under a name, by which every later generation finds it: inherited, else activated (by systemd, say:
    /// by its name, else by its address), else bound. It is a plain tokio listener; the crate keeps a duplicate to pass on, and closes that when accepting ends.
    ///
    /// In a successor, listen before [`ready`](Self::ready): what is not claimed by then is closed. Where the address
    /// under a name has changed, the new one is bound, and the predecessor serves the old one until it is empty.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Name`](crate::ErrorKind::Name) for a malformed name or one used before, [`ErrorKind::Socket`](crate::ErrorKind::Socket) for what the system says.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tokio_hotrestart::Error> {
    /// # let graceful = tokio_hotrestart::Graceful::detached();
    /// let listener = graceful.listen("http", "127.0.0.1:0").await?;
    /// # drop(listener); Ok(()) }
    /// ```
    pub fn listen<'a, A>(&'a self, name: &'a str, address: A) -> Bind<'a, TcpListener, A>
    where
        A: ToSocketAddrs + Send + 'static,
        TcpListener: Address<A>,
    {
        Bind::new(self, name, address)
    }

    /// The same for a Unix listener. Inheriting never touches the path; a fresh bind replaces a path that a crashed server
    /// left behind, if nobody answers there, under a lock (`<path>.lock`) against another starter; the last generation
    /// removes it, and only if it is its own. An activated one's path is never touched. A path that begins with `@` is an
    /// abstract name ([`Address`]).
    ///
    /// # Errors
    ///
    /// As [`listen`](Self::listen).
    pub fn listen_unix<'a, P>(&'a self, name: &'a str, path: P) -> Bind<'a, UnixListener, P>
    where
        P: AsRef<Path> + Send + 'a,
    {
        Bind::new(self, name, path)
    }

    /// The one way beneath [`listen`](Self::listen) and [`listen_unix`](Self::listen_unix), for every kind of socket that
    /// has an address: inherited, else activated (by systemd, say), else bound.
    ///
    /// # Errors
    ///
    /// As [`listen`](Self::listen).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tokio_hotrestart::Error> {
    /// use tokio::net::{UdpSocket, UnixDatagram};
    ///
    /// # let graceful = tokio_hotrestart::Graceful::detached();
    /// let dns = graceful.bind::<UdpSocket, _>("dns", "127.0.0.1:0").await?;
    /// # let log = format!("@hotrestart-doc-{}", std::process::id());
    /// let log = graceful.bind::<UnixDatagram, _>("log", log).await?; // "/run/server/log.sock", or "@log"
    /// # drop((dns, log)); Ok(()) }
    /// ```
    pub fn bind<'a, S, A>(&'a self, name: &'a str, address: A) -> Bind<'a, S, A>
    where
        S: Address<A>,
        A: Send + 'a,
    {
        Bind::new(self, name, address)
    }

    /// The inherited or activated socket of this name. `None`: nobody has passed one, so open it yourself, and
    /// [`offer`](Self::offer) it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Name`](crate::ErrorKind::Name) for a malformed name or one used before; [`ErrorKind::Socket`](crate::ErrorKind::Socket) where it is of another kind, and
    /// then it stays to be claimed.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tokio_hotrestart::Error> {
    /// use tokio::net::TcpListener;
    ///
    /// # let graceful = tokio_hotrestart::Graceful::detached();
    /// let listener = match graceful.claim::<TcpListener>("http")? {
    ///     Some(inherited) => inherited,
    ///     None => graceful.listen("http", "127.0.0.1:0").await?,
    /// };
    /// # drop(listener); Ok(()) }
    /// ```
    pub fn claim<S: Socket>(&self, name: &str) -> Result<Option<S>, Error> {
        let claimed = self.registry().claim(&Name::new(name)?)?;
        self.has_registered();
        Ok(claimed)
    }

    /// Passes on what the application has opened itself, under a name by which the next generation
    /// [`claim`](Self::claim)s it: any socket, pipe end, memfd or other descriptor. The crate keeps a duplicate, and closes
    /// that when accepting ends. A Unix socket's path stays the application's to remove.
    ///
    /// A descriptor that is claimed as one of tokio's types becomes non-blocking, and that in every process that shares
    /// it: offer it non-blocking, or use it so.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Name`](crate::ErrorKind::Name) for a malformed name or one used before, [`ErrorKind::Socket`](crate::ErrorKind::Socket) for what the system says.
    ///
    /// # Examples
    ///
    /// State that outlives the process, in a file that lies nowhere:
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::{fs::File, os::fd::OwnedFd};
    ///
    /// # let graceful = tokio_hotrestart::Graceful::detached();
    /// let counters = match graceful.claim::<OwnedFd>("counters")? {
    ///     Some(inherited) => File::from(inherited),
    ///     None => {
    ///         let fresh = tempfile::tempfile()?;
    ///         graceful.offer("counters", &fresh)?;
    ///         fresh
    ///     }
    /// };
    /// # drop(counters); Ok(()) }
    /// ```
    pub fn offer(&self, name: &str, descriptor: &impl AsFd) -> Result<(), Error> {
        self.registry().offer(&Name::new(name)?, descriptor.as_fd())?;
        self.has_registered();
        Ok(())
    }

    /// Lets a name go: the crate's duplicate is closed, and the successor does not get it. What the application holds
    /// stays open, and a Unix path stays where it is. In a successor it also closes what was passed under the name and
    /// is not claimed. Of a name that nobody has given there is nothing to let go.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tokio_hotrestart::Error> {
    /// # let graceful = tokio_hotrestart::Graceful::detached();
    /// let listener = graceful.listen("http", "127.0.0.1:0").await?;
    /// graceful.release("http"); // the next generation binds its own
    /// # drop(listener); Ok(()) }
    /// ```
    pub fn release(&self, name: &str) {
        if let Ok(name) = Name::new(name) {
            self.registry().release(&name);
            self.has_registered();
        }
    }

    /// systemd may keep duplicates of what has a name.
    pub(super) fn has_registered(&self) {
        ask(&self.shared, Ask::Registered);
    }
}

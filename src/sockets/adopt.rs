//! From a raw descriptor to a tokio socket.

use std::{
    error, fmt, io,
    os::fd::{AsFd, OwnedFd},
};

use super::Socket;
use crate::{Error, ErrorKind, sys};

/// Turns an inherited descriptor into a tokio socket.
///
/// Kind, family and listening state are checked (of a pipe: which end it is), and non-blocking mode and close-on-exec are
/// restored before tokio sees it: tokio panics over a blocking descriptor in a debug build, and stalls in a release
/// build. Anything can be adopted as an [`OwnedFd`], which keeps its flags but for close-on-exec.
///
/// Non-blocking belongs to the open file, so it holds for every process that shares it.
///
/// # Errors
///
/// A descriptor of another kind comes back in [`Refused`], open and untouched.
///
/// # Panics
///
/// Outside a tokio runtime with I/O.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::os::fd::OwnedFd;
/// use tokio::net::TcpListener;
///
/// // Blocking, as systemd passes it.
/// let inherited = OwnedFd::from(std::net::TcpListener::bind("127.0.0.1:0")?);
/// let listener = tokio_hotrestart::sockets::adopt::<TcpListener>(inherited)?;
/// assert!(listener.local_addr()?.ip().is_loopback());
///
/// let wrong = OwnedFd::from(std::net::UdpSocket::bind("127.0.0.1:0")?);
/// let refused = tokio_hotrestart::sockets::adopt::<TcpListener>(wrong).unwrap_err();
/// let untouched: OwnedFd = refused.into_fd();
/// # drop(untouched); Ok(()) }
/// ```
pub fn adopt<S: Socket>(descriptor: OwnedFd) -> Result<S, Refused> {
    // tokio takes what it is given whatever comes of it, so it is given a second one.
    share(&descriptor, format_args!("adopt a descriptor")).map_err(|why| Refused { why, descriptor })
}

/// The same over a duplicate, which is close-on-exec from its first moment. The descriptor stays.
pub(super) fn share<S: Socket>(descriptor: &OwnedFd, during: fmt::Arguments<'_>) -> Result<S, Error> {
    if let Err(why) = S::KIND.check(descriptor.as_fd()) {
        return Err(Error::new(ErrorKind::Socket, format!("{during} as {}: {why}", S::KIND.name)));
    }
    duplicate(descriptor).map_err(|error| Error::io(ErrorKind::Socket, during.to_string(), error))
}

fn duplicate<S: Socket>(descriptor: &OwnedFd) -> io::Result<S> {
    if S::KIND.is_tokios() {
        sys::set_blocking(descriptor, false)?;
    }
    S::into_tokio(descriptor.try_clone()?)
}

/// A descriptor that is not what was asked for, and why.
#[derive(Debug)]
pub struct Refused {
    why: Error,
    descriptor: OwnedFd,
}

impl Refused {
    /// What is wrong with it.
    pub fn why(&self) -> &Error {
        &self.why
    }

    /// The descriptor, as it was.
    pub fn into_fd(self) -> OwnedFd {
        self.descriptor
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.why.fmt(f)
    }
}

impl error::Error for Refused {}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        refused.why
    }
}

//! From a raw descriptor to a tokio socket.

use std::{
    error, fmt, io,
    os::fd::{AsFd, OwnedFd},
};

use super::Socket;
use crate::{Error, ErrorKind, sys, wire::SocketKind};

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
    share(&descriptor, None, format_args!("adopt a descriptor")).map_err(|why| Refused { why, descriptor })
}

/// Turns a number into a tokio socket: that of a descriptor which whoever started this process has passed by it, on the
/// command line or in a protocol of its own. All that [`adopt`] checks and restores is checked and restored here.
///
/// The number must be open and *not* close-on-exec. So is what came through an exec, and so is nothing that this process
/// has opened itself: by Rust's habit all of that is close-on-exec. Hence no number that somebody here owns is taken from
/// them, a second call for the same number is an error, and this function is safe. (In a program in which other code, of
/// a C library say, opens descriptors that are not close-on-exec, name none of those.)
///
/// The socket bears another number; the one that was passed is closed.
///
/// # Errors
///
/// [`ErrorKind::Socket`](crate::ErrorKind::Socket) for a closed number, one that this process has opened, a standard
/// stream (0 to 2: adopt a duplicate), and a descriptor of another kind. Each failure leaves the number as it was.
///
/// # Panics
///
/// Outside a tokio runtime with I/O.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use tokio::net::TcpListener;
/// use tokio_hotrestart::sockets::adopt_number;
///
/// // As in `server --listen-fd 5 5<>…`, or as a supervisor passes it.
/// # fn from_the_command_line() -> Option<i32> { None }
/// let listener = match from_the_command_line() {
///     Some(number) => adopt_number::<TcpListener>(number)?,
///     None => TcpListener::bind("127.0.0.1:0").await?,
/// };
///
/// let refused = adopt_number::<TcpListener>(777).unwrap_err();
/// assert_eq!(refused.to_string(), "adopt a number as a TCP listener: descriptor 777 is closed");
/// # drop(listener); Ok(()) }
/// ```
pub fn adopt_number<S: Socket>(number: i32) -> Result<S, Error> {
    let failed = |error| Error::io(ErrorKind::Socket, format!("adopt a number as {}", S::KIND.name), error);
    // A duplicate is adopted, so that the number is still as it was if anything fails.
    let adopted = sys::consume(number, |passed| {
        S::KIND.check(passed).map_err(|why| io::Error::other(format!("descriptor {number}: {why}")))?;
        Ok(adopt::<S>(passed.try_clone_to_owned()?)?)
    });
    adopted.map_err(failed)
}

/// The same over a duplicate, which is close-on-exec from its first moment. The descriptor stays. What is `known` to be of
/// the kind that is asked for is not looked at again: with thousands of sockets that takes time.
pub(super) fn share<S: Socket>(
    descriptor: &OwnedFd,
    known: Option<SocketKind>,
    during: fmt::Arguments<'_>,
) -> Result<S, Error> {
    if known != Some(S::KIND.code) {
        let wrong = |why| Error::new(ErrorKind::Socket, format!("{during} as {}: {why}", S::KIND.name));
        S::KIND.check(descriptor.as_fd()).map_err(wrong)?;
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

impl From<Refused> for io::Error {
    fn from(refused: Refused) -> Self {
        refused.why.into()
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        refused.why
    }
}

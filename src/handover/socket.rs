use std::{
    fmt, io,
    net::Shutdown,
    os::fd::{AsFd, OwnedFd},
};

use socket2::SockRef;
use tokio::net::{TcpStream, UnixStream};

/// A stream that can change hands, in the reactor and out of it. What speaks TLS can't: its keys would have to go along.
#[allow(unnameable_types, reason = "a part of what seals `raw::Stream`")]
pub trait Socket: AsFd + fmt::Debug + Send + Sized + 'static {
    /// Out of the reactor.
    #[doc(hidden)]
    fn into_socket(self) -> io::Result<OwnedFd>;

    /// Into the reactor of this runtime. It does not block.
    #[doc(hidden)]
    fn of_socket(socket: OwnedFd) -> io::Result<Self>;
}

macro_rules! sockets {
    ($($stream:ty),*) => {$(
        impl Socket for $stream {
            fn into_socket(self) -> io::Result<OwnedFd> {
                Ok(self.into_std()?.into())
            }

            fn of_socket(socket: OwnedFd) -> io::Result<Self> {
                Self::from_std(socket.into())
            }
        }
    )*};
}

sockets!(TcpStream, UnixStream);

/// One that has come from elsewhere, or back from there, into the reactor of this runtime. If that can't be, it has ended
/// for its client, too.
pub(crate) fn register<T: Socket>(socket: OwnedFd) -> io::Result<T> {
    // It is so already, unless somebody has set it back: a blocking one would stop the whole runtime.
    SockRef::from(&socket).set_nonblocking(true)?;
    or_shut_down(socket, T::of_socket)
}

/// If that fails, the connection ends for its client, whoever else holds a copy.
pub(crate) fn or_shut_down<T>(socket: OwnedFd, then: impl FnOnce(OwnedFd) -> io::Result<T>) -> io::Result<T> {
    // Who fails has closed it by then, and there is nothing left to shut down.
    let copy = socket.try_clone();
    then(socket).inspect_err(|_| match &copy {
        Ok(copy) => shut_down(copy),
        Err(error) => crate::log::warn!(%error, "a connection ends for its client when all have closed it"),
    })
}

/// Ends it for the client, whoever else holds a copy: a mere close would not show the client anything.
pub(crate) fn shut_down(socket: &impl AsFd) {
    if let Err(error) = SockRef::from(socket).shutdown(Shutdown::Both) {
        // Nearly always: the client is gone.
        crate::log::debug!(%error, "a connection that was handed over had ended already");
    }
}

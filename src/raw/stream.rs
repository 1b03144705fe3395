use std::{fmt, io, os::fd::OwnedFd};

use socket2::SockRef;
use tokio::net::{TcpStream, UnixStream};

use crate::{Tracked, Tracker};

/// What can be handed over: `TcpStream` and `UnixStream`, plain or [`Tracked`].
///
/// A tracked one is counted by its own guard until the successor has it, and is afterwards listed as handed over. A plain one
/// is counted meanwhile, so that the drain waits for the answer.
///
/// TLS is not among them: its keys are a part of the connection. Nobody else can implement it.
///
/// # Examples
///
/// ```
/// fn can_be_handed_over<S: tokio_hotrestart::raw::Stream>() {}
///
/// can_be_handed_over::<tokio::net::TcpStream>();
/// can_be_handed_over::<tokio_hotrestart::Tracked<tokio::net::UnixStream>>();
/// ```
pub trait Stream: Sealed {}

impl<S: Sealed> Stream for S {}

/// Whatever it is, it is tracked while it is on its way.
#[allow(unnameable_types, reason = "it seals `Stream`")]
pub trait Sealed: fmt::Debug + Send + Sized + 'static {
    #[doc(hidden)]
    type Io: Socket;

    #[doc(hidden)]
    fn into_tracked(self, tracker: &Tracker) -> Tracked<Self::Io>;

    #[doc(hidden)]
    fn of_tracked(stream: Tracked<Self::Io>) -> Self;
}

/// A connected socket, in the reactor and out of it.
#[allow(unnameable_types, reason = "it seals `Stream`")]
pub trait Socket: Sealed<Io = Self> {
    #[doc(hidden)]
    fn into_socket(self) -> io::Result<OwnedFd>;

    #[doc(hidden)]
    fn of_socket(socket: OwnedFd) -> io::Result<Self>;

    /// Ends the connection although somebody else may still hold the socket: a mere close would not show the client anything.
    #[doc(hidden)]
    fn shut(&self);
}

macro_rules! sockets {
    ($($stream:ty),*) => {$(
        impl Sealed for $stream {
            type Io = Self;

            fn into_tracked(self, tracker: &Tracker) -> Tracked<Self> {
                tracker.track(self)
            }

            fn of_tracked(stream: Tracked<Self>) -> Self {
                stream.into_parts().0
            }
        }

        impl Socket for $stream {
            fn into_socket(self) -> io::Result<OwnedFd> {
                Ok(self.into_std()?.into())
            }

            fn of_socket(socket: OwnedFd) -> io::Result<Self> {
                Self::from_std(socket.into())
            }

            fn shut(&self) {
                if let Err(error) = SockRef::from(self).shutdown(std::net::Shutdown::Both) {
                    // Nearly always: the client is gone.
                    crate::log::debug!(%error, "a connection that came from the predecessor could not be shut down");
                }
            }
        }
    )*};
}

sockets!(TcpStream, UnixStream);

impl<T: Socket> Sealed for Tracked<T> {
    type Io = T;

    fn into_tracked(self, _: &Tracker) -> Self {
        self
    }

    fn of_tracked(stream: Self) -> Self {
        stream
    }
}

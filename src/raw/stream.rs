use std::fmt;

use crate::{Tracked, Tracker, handover::socket::Socket};

/// What can be handed over: `TcpStream` and `UnixStream`, plain or [`Tracked`].
///
/// A tracked one is counted by its own guard until the successor has it, and is afterwards listed as
/// [handed over](crate::Report::handed_over): also where the successor dies in the next moment, and the client's connection
/// with it. A plain one is counted meanwhile, so that the drain waits for the answer.
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

impl<T: Socket> Sealed for T {
    type Io = Self;

    fn into_tracked(self, tracker: &Tracker) -> Tracked<Self> {
        tracker.track(self)
    }

    fn of_tracked(stream: Tracked<Self>) -> Self {
        stream.into_parts().0
    }
}

impl<T: Socket> Sealed for Tracked<T> {
    type Io = T;

    fn into_tracked(self, _: &Tracker) -> Self {
        self
    }

    fn of_tracked(stream: Self) -> Self {
        stream
    }
}

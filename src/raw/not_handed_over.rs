use std::{error, fmt};

use crate::Error;

/// Why `Graceful::hand_over` did not, and what has become of the connection.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use tokio::net::UnixStream;
/// use tokio_hotrestart::{ErrorKind, Graceful, raw::NotHandedOver};
///
/// let graceful = Graceful::detached();
/// let (stream, _client) = UnixStream::pair()?;
/// match graceful.hand_over(stream, "chat", "three members").await {
///     Err(NotHandedOver::Back { stream, state, why }) => {
///         assert_eq!((why.kind(), state), (ErrorKind::Nobody, b"three members".to_vec()));
///         drop(stream); // or serve it on
///     }
///     other => panic!("{other:?}"),
/// }
/// # Ok(()) }
/// ```
#[allow(clippy::exhaustive_enums, reason = "a connection is still this process's, or it is not")]
pub enum NotHandedOver<S> {
    /// It is this process's as before, and nobody else has read from it or written to it.
    Back {
        /// The connection, registered with the runtime again. A [`Tracked`](crate::Tracked) one that was offered is shut
        /// down when it is dropped; a plain one its owner has to shut down: a child of a successor that has died may still
        /// hold a copy of the socket, and a mere close would show the client nothing.
        stream: S,
        /// The state, as it was given.
        state: Vec<u8>,
        /// [`ErrorKind::Refused`](crate::ErrorKind::Refused): the successor did not want it, or has ended, or is not asked
        /// any more, because the drain ends soon.
        /// [`ErrorKind::Nobody`](crate::ErrorKind::Nobody): there is none that takes connections.
        /// [`ErrorKind::Ending`](crate::ErrorKind::Ending): this generation stops.
        /// [`ErrorKind::Deadline`](crate::ErrorKind::Deadline): it had no turn until the drain's deadline.
        /// [`ErrorKind::Name`](crate::ErrorKind::Name): the protocol has a name that can't be one.
        /// [`ErrorKind::State`](crate::ErrorKind::State): the state is too long.
        why: Error,
    },
    /// It is this process's no more.
    Lost {
        /// [`ErrorKind::Deadline`](crate::ErrorKind::Deadline): the successor had not decided at the drain's deadline, or
        /// when it was heard to talk nonsense, after which nothing that it says is believed; or it has died, and this
        /// process had no descriptor left for what came back. The successor may still take it; if not, it is closed.
        /// [`ErrorKind::Connection`](crate::ErrorKind::Connection): the system refused to take its socket out of the runtime,
        /// or to register it again, and it is closed.
        why: Error,
    },
}

impl<S> NotHandedOver<S> {
    /// Why not.
    pub fn why(&self) -> &Error {
        match self {
            Self::Back { why, .. } | Self::Lost { why } => why,
        }
    }

    /// The connection and its state, where they are this process's.
    pub fn into_parts(self) -> Option<(S, Vec<u8>)> {
        match self {
            Self::Back { stream, state, .. } => Some((stream, state)),
            Self::Lost { .. } => None,
        }
    }
}

/// Without the state: it may be secret.
impl<S: fmt::Debug> fmt::Debug for NotHandedOver<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Back { stream, state, why } => {
                let mut back = f.debug_struct("Back");
                back.field("stream", stream).field("state", &state.len()).field("why", why).finish()
            }
            Self::Lost { why } => f.debug_struct("Lost").field("why", why).finish(),
        }
    }
}

impl<S> fmt::Display for NotHandedOver<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Back { why, .. } => write!(f, "the connection was not handed over: {why}"),
            Self::Lost { why } => write!(f, "the connection was lost when it was handed over: {why}"),
        }
    }
}

/// What lies beneath [`NotHandedOver::why`], which is said already.
impl<S: fmt::Debug> error::Error for NotHandedOver<S> {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        error::Error::source(self.why())
    }
}

use std::{fmt, io, os::fd::OwnedFd};

use socket2::SockRef;
use tokio::net::{TcpStream, UnixStream};

use super::LOST;
use crate::{
    Guard, Tracked,
    drain::Watch,
    handover::{
        Parcel,
        socket::{Socket, register, shut_down},
    },
};

/// A connection that the predecessor has handed over, and what it has told of it.
///
/// It is this process's alone, and counted by the drain from the moment on at which it was taken. Dropped, it is shut down,
/// and so is the stream in it: the client sees an end at once, although the predecessor may not have closed its copy of the
/// socket yet.
///
/// # Examples
///
/// For a protocol that is spoken over both:
///
/// ```
/// use tokio::io::{AsyncRead, AsyncWrite};
/// use tokio_hotrestart::raw::Arrival;
///
/// async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, state: Vec<u8>) { /* ... */ }
///
/// async fn go_on(arrival: Arrival) {
///     match arrival.into_tcp() {
///         Ok((stream, state)) => serve(stream, state).await,
///         Err(arrival) => match arrival.into_unix() {
///             Ok((stream, state)) => serve(stream, state).await,
///             Err(_) => unreachable!("it is one of the two"),
///         },
///     }
/// }
/// ```
pub struct Arrival {
    stream: Either,
    state: Vec<u8>,
}

// Its parts are as they are handed out, and there are few of them at a time.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
enum Either {
    Tcp(Tracked<TcpStream>),
    Unix(Tracked<UnixStream>),
}

impl Arrival {
    /// Registers it. Where that fails, it has ended.
    pub(super) fn new(parcel: Parcel, watch: Watch, guard: Guard) -> io::Result<Self> {
        let Parcel { socket, state, .. } = parcel;
        let stream = if SockRef::from(&socket).local_addr()?.is_unix() {
            tracked(socket, watch, guard).map(Either::Unix)
        } else {
            tracked(socket, watch, guard).map(Either::Tcp)
        };
        Ok(Self { stream: stream?, state })
    }

    /// What the predecessor has told of it: its `state`, byte by byte.
    pub fn state(&self) -> &[u8] {
        &self.state
    }

    /// The connection and its state, if it is one over TCP. What goes on with it directly (`into_parts` of the
    /// [`Tracked`]) has to shut it down before it closes it.
    ///
    /// # Errors
    ///
    /// The same again, if it is one over a Unix socket.
    #[allow(clippy::result_large_err, reason = "it is as large as what one wants")]
    pub fn into_tcp(self) -> Result<(Tracked<TcpStream>, Vec<u8>), Self> {
        match self.stream {
            Either::Tcp(stream) => Ok((stream, self.state)),
            Either::Unix(_) => Err(self),
        }
    }

    /// The same over a Unix socket.
    ///
    /// # Errors
    ///
    /// The same again, if it is one over TCP.
    #[allow(clippy::result_large_err, reason = "it is as large as what one wants")]
    pub fn into_unix(self) -> Result<(Tracked<UnixStream>, Vec<u8>), Self> {
        match self.stream {
            Either::Unix(stream) => Ok((stream, self.state)),
            Either::Tcp(_) => Err(self),
        }
    }
}

fn tracked<T: Socket>(socket: OwnedFd, watch: Watch, guard: Guard) -> io::Result<Tracked<T>> {
    match register(socket) {
        Ok(io) => Ok(Tracked::new(io, watch, guard).before_close(shut_down)),
        Err(error) => {
            guard.set_outcome(LOST);
            Err(error)
        }
    }
}

/// Without the state: it may be secret.
impl fmt::Debug for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arrival").field("stream", &self.stream).field("state", &self.state.len()).finish()
    }
}

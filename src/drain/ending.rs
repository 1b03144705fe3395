use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// The end of a connection, in three steps: our side is closed; what the client still sends is read and thrown away,
/// until its end; then the socket is closed, by being dropped.
///
/// Closing at once is one step too few. With anything unread in the kernel (the rest of an upload, a pipelined
/// request) `close` sends a reset, and the client's kernel then throws away what the client has not yet read of the
/// answer: 24,576 of 300,099 bytes arrived.
pub(crate) enum Ending {
    NotYet {
        patience: Option<Pin<Box<Sleep>>>,
    },
    Lingering {
        /// Bytes that are still read for the client's sake.
        allowance: usize,
        patience: Option<Pin<Box<Sleep>>>,
    },
    Done,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Our side is closed, or cannot be.
    Closed,
    /// The client has sent something after that.
    ReadTooLate,
}

/// A client that has read its answer closes within a round trip or two; one that has not in this time is gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// A client that sends this much to a closed connection does not read.
const ALLOWANCE: usize = 16 * 1024 * 1024;

impl Ending {
    pub(crate) fn new() -> Self {
        Self::NotYet { patience: None }
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// `took` is told of each step.
    pub(crate) fn poll<T: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        io: &mut T,
        cx: &mut Context<'_>,
        mut took: impl FnMut(Step),
    ) -> Poll<io::Result<()>> {
        loop {
            match self {
                Self::NotYet { patience } => {
                    let closed = match Pin::new(&mut *io).poll_shutdown(cx) {
                        Poll::Ready(closed) => closed,
                        // TLS has a last word, which a client that does not read keeps from being written.
                        Poll::Pending => {
                            ready!(patience.get_or_insert_with(|| Box::pin(sleep(PATIENCE))).as_mut().poll(cx));
                            Err(io::ErrorKind::TimedOut.into())
                        }
                    };
                    took(Step::Closed);
                    if closed.is_err() {
                        *self = Self::Done;
                        return Poll::Ready(closed);
                    }
                    *self = Self::Lingering { allowance: ALLOWANCE, patience: None };
                }
                Self::Lingering { allowance, patience } => {
                    ready!(poll_discard(io, allowance, patience, cx, &mut took));
                    *self = Self::Done;
                }
                Self::Done => return Poll::Ready(Ok(())),
            }
        }
    }
}

/// Ready at the client's end, and when patience or allowance are used up.
fn poll_discard<T: AsyncRead + Unpin>(
    io: &mut T,
    allowance: &mut usize,
    patience: &mut Option<Pin<Box<Sleep>>>,
    cx: &mut Context<'_>,
    mut took: impl FnMut(Step),
) -> Poll<()> {
    let mut discarded = [MaybeUninit::uninit(); 4096];
    loop {
        let mut buf = ReadBuf::uninit(&mut discarded);
        match Pin::new(&mut *io).poll_read(cx, &mut buf) {
            // An error is an end too: the client has reset the connection.
            Poll::Ready(Err(_)) => return Poll::Ready(()),
            Poll::Ready(Ok(())) => match buf.filled().len() {
                0 => return Poll::Ready(()),
                read => {
                    took(Step::ReadTooLate);
                    *allowance = allowance.saturating_sub(read);
                    if *allowance == 0 {
                        return Poll::Ready(());
                    }
                }
            },
            Poll::Pending => return patience.get_or_insert_with(|| Box::pin(sleep(PATIENCE))).as_mut().poll(cx),
        }
    }
}

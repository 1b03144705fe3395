use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Follower, Guard, Level, Outcome, Watch, Why};

/// A connection that the drain waits for, and cuts at its deadline. Made by [`Tracker::track`](super::Tracker::track).
///
/// # Examples
///
/// ```
/// use tokio::io::AsyncReadExt;
/// use tokio_hotrestart::Graceful;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// let graceful = Graceful::detached();
/// let (client, server) = tokio::io::duplex(64);
/// let mut server = graceful.tracker().track(server);
/// drop(client);
/// assert_eq!(server.read(&mut [0; 8]).await?, 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Tracked<Io> {
    // First, so that the connection is closed before it counts as ended.
    io: Io,
    cut: Cut,
    guard: Guard,
}

impl<Io> Tracked<Io> {
    pub(super) fn new(io: Io, watch: Watch, guard: Guard) -> Self {
        Self { io, cut: Cut::new(watch), guard }
    }

    /// The connection.
    pub fn get_ref(&self) -> &Io {
        &self.io
    }

    /// The connection; what is done with it directly is not cut.
    pub fn get_mut(&mut self) -> &mut Io {
        &mut self.io
    }

    /// The connection, and what the drain waits for.
    pub fn into_parts(self) -> (Io, Guard) {
        (self.io, self.guard)
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Tracked<Io> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { io, cut, guard } = self.get_mut();
        cut.poll_read(cx, guard, |cx| Pin::new(io).poll_read(cx, buf))
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Tracked<Io> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let Self { io, cut, guard } = self.get_mut();
        cut.poll_write(cx, guard, |cx| Pin::new(io).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self { io, cut, guard } = self.get_mut();
        cut.poll_write(cx, guard, |cx| Pin::new(io).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { io, cut, guard } = self.get_mut();
        cut.poll_write(cx, guard, |cx| Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { io, cut, guard } = self.get_mut();
        cut.poll_write(cx, guard, |cx| Pin::new(io).poll_shutdown(cx))
    }
}

/// Fails what is done with a connection, from the deadline on.
///
/// Two followers, because reading and writing may wait in two tasks; each made when it first has to wait.
pub(crate) struct Cut {
    watch: Watch,
    reading: Option<Follower>,
    writing: Option<Follower>,
}

impl Cut {
    pub(crate) fn new(watch: Watch) -> Self {
        Self { watch, reading: None, writing: None }
    }

    pub(crate) fn poll_read<R>(
        &mut self,
        cx: &mut Context<'_>,
        guard: &Guard,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        poll_until_over(&self.watch, &mut self.reading, cx, guard, poll)
    }

    pub(crate) fn poll_write<R>(
        &mut self,
        cx: &mut Context<'_>,
        guard: &Guard,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        poll_until_over(&self.watch, &mut self.writing, cx, guard, poll)
    }
}

impl fmt::Debug for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cut").field(&self.watch).finish()
    }
}

fn poll_until_over<R>(
    watch: &Watch,
    follower: &mut Option<Follower>,
    cx: &mut Context<'_>,
    guard: &Guard,
    poll: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<R>>,
) -> Poll<io::Result<R>> {
    let mut level = watch.level();
    if level < Level::Over {
        let ready = poll(cx);
        if ready.is_ready() {
            return ready;
        }
        level = follower.get_or_insert_with(|| watch.follow()).poll_level(cx);
    }
    if level < Level::Over {
        return Poll::Pending;
    }
    guard.set_outcome(Outcome::Cut(Why::Deadline));
    Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, "cut at the drain's deadline")))
}

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Cut, EndInput, Ending, Guard, Level, Outcome, Policy, Step, Watch, Why, held::Held, input::Input};

/// A connection that the drain waits for, and cuts at its deadline. Made by [`Tracker::track`](super::Tracker::track).
///
/// A protocol of one's own ends well in one of two ways: it answers what it has received, or it goes on until its client
/// pauses ([`end_input`](Self::end_input)). Both then [`close`](Self::close), so that the last answer arrives.
///
/// # Examples
///
/// A server that sends back each thing that it is sent:
///
/// ```
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// use tokio_hotrestart::{Graceful, drain::EndInput};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// let graceful = Graceful::detached();
/// let (mut client, server) = tokio::io::duplex(64);
/// let mut server = graceful.tracker().track(server).end_input(EndInput::AfterWhatCame);
/// client.write_all(b"hello").await?;
/// graceful.stop();
/// # graceful.watch().draining().await;
/// let mut buffer = [0; 64];
/// loop {
///     match server.read(&mut buffer).await? {
///         0 => break,
///         length => server.write_all(&buffer[..length]).await?,
///     }
/// }
/// # let closing = tokio::spawn(server.close());
/// # /*
/// server.close().await?;
/// # */
/// # let mut answer = String::new(); client.read_to_string(&mut answer).await?; assert_eq!(answer, "hello");
/// # drop(client); closing.await??;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Tracked<Io> {
    // First, so that the connection is closed before it counts as ended.
    io: Held<Io>,
    input: Option<Box<Input<Io>>>,
    cut: Cut,
    guard: Guard,
}

/// What is known of a connection that is elsewhere: see [`Tracked::take_out`].
#[derive(Debug)]
pub(crate) struct Absent<Io> {
    io: Held<Io>,
    input: Option<Box<Input<Io>>>,
    cut: Cut,
    guard: Guard,
}

impl<Io> Tracked<Io> {
    pub(crate) fn new(io: Io, watch: Watch, guard: Guard) -> Self {
        Self { io: Held::new(io), input: None, cut: Cut::new(watch, Policy::default()), guard }
    }

    /// Calls this before it drops the connection. Not where somebody takes it out.
    pub(crate) fn before_close(mut self, last: fn(&Io)) -> Self {
        self.io.before_close(last);
        self
    }

    /// The connection, and all else, which goes on counting: for what may come back.
    pub(crate) fn take_out(self) -> (Io, Absent<Io>) {
        let Self { mut io, mut input, cut, guard } = self;
        // The time in which nobody can read from it is no pause of its client's.
        input.iter_mut().for_each(|input| input.wait_anew());
        (io.take(), Absent { io, input, cut, guard })
    }

    /// Cuts it when this says, and not only at the deadline.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.cut.set_policy(policy);
        self
    }

    /// Once the drain has begun, reads come to an end: as if the client had closed its side, although it has not.
    ///
    /// So a loop that reads until the end ends, and what it has read is answered. Without this it goes on until the
    /// deadline. In normal service it costs nothing. What is not TCP or a Unix socket itself (TLS) ends with what tokio knows
    /// to have arrived.
    pub fn end_input(mut self, how: EndInput) -> Self
    where
        Io: 'static,
    {
        self.input = Some(Box::new(Input::new(how)));
        self
    }

    /// The connection.
    pub fn get_ref(&self) -> &Io {
        self.io.get()
    }

    /// The connection; what is done with it directly is not cut.
    pub fn get_mut(&mut self) -> &mut Io {
        self.io.get_mut()
    }

    /// The connection, and what the drain waits for.
    pub fn into_parts(mut self) -> (Io, Guard) {
        (self.io.take(), self.guard)
    }

    /// Ends the connection so that what was written arrives: closes our side, reads and throws away what the client still
    /// sends until it closes its own, for at most 5 s and until the drain's deadline, and then closes the socket.
    ///
    /// A socket that is merely dropped while something unread lies in it resets the connection, and the client's kernel
    /// then throws away what the client has not read yet.
    ///
    /// # Errors
    ///
    /// Where our side could not be closed: what was written may not arrive.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the connection is closed at once.
    pub async fn close(self) -> io::Result<()>
    where
        Io: AsyncRead + AsyncWrite + Unpin,
    {
        let Self { mut io, input: _, cut, guard } = self;
        let (mut ending, mut is_said) = (Ending::new(), false);
        let closed = tokio::select! {
            biased;
            () = cut.watch().reached(Level::Over) => None,
            closed = poll_fn(|cx| ending.poll(io.get_mut(), cx, |step| is_said |= step == Step::Closed)) => Some(closed),
        };
        // Before the guard, so that the connection is closed before it counts as ended.
        drop(io);
        match closed {
            Some(closed) => closed,
            None if is_said => Ok(()),
            None => {
                guard.set_outcome(Outcome::Cut(Why::Deadline));
                Err(io::Error::new(io::ErrorKind::ConnectionAborted, "cut at the drain's deadline"))
            }
        }
    }
}

impl<Io> Absent<Io> {
    pub(crate) fn guard(&self) -> &Guard {
        &self.guard
    }

    pub(crate) fn put_back(self, connection: Io) -> Tracked<Io> {
        let Self { mut io, input, cut, guard } = self;
        io.put(connection);
        Tracked { io, input, cut, guard }
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Tracked<Io> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { io, input, cut, guard } = self.get_mut();
        loop {
            let is_draining = cut.watch().is_draining();
            let polled = cut.poll_read(cx, guard, |cx| match input {
                Some(input) if is_draining => input.poll_read(io.get_mut(), cx, buf),
                _ => Pin::new(io.get_mut()).poll_read(cx, buf),
            });
            // A drain that begins in between is noted by what wakes us, and would not wake us again.
            if polled.is_pending() && input.is_some() && !is_draining && cut.watch().is_draining() {
                continue;
            }
            return polled;
        }
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Tracked<Io> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let Self { io, cut, guard, .. } = self.get_mut();
        cut.poll_write(cx, guard, |cx| Pin::new(io.get_mut()).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self { io, cut, guard, .. } = self.get_mut();
        cut.poll_write(cx, guard, |cx| Pin::new(io.get_mut()).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.get().is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { io, cut, guard, .. } = self.get_mut();
        cut.poll_write(cx, guard, |cx| Pin::new(io.get_mut()).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { io, cut, guard, .. } = self.get_mut();
        cut.poll_write(cx, guard, |cx| Pin::new(io.get_mut()).poll_shutdown(cx))
    }
}

use std::{
    any::Any,
    fmt, io, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::body::{Buf, Bytes};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::link::Link;
use crate::drain::{self, Cut, Ending, Policy, Step};

/// What HTTP can run on. Implemented for everything that it can be.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// The connection as hyper sees it.
///
/// It yields what was read before hyper came; notes what hyper has read and flushed; ends in three steps; and when
/// hyper drops it without having ended it, it goes home to be ended there. After an upgrade it is the socket of a
/// WebSocket or tunnel: it is cut at the drain's deadline or by its policy, and its end is whatever its user makes of it.
pub(super) struct Transport<T: Io> {
    /// `None` only while it is being dropped.
    io: Option<T>,
    ahead: Bytes,
    ending: Ending,
    cut: Option<Box<Cut>>,
    // Last: the guard in it counts until the socket is closed.
    link: Arc<Link>,
}

impl<T: Io> Transport<T> {
    pub(super) fn new(io: T, link: Arc<Link>) -> Self {
        Self { io: Some(io), ahead: Bytes::new(), ending: Ending::new(), cut: None, link }
    }

    /// Puts what has been read back in front.
    pub(super) fn rewind(&mut self, read: Bytes) {
        self.ahead = if self.ahead.is_empty() { read } else { [read, self.ahead.split_off(0)].concat().into() };
    }

    /// What lies in the socket although the reactor has not told of it.
    pub(super) fn last_look(&self) -> Option<Bytes> {
        let mut read = [0; 2048];
        let length = drain::last_look(self.io.as_ref()?, &mut read)?;
        Some(Bytes::copy_from_slice(&read[..length]))
    }

    /// Whether something was read that hyper has not seen, or lies in the socket.
    pub(super) fn has_unread(&self) -> bool {
        !self.ahead.is_empty() || self.last_look().is_some()
    }

    /// Ends it so that the client knows that something is missing, where a clean end would say the contrary: over TCP by a
    /// reset, over TLS without its last word.
    ///
    /// Of one that was handed over the predecessor may still hold a copy. The reset comes then when that is closed, for
    /// it is the socket that is told how to end, not the descriptor.
    pub(super) fn reset(mut self) {
        let Some(io) = self.io.take() else { return };
        let Some(tcp) = (&io as &dyn Any).downcast_ref::<TcpStream>() else { return };
        if let Err(error) = SockRef::from(tcp).set_linger(Some(Duration::ZERO)) {
            crate::log::debug!(%error, "a connection that was cut could not be reset, and looks complete to its client");
        }
    }

    /// Takes it apart: the connection itself, what was read of it and is not used, and what its parts know of each other,
    /// which counts it as long as it is held.
    pub(super) fn into_io(mut self) -> (T, Bytes, Arc<Link>) {
        let io = self.io.take().expect("the io leaves in drop");
        (io, mem::take(&mut self.ahead), self.link.clone())
    }

    fn io(&mut self) -> Pin<&mut T> {
        Pin::new(self.io.as_mut().expect("the io leaves in drop"))
    }

    /// Passes through until the deadline, or until its policy says.
    fn cut(&mut self) -> (Pin<&mut T>, &mut Cut, &Link) {
        let Self { io, cut, link, .. } = self;
        let cut = cut.get_or_insert_with(|| Box::new(Cut::new(link.watch.clone(), Policy::Finish)));
        cut.set_policy(link.policy());
        (Pin::new(io.as_mut().expect("the io leaves in drop")), cut, link)
    }
}

impl<T: Io> AsyncRead for Transport<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let is_leaving = this.link.is_leaving();
        if is_leaving && this.link.withholds() {
            return Poll::Pending;
        }
        if !this.ahead.is_empty() {
            let taken = this.ahead.len().min(buf.remaining());
            buf.put_slice(&this.ahead[..taken]);
            this.ahead.advance(taken);
            if this.ahead.is_empty() {
                this.ahead = Bytes::new(); // which frees it
            }
            this.link.has_read();
            return Poll::Ready(Ok(()));
        }
        if this.link.is_upgraded() {
            let (io, cut, link) = this.cut();
            return cut.poll_read(cx, link.guard(), |cx| io.poll_read(cx, buf));
        }
        if this.link.is_dry() {
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let polled = if is_leaving && this.link.is_sparing() {
            poll_read_little(this.io(), cx, buf)
        } else {
            this.io().poll_read(cx, buf)
        };
        match polled {
            Poll::Ready(read) => read?,
            Poll::Pending => {
                this.link.set_dry(true);
                return Poll::Pending;
            }
        }
        if buf.filled().len() > before {
            this.link.has_read();
        }
        Poll::Ready(Ok(()))
    }
}

/// Less than the least request has.
const LITTLE: usize = 8;

#[cold]
fn poll_read_little<T: Io>(io: Pin<&mut T>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
    let mut bytes = [0; LITTLE];
    let mut little = ReadBuf::new(&mut bytes[..LITTLE.min(buf.remaining())]);
    ready!(io.poll_read(cx, &mut little))?;
    buf.put_slice(little.filled());
    Poll::Ready(Ok(()))
}

impl<T: Io> AsyncWrite for Transport<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.link.is_upgraded() {
            let (io, cut, link) = this.cut();
            return cut.poll_write(cx, link.guard(), |cx| io.poll_write(cx, buf));
        }
        this.link.set_unflushed(true);
        this.io().poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.link.is_upgraded() {
            let (io, cut, link) = this.cut();
            return cut.poll_write(cx, link.guard(), |cx| io.poll_write_vectored(cx, bufs));
        }
        this.link.set_unflushed(true);
        this.io().poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.as_ref().is_some_and(T::is_write_vectored)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.link.is_upgraded() {
            let (io, cut, link) = this.cut();
            ready!(cut.poll_write(cx, link.guard(), |cx| io.poll_flush(cx)))?;
            link.set_unflushed(false);
            return Poll::Ready(Ok(()));
        }
        ready!(this.io().poll_flush(cx))?;
        this.link.set_unflushed(false);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.link.is_upgraded() {
            let (io, cut, link) = this.cut();
            return cut.poll_write(cx, link.guard(), |cx| io.poll_shutdown(cx));
        }
        let Self { io, ending, link, .. } = this;
        ending.poll(io.as_mut().expect("the io leaves in drop"), cx, |step| match step {
            Step::Closed => link.set_ending(),
            Step::ReadTooLate => link.has_read_too_late(),
        })
    }
}

impl<T: Io> Drop for Transport<T> {
    fn drop(&mut self) {
        let Some(io) = self.io.take() else { return };
        if self.ending.is_done() || self.link.is_upgraded() {
            self.link.close(&io);
        } else {
            self.link.send_home(io);
        }
    }
}

impl<T: Io> fmt::Debug for Transport<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("link", &self.link).finish_non_exhaustive()
    }
}

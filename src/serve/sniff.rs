use std::{
    io,
    mem::{self, MaybeUninit},
    pin::Pin,
    task::{Context, Poll, ready},
};

use hyper::body::Bytes;
use tokio::io::ReadBuf;

use super::{Io, socket};
use crate::drain;

/// A connection that has not yet said which protocol it speaks.
///
/// Told apart here and not by hyper-util's `auto`, which waits for its 24 bytes without a deadline, cannot be taken
/// apart, and loses a request when it is asked to end before it has read anything.
pub(super) struct Sniffer<T: Io> {
    /// `None` only while it is being dropped.
    io: Option<T>,
    /// What has been read, all of it the beginning of HTTP/2's preface.
    read: Vec<u8>,
    /// See `Link::close`.
    is_shared: bool,
}

/// What a connection speaks, and what has been read of it.
pub(super) enum Protocol {
    Http1(Bytes),
    #[cfg_attr(not(feature = "http2"), allow(dead_code))] // then what was read is answered with 505, and not read on
    Http2(Bytes),
    /// The client has closed without a word.
    Nothing,
}

const IO: &str = "the io leaves when the sniffer ends";

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

impl<T: Io> Sniffer<T> {
    pub(super) fn new(io: T) -> Self {
        Self { io: Some(io), read: Vec::new(), is_shared: false }
    }

    /// Of a connection that came by handover, or has come back.
    pub(super) fn shared(io: T) -> Self {
        Self { io: Some(io), read: Vec::new(), is_shared: true }
    }

    pub(super) fn io(&self) -> &T {
        self.io.as_ref().expect(IO)
    }

    pub(super) fn into_io(self) -> T {
        self.into_parts().0
    }

    /// With what has been read.
    pub(super) fn into_parts(mut self) -> (T, Vec<u8>) {
        (self.io.take().expect(IO), mem::take(&mut self.read))
    }

    /// Reads until the bytes differ from the preface, or all of it is there.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Protocol>> {
        loop {
            // More than the preface: a whole head, mostly, so that hyper need not ask the kernel for the rest.
            let mut space = [MaybeUninit::uninit(); 2048];
            let mut buf = ReadBuf::uninit(&mut space);
            ready!(Pin::new(self.io.as_mut().expect(IO)).poll_read(cx, &mut buf))?;
            if buf.filled().is_empty() {
                return Poll::Ready(Ok(self.at_end()));
            }
            if let Some(protocol) = self.tell(buf.filled()) {
                return Poll::Ready(Ok(protocol));
            }
        }
    }

    /// As [`poll`](Self::poll), from what lies in the socket although the reactor has not told of it.
    pub(super) fn last_look(&mut self) -> Option<Protocol> {
        let mut read = [0; 2048];
        drain::last_look(self.io(), &mut read).and_then(|length| self.tell(&read[..length]))
    }

    pub(super) fn has_read(&self) -> bool {
        !self.read.is_empty()
    }

    /// From what has been read besides.
    pub(super) fn tell(&mut self, read: &[u8]) -> Option<Protocol> {
        let all = match self.read.is_empty() {
            true => Bytes::copy_from_slice(read),
            false => [&self.read, read].concat().into(),
        };
        if all.starts_with(PREFACE) {
            Some(Protocol::Http2(all))
        } else if PREFACE.starts_with(&all) {
            self.read = all.into();
            None
        } else {
            Some(Protocol::Http1(all))
        }
    }

    fn at_end(&mut self) -> Protocol {
        if self.has_read() {
            // A cut-off preface is a bad request of HTTP/1, and hyper knows how to say that.
            Protocol::Http1(mem::take(&mut self.read).into())
        } else {
            Protocol::Nothing
        }
    }
}

impl<T: Io> Drop for Sniffer<T> {
    fn drop(&mut self) {
        if let (Some(io), true) = (&self.io, self.is_shared) {
            socket::shut_down(io);
        }
    }
}

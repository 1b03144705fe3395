use std::{
    io, mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::AsyncWrite;

use super::{Io, transport::Transport};
use crate::{Error, ErrorKind};

/// The end of a connection that hyper does not drive, or no longer.
pub(super) struct Farewell<T: Io> {
    transport: Transport<T>,
    words: &'static [u8],
    result: Result<(), Error>,
}

/// In HTTP/1, which such a client can read: it has sent HTTP/2's preface because it was told to, or hopes.
#[cfg(not(feature = "http2"))]
pub(super) const NO_HTTP2: &[u8] =
    b"HTTP/1.1 505 HTTP Version Not Supported\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

impl<T: Io> Farewell<T> {
    /// Ends the connection, and then is its result.
    pub(super) fn new(transport: Transport<T>, result: Result<(), Error>) -> Self {
        Self { transport, words: b"", result }
    }

    #[cfg(not(feature = "http2"))]
    pub(super) fn saying(self, words: &'static [u8]) -> Self {
        Self { words, ..self }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let ended = ready!(self.poll_end(cx)).map_err(|error| failed("end", &error));
        Poll::Ready(mem::replace(&mut self.result, Ok(())).and(ended))
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.words.is_empty() {
            match ready!(Pin::new(&mut self.transport).poll_write(cx, self.words))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.words = &self.words[written..],
            }
        }
        ready!(Pin::new(&mut self.transport).poll_flush(cx))?;
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }
}

/// hyper's errors print what happened, and why only in their source.
pub(super) fn failed(operation: &str, error: &dyn std::error::Error) -> Error {
    let why = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    Error::new(ErrorKind::Connection, format!("{operation} a connection: {error}{why}"))
}

//! An HTTP/1.1 connection.

use std::{
    fmt, io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    head::{Framing, Head},
    keep_alive::Link,
};
use crate::{
    Exchange,
    exchange::Answer,
    failure::{Failure, Progress},
    tally::Parting,
    target::Stream,
};

/// An HTTP/1.1 connection. It writes while it reads: a server that echoes a large body, or answers a pipeline, stops
/// reading when nobody reads from it.
pub(super) struct Http1 {
    stream: Stream,
    unsent: BytesMut,
    unread: BytesMut,
    /// Some bytes of the current answer were taken out of `unread`.
    begun: bool,
    /// At least one answer has come.
    used: bool,
}

impl Http1 {
    /// As long as no server of ours ever makes a head, and short enough to notice a server that speaks no HTTP.
    const LONGEST_LINES: usize = 64 * 1024;

    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, unsent: BytesMut::new(), unread: BytesMut::new(), begun: false, used: false }
    }

    /// Queues a request. It is sent while answers are awaited.
    pub(super) fn queue(&mut self, exchange: &Exchange, serial: u64) {
        exchange.write_http1(serial, "", &mut self.unsent);
    }

    /// Queues a request that asks the server to close the connection after its answer.
    pub(super) fn queue_last(&mut self, exchange: &Exchange, serial: u64) {
        exchange.write_http1(serial, "connection: close\r\n", &mut self.unsent);
    }

    /// The next answer.
    pub(super) async fn answer(&mut self) -> Result<Answer, Failure> {
        let head = loop {
            let lines = self.take_until(b"\r\n\r\n").await?;
            let head = Head::parse(&lines)?;
            if head.status >= 200 {
                break head;
            }
        };
        let body = match head.framing {
            Framing::Length(length) => self.take(length).await?,
            Framing::Chunked => self.take_chunks().await?,
            Framing::Unknown => return Err(Failure::wrong(format_args!("status {} without a length", head.status))),
        };
        (self.begun, self.used) = (false, true);
        Ok(Answer { status: head.status, generation: head.generation, close: head.close, body })
    }

    async fn take_chunks(&mut self) -> Result<Bytes, Failure> {
        let mut body = BytesMut::new();
        loop {
            let line = self.take_until(b"\r\n").await?;
            let digits = std::str::from_utf8(&line).unwrap_or_default().split([';', '\r']).next().unwrap_or_default();
            let size = usize::from_str_radix(digits.trim(), 16);
            let size = size.map_err(|_| Failure::wrong(format_args!("{line:?} is no chunk's size")))?;
            if size == 0 {
                break;
            }
            body.extend_from_slice(&self.take(size).await?);
            if self.take(2).await? != "\r\n" {
                return Err(Failure::wrong("a chunk that does not end where it says"));
            }
        }
        // Trailers, and the empty line behind them.
        while self.take_until(b"\r\n").await? != "\r\n" {}
        Ok(body.freeze())
    }

    async fn take_until(&mut self, end: &[u8]) -> Result<Bytes, Failure> {
        loop {
            if let Some(at) = self.unread.windows(end.len()).position(|window| window == end) {
                return self.take(at + end.len()).await;
            }
            if self.unread.len() > Self::LONGEST_LINES {
                return Err(Failure::wrong("an endless head"));
            }
            self.fill().await?;
        }
    }

    async fn take(&mut self, length: usize) -> Result<Bytes, Failure> {
        while self.unread.len() < length {
            self.fill().await?;
        }
        self.begun = true;
        Ok(self.unread.split_to(length).freeze())
    }

    /// Waits for more bytes. Cancel safe.
    async fn fill(&mut self) -> Result<(), Failure> {
        let filled = std::future::poll_fn(|cx| self.poll_fill(cx)).await;
        let error = match filled {
            Ok(0) => None,
            Ok(_) => return Ok(()),
            Err(error) => Some(error),
        };
        let progress = match (self.begun || !self.unread.is_empty(), self.used) {
            (true, _) => Progress::Begun,
            (false, true) => Progress::Reused,
            (false, false) => Progress::New,
        };
        Err(Failure::ended(progress, error.as_ref()))
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut stream = Pin::new(&mut self.stream);
        while !self.unsent.is_empty() {
            match stream.as_mut().poll_write(cx, &self.unsent) {
                Poll::Ready(Ok(sent)) => self.unsent.advance(sent),
                // A server may answer and close before it has read all. What it said is there to be read; where it
                // said nothing, the read tells how the connection ended.
                Poll::Ready(Err(_)) => self.unsent.clear(),
                Poll::Pending => break,
            }
        }
        let mut chunk = [const { MaybeUninit::uninit() }; 16 * 1024];
        let mut chunk = ReadBuf::uninit(&mut chunk);
        std::task::ready!(stream.poll_read(cx, &mut chunk))?;
        self.unread.extend_from_slice(chunk.filled());
        Poll::Ready(Ok(chunk.filled().len()))
    }
}

impl Link for Http1 {
    async fn open(stream: Stream, _: &Exchange) -> Result<Self, Failure> {
        Ok(Self::new(stream))
    }

    async fn ask(&mut self, exchange: &Exchange, serial: u64) -> Result<Answer, Failure> {
        self.queue(exchange, serial);
        self.answer().await
    }

    async fn ended(&mut self) -> Result<Parting, Failure> {
        match self.fill().await {
            Ok(()) => Err(Failure::wrong(format_args!("{:?}, which nobody had asked for", self.unread))),
            // With no request under way nothing is lost, however it ended.
            Err(_) => Ok(Parting::Untold),
        }
    }

    async fn close(self) -> Result<(), Failure> {
        Ok(())
    }
}

impl fmt::Debug for Http1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http1").field("unsent", &self.unsent.len()).field("unread", &self.unread.len()).finish()
    }
}

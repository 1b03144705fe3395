//! What is asked, and what must be answered.

use std::{fmt::Write as _, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method};

use crate::failure::Failure;

/// What is asked, and what must be answered: the paths of `examples/axum.rs`.
#[derive(Clone, Debug)]
pub struct Exchange {
    method: Method,
    path: String,
    sent: Pattern,
    /// `None`: what was sent.
    expected: Option<Bytes>,
    generation: Generation,
    protocol: Protocol,
}

/// What is spoken over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http,
    /// Only over HTTP/2, whose trailers tell how the call went.
    Grpc,
}

/// Whether an answer must say which generation gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Generation {
    Required,
    Optional,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// By the header `x-generation`.
    pub(crate) generation: Option<u64>,
    /// The server ends the connection after this answer, and says so.
    pub(crate) close: bool,
    pub(crate) body: Bytes,
}

impl Exchange {
    /// `GET /`, answered by `hello world`.
    pub fn get() -> Self {
        Self::new(Method::GET, "/", Some("hello world".into()))
    }

    /// `POST /` with a body of this many bytes, which comes back. Successive requests have different bodies, so that
    /// an answer which belongs to another request is seen.
    pub fn post(bytes: usize) -> Self {
        Self { sent: Pattern::new(bytes), ..Self::new(Method::POST, "/", None) }
    }

    /// `GET /slow/{ms}`, answered after that time.
    pub fn slow(time: Duration) -> Self {
        let ms = time.as_millis();
        Self::new(Method::GET, format!("/slow/{ms}"), Some(format!("slept {ms} ms").into()))
    }

    /// `GET /stream/{ms}`, answered by a line every 50 ms for that time.
    pub fn stream(time: Duration) -> Self {
        let ms = time.as_millis();
        let lines: String = (0..ms.div_ceil(50)).fold(String::new(), |mut lines, number| {
            writeln!(lines, "chunk {number}").expect("writing to a string succeeds");
            lines
        });
        Self::new(Method::GET, format!("/stream/{ms}"), Some(lines.into()))
    }

    /// `GET /ws`, then messages of this many bytes, which come back. As with [`post`](Self::post), successive ones
    /// differ.
    pub fn messages(bytes: usize) -> Self {
        Self { sent: Pattern::new(bytes), ..Self::new(Method::GET, "/ws", None) }
    }

    /// `GET` this path, answered by this body: for other servers than ours.
    pub fn get_at(path: impl Into<String>, expected: impl Into<Bytes>) -> Self {
        Self::new(Method::GET, path, Some(expected.into()))
    }

    /// A unary call of gRPC ([`Mode::Http2`](crate::Mode::Http2)). The message's first field is this many bytes, at most 120;
    /// it comes back. As with [`post`](Self::post), successive ones differ.
    pub fn unary(path: impl Into<String>, bytes: usize) -> Self {
        let size = u8::try_from(bytes).ok().filter(|size| *size <= 120).expect("at most 120 bytes");
        // Not compressed, the message's length, the field's number and type, and its length.
        let sent = Pattern::new(bytes).behind(Bytes::copy_from_slice(&[0, 0, 0, 0, size + 2, 0x0A, size]));
        Self { sent, protocol: Protocol::Grpc, ..Self::new(Method::POST, path, None) }
    }

    /// An answer need not bear `x-generation`: for other servers than ours.
    pub fn without_generation(self) -> Self {
        Self { generation: Generation::Optional, ..self }
    }

    /// Answered by this body, whatever was sent: for servers that do not echo.
    pub fn answered_by(self, body: impl Into<Bytes>) -> Self {
        Self { expected: Some(body.into()), ..self }
    }

    fn new(method: Method, path: impl Into<String>, expected: Option<Bytes>) -> Self {
        Self {
            method,
            path: path.into(),
            sent: Pattern::new(0),
            expected,
            generation: Generation::Required,
            protocol: Protocol::Http,
        }
    }

    pub(crate) fn method(&self) -> &Method {
        &self.method
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn protocol(&self) -> Protocol {
        self.protocol
    }

    pub(crate) fn body(&self, serial: u64) -> Bytes {
        self.sent.at(serial)
    }

    /// Appends the request as HTTP/1.1 has it.
    pub(crate) fn write_http1(&self, serial: u64, connection: &str, out: &mut BytesMut) {
        let Self { method, path, .. } = self;
        let body = self.body(serial);
        write!(out, "{method} {path} HTTP/1.1\r\nhost: load\r\n{connection}").expect("the buffer grows");
        if *method == Method::POST {
            write!(out, "content-length: {}\r\n", body.len()).expect("the buffer grows");
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&body);
    }

    pub(crate) fn check(&self, serial: u64, answer: &Answer) -> Result<(), Failure> {
        if answer.status != 200 {
            let body = String::from_utf8_lossy(&answer.body[..answer.body.len().min(80)]);
            return Err(Failure::wrong(format_args!("{}: status {} {body:?}", self.path, answer.status)));
        }
        if answer.generation.is_none() && self.generation == Generation::Required {
            return Err(Failure::wrong(format_args!("{}: no x-generation", self.path)));
        }
        let expected = self.expected.clone().unwrap_or_else(|| self.body(serial));
        if answer.body == expected {
            return Ok(());
        }
        let same = answer.body.iter().zip(&expected).take_while(|(a, b)| a == b).count();
        let (got, wanted) = (answer.body.len(), expected.len());
        Err(Failure::wrong(format_args!("{}: {got} bytes for {wanted}, the first {same} as expected", self.path)))
    }
}

/// Which generation answered, by `x-generation`.
pub(crate) fn generation(headers: &HeaderMap) -> Option<u64> {
    headers.get("x-generation")?.to_str().ok()?.parse().ok()
}

/// Bodies that differ from one request to the next and, without a prefix, cost no copy: windows onto one buffer.
#[derive(Clone, Debug)]
struct Pattern {
    /// What does not differ.
    prefix: Bytes,
    bytes: Bytes,
    size: usize,
}

impl Pattern {
    /// A prime, so that no buffer of a round size holds the pattern a whole number of times.
    const PERIOD: usize = 251;

    fn new(size: usize) -> Self {
        let bytes = (0..size + Self::PERIOD).map(|at| u8::try_from(at % Self::PERIOD).expect("less than 251"));
        Self { prefix: Bytes::new(), bytes: bytes.collect(), size }
    }

    fn behind(self, prefix: Bytes) -> Self {
        Self { prefix, ..self }
    }

    fn at(&self, serial: u64) -> Bytes {
        let from = usize::try_from(serial % Self::PERIOD as u64).expect("less than 251");
        let window = self.bytes.slice(from..from + self.size);
        if self.prefix.is_empty() { window } else { [&*self.prefix, &window].concat().into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn successive_bodies_differ_but_have_one_size() {
        let exchange = Exchange::post(3_000);
        let (one, two) = (exchange.body(7), exchange.body(8));
        assert_eq!((one.len(), two.len()), (3_000, 3_000));
        assert_ne!(one, two);
        assert_eq!(one, exchange.body(7));
    }

    #[test]
    fn a_stream_has_a_line_for_each_begun_fifty_milliseconds() {
        let body = |ms| Exchange::stream(Duration::from_millis(ms)).expected.unwrap();
        assert_eq!(body(100), "chunk 0\nchunk 1\n");
        assert_eq!(body(101), "chunk 0\nchunk 1\nchunk 2\n");
    }
}

//! A client that speaks HTTP/1.1 by hand: what it sends, and when, is the test's affair.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// A bound for a broken run, and never part of what is tested.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct Client {
    pub stream: TcpStream,
    unread: Vec<u8>,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// The server said that it ends the connection after it.
    pub close: bool,
    pub generation: u64,
    pub body: Vec<u8>,
}

impl Client {
    /// Connected, and perhaps accepted by nobody yet.
    #[track_caller]
    pub fn connect(to: SocketAddr) -> Self {
        Self::try_connect(to).expect("somebody listens")
    }

    /// The same; `None` where nobody listens, or does not any more while it connects.
    #[track_caller]
    pub fn try_connect(to: SocketAddr) -> Option<Self> {
        let stream = match TcpStream::connect(to) {
            Ok(stream) => stream,
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset) => {
                return None;
            }
            Err(error) => panic!("{error}"),
        };
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        stream.set_write_timeout(Some(PATIENCE)).expect("set");
        stream.set_nodelay(true).expect("set");
        Some(Self { stream, unread: Vec::new() })
    }

    /// Connected and served once: a kept-alive connection that idles.
    #[track_caller]
    pub fn served(to: SocketAddr) -> Self {
        let mut client = Self::connect(to);
        assert!(!client.get("/").close);
        client
    }

    /// Connected, and a WebSocket.
    #[track_caller]
    pub fn websocket(to: SocketAddr, path: &str) -> Self {
        let mut client = Self::connect(to);
        let key = "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";
        client.say(format!(
            "GET {path} HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\n{key}\r\n\r\n"
        ));
        assert!(client.head().expect("an answer").starts_with("http/1.1 101 "));
        client
    }

    #[track_caller]
    pub fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_say(bytes).expect("the server reads");
    }

    pub fn try_say(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Sends a request.
    #[track_caller]
    pub fn ask(&mut self, path: &str) {
        self.try_ask(path).expect("the server reads");
    }

    fn try_ask(&mut self, path: &str) -> io::Result<()> {
        self.try_say(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n"))
    }

    /// Sends the head of an upload.
    #[track_caller]
    pub fn announce(&mut self, length: usize) {
        self.say(format!("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n\r\n"));
    }

    #[track_caller]
    pub fn get(&mut self, path: &str) -> Answer {
        self.try_get(path).expect("a whole answer")
    }

    pub fn try_get(&mut self, path: &str) -> io::Result<Answer> {
        self.try_ask(path)?;
        self.answer()
    }

    /// The next answer. An end before it is `UnexpectedEof`.
    pub fn answer(&mut self) -> io::Result<Answer> {
        let head = self.head()?;
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let close = field("connection:") == Some("close");
        let generation = field("x-generation:").expect("one of ours").parse().expect("a number");
        let body = match field("content-length:") {
            Some(length) => self.take(length.parse().expect("a number"))?,
            None => self.chunks()?,
        };
        Ok(Answer { close, generation, body })
    }

    /// The lines of a head, which is all that has been read then.
    pub fn head(&mut self) -> io::Result<String> {
        let head = self.until(b"\r\n\r\n")?;
        Ok(String::from_utf8(head).expect("ASCII").to_ascii_lowercase())
    }

    /// The same, and it is still there to be read.
    pub fn peek(&mut self) -> io::Result<String> {
        let head = self.head()?;
        self.unread.splice(..0, head.bytes());
        Ok(head)
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = String::from_utf8(self.until(b"\r\n")?).expect("a size");
            match usize::from_str_radix(line.trim(), 16).expect("a size") {
                0 => return self.until(b"\r\n").map(|_| body),
                size => body.extend(&self.take(size + 2)?[..size]),
            }
        }
    }

    fn until(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.unread.windows(end.len()).position(|window| window == end) {
                return self.take(at + end.len());
            }
            self.fill()?;
        }
    }

    /// So many bytes.
    pub fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.unread.len() < length {
            self.fill()?;
        }
        let rest = self.unread.split_off(length);
        Ok(std::mem::replace(&mut self.unread, rest))
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                self.unread.extend(&bytes[..read]);
                Ok(())
            }
        }
    }

    /// Everything until the server's end, which is an error where it is a reset.
    pub fn rest(mut self) -> io::Result<Vec<u8>> {
        self.stream.read_to_end(&mut self.unread)?;
        Ok(self.unread)
    }
}

//! A client that speaks HTTP/2 by hand, frame by frame.

use std::{collections::VecDeque, io, net::SocketAddr};

use super::http::Client as Connection;

pub const PREFACE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[derive(Debug)]
pub struct Client {
    connection: Connection,
    /// What came in the midst of an answer, and is about the connection.
    aside: VecDeque<Frame>,
}

/// What a server says. What does not matter here is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The status is 200, if this says so.
    Headers {
        stream: u32,
        is_ok: bool,
    },
    Data {
        stream: u32,
        bytes: Vec<u8>,
        is_last: bool,
    },
    Ping([u8; 8]),
    GoAway {
        last: u32,
    },
    /// The end of this stream alone.
    Reset {
        stream: u32,
    },
    Other,
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

impl Client {
    /// Connected, with the preface and no settings yet.
    #[track_caller]
    pub fn greeted(to: SocketAddr) -> Self {
        let mut connection = Connection::connect(to);
        connection.say(PREFACE);
        Self { connection, aside: VecDeque::new() }
    }

    /// Connected, served once, and idle.
    #[track_caller]
    pub fn served(to: SocketAddr) -> Self {
        let mut client = Self::greeted(to);
        client.say(SETTINGS, 0, 0, &[]);
        client.ask(1, "/");
        assert_eq!(client.answer(1), b"hello world");
        client
    }

    #[track_caller]
    fn say(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        self.connection.say([&head, payload].concat());
    }

    /// Opens a stream with a request.
    #[track_caller]
    pub fn ask(&mut self, stream: u32, path: &str) {
        let length = u8::try_from(path.len()).expect("short");
        // From the static table: `:method GET` and `:scheme http`; then `:path` and `:authority`, in letters.
        let fields = [&[0x82, 0x86, 0x44, length], path.as_bytes(), &[0x41, 4], b"test"].concat();
        self.say(HEADERS, END_STREAM | END_HEADERS, stream, &fields);
    }

    /// Opens a stream with a request whose body begins so, and has no end yet.
    #[track_caller]
    pub fn post(&mut self, stream: u32, path: &str, bytes: &[u8]) {
        let length = u8::try_from(path.len()).expect("short");
        // As above, with `:method POST`.
        let fields = [&[0x83, 0x86, 0x44, length], path.as_bytes(), &[0x41, 4], b"test"].concat();
        self.say(HEADERS, END_HEADERS, stream, &fields);
        self.more(stream, bytes);
    }

    /// More of that body.
    #[track_caller]
    pub fn more(&mut self, stream: u32, bytes: &[u8]) {
        self.say(DATA, 0, stream, bytes);
    }

    /// Answers a PING.
    #[track_caller]
    pub fn pong(&mut self, payload: [u8; 8]) {
        self.say(PING, ACK, 0, &payload);
    }

    /// Makes room for so much more on this stream, and on the connection.
    #[track_caller]
    pub fn open_window(&mut self, stream: u32, by: u32) {
        for of in [0, stream] {
            self.say(WINDOW_UPDATE, 0, of, &by.to_be_bytes());
        }
    }

    /// The body of this stream's answer.
    #[track_caller]
    pub fn answer(&mut self, of: u32) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            match self.frame().expect("an answer") {
                Frame::Headers { stream, is_ok } => assert_eq!((stream, is_ok), (of, true)),
                Frame::Data { stream, bytes, is_last } => {
                    assert_eq!(stream, of);
                    body.extend(bytes);
                    if is_last {
                        return body;
                    }
                }
                Frame::Other => {}
                frame => self.aside.push_back(frame),
            }
        }
    }

    /// The next frame that matters. The server's end is `UnexpectedEof`.
    pub fn next(&mut self) -> io::Result<Frame> {
        loop {
            if let Some(frame) = self.aside.pop_front() {
                return Ok(frame);
            }
            match self.frame()? {
                Frame::Other => {}
                frame => self.aside.push_back(frame),
            }
        }
    }

    fn frame(&mut self) -> io::Result<Frame> {
        let head: [u8; 9] = self.connection.take(9)?.try_into().expect("nine");
        let number = |bytes: &[u8]| bytes.iter().fold(0, |sum: u32, byte| sum << 8 | u32::from(*byte)) & 0x7fff_ffff;
        let payload = self.connection.take(number(&head[..3]) as usize)?;
        let (kind, flags, stream) = (head[3], head[4], number(&head[5..]));
        Ok(match kind {
            // The static table's `:status 200` is the first field, or the table's size is set anew before it.
            HEADERS => Frame::Headers { stream, is_ok: payload.contains(&0x88) },
            DATA => Frame::Data { stream, bytes: payload, is_last: flags & END_STREAM != 0 },
            PING if flags & ACK == 0 => Frame::Ping(payload.try_into().expect("eight")),
            GO_AWAY => Frame::GoAway { last: number(&payload[..4]) },
            RST_STREAM => Frame::Reset { stream },
            SETTINGS if flags & ACK == 0 => {
                self.say(SETTINGS, ACK, 0, &[]);
                Frame::Other
            }
            _ => Frame::Other,
        })
    }
}

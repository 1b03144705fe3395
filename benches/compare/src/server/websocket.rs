//! A WebSocket that echoes. All Rust servers have this one, so that only what becomes of it at a restart differs.
//!
//! It goes frame by frame, and what it has read of a frame that is not whole is its own: axum's and tungstenite's keep that,
//! and give it to nobody, so they can't be handed over wherever their client stands.

use std::{
    io::{self, Cursor, ErrorKind::InvalidData},
    pin::pin,
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_hotrestart::{Graceful, Tracked, raw::NotHandedOver, serve};
use tungstenite::{
    handshake::derive_accept_key,
    protocol::frame::{
        CloseFrame, Frame, FrameHeader,
        coding::{CloseCode, Control, OpCode},
    },
};

use super::app::{AtRestart, Leaving};

/// Under which name they are handed over.
const ECHO: &str = "echo";

/// Nobody sends longer ones.
const LONGEST_FRAME: usize = 1 << 16;

/// The handshake, by hand: axum's gives its socket to nobody.
pub(super) async fn websocket(State(leaving): State<Leaving>, mut request: Request) -> Response {
    let Some(accept) = accepts(request.headers()) else { return StatusCode::BAD_REQUEST.into_response() };
    let upgrade = hyper::upgrade::on(&mut request);
    let tracker = leaving.tracker.clone();
    tokio::spawn(tracker.track_future(async move {
        // Where it fails the client has gone.
        let Ok(upgraded) = upgrade.await else { return };
        match leaving.at_restart {
            AtRestart::Told => told(WebSocket::new(TokioIo::new(upgraded), Vec::new()), leaving).await,
            AtRestart::HandedOver(graceful) => match serve::downcast::<TcpStream>(upgraded) {
                Ok((stream, unread)) => handed_over(WebSocket::new(stream, unread), graceful).await,
                Err(_) => unreachable!("HTTP/1 is over TCP here, and HTTP/2 has no such upgrade"),
            },
        }
    }));
    let headers =
        [(header::CONNECTION, "upgrade"), (header::UPGRADE, "websocket"), (header::SEC_WEBSOCKET_ACCEPT, &accept)];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

fn accepts(headers: &HeaderMap) -> Option<String> {
    let is =
        |name, value: &str| headers.get(name).is_some_and(|is| is.as_bytes().eq_ignore_ascii_case(value.as_bytes()));
    let is_asked = is(header::UPGRADE, "websocket") && is(header::SEC_WEBSOCKET_VERSION, "13");
    headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| is_asked).map(|key| derive_accept_key(key.as_bytes()))
}

/// Goes on with those that the predecessor hands over. To be called before this generation is ready.
pub(super) fn go_on(graceful: &Graceful) -> anyhow::Result<()> {
    let (mut inherited, graceful) = (graceful.inherited(ECHO)?, graceful.clone());
    tokio::spawn(async move {
        while let Some(arrival) = inherited.next().await {
            let (stream, unread) = arrival.into_tcp().expect("there is no other listener");
            tokio::spawn(handed_over(WebSocket::new(stream, unread), graceful.clone()));
        }
    });
    Ok(())
}

/// Until its client leaves or this generation does, which hands it over, unless it stops.
async fn handed_over(mut socket: WebSocket<Tracked<TcpStream>>, graceful: Graceful) {
    let Ok(Some(cause)) = socket.echo(graceful.watch().draining()).await else { return };
    if !cause.is_replaced() {
        return socket.goodbye().await;
    }
    match graceful.hand_over(socket.stream, ECHO, socket.unread).await {
        Ok(()) => {}
        Err(NotHandedOver::Back { stream, state, why }) => {
            eprintln!("a WebSocket is told to go: {why}");
            WebSocket::new(stream, state).goodbye().await;
        }
        Err(lost) => eprintln!("a WebSocket is lost: {lost}"),
    }
}

/// Until its client leaves or the server does, which says so, as a careful application would.
async fn told<Io: AsyncRead + AsyncWrite + Unpin>(mut socket: WebSocket<Io>, leaving: Leaving) {
    if let Ok(Some(())) = socket.echo(leaving.token.cancelled()).await {
        socket.goodbye().await;
    }
}

struct WebSocket<Io> {
    stream: Io,
    /// What has come and was not answered yet.
    unread: Vec<u8>,
}

impl<Io: AsyncRead + AsyncWrite + Unpin> WebSocket<Io> {
    fn new(stream: Io, unread: Vec<u8>) -> Self {
        Self { stream, unread }
    }

    /// Echoes until somebody leaves: where it is the server, what has come of the next frame is left. `None`: the client.
    async fn echo<T>(&mut self, leaving: impl Future<Output = T>) -> io::Result<Option<T>> {
        let mut leaving = pin!(leaving);
        loop {
            while let Some(frame) = next_frame(&mut self.unread)? {
                let is_last = frame.header().opcode == OpCode::Control(Control::Close);
                if let Some(answer) = answer(frame) {
                    self.send(answer).await?;
                }
                if is_last {
                    return Ok(None);
                }
            }
            tokio::select! {
                biased; // nothing is read any more that the successor could as well read
                cause = &mut leaving => return Ok(Some(cause)),
                came = self.read() => if came? == 0 { return Ok(None) },
            }
        }
    }

    async fn read(&mut self) -> io::Result<usize> {
        self.unread.reserve(4096);
        self.stream.read_buf(&mut self.unread).await
    }

    async fn send(&mut self, frame: Frame) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(frame.len());
        frame.format(&mut bytes).expect("a vector takes what it is given");
        self.stream.write_all(&bytes).await
    }

    async fn goodbye(mut self) {
        let (code, reason) = (CloseCode::Restart, "restarting".into());
        // Where it fails the client has gone, who need not be told.
        if self.send(Frame::close(Some(CloseFrame { code, reason }))).await.is_ok() {
            let _ = self.closed().await;
        }
    }

    /// Until the client has closed, too: an end before that could reset the connection, and take the goodbye from it.
    async fn closed(&mut self) -> io::Result<()> {
        loop {
            while let Some(frame) = next_frame(&mut self.unread)? {
                if frame.header().opcode == OpCode::Control(Control::Close) {
                    return Ok(());
                }
            }
            if self.read().await? == 0 {
                return Ok(());
            }
        }
    }
}

/// Takes the first one out, if it is whole, with its mask taken off.
fn next_frame(bytes: &mut Vec<u8>) -> io::Result<Option<Frame>> {
    let mut head = Cursor::new(&bytes[..]);
    let parsed = FrameHeader::parse(&mut head).map_err(|error| io::Error::new(InvalidData, error))?;
    let Some((header, length)) = parsed else { return Ok(None) };
    let begin = usize::try_from(head.position()).expect("it is in memory");
    let length = usize::try_from(length).ok().filter(|length| *length <= LONGEST_FRAME);
    let end = begin + length.ok_or_else(|| io::Error::new(InvalidData, "a frame that is too long"))?;
    if bytes.len() < end {
        return Ok(None);
    }
    let mask = header.mask.unwrap_or_default();
    let masked = bytes.drain(..end).skip(begin);
    let payload: Vec<u8> = masked.zip(mask.into_iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    Ok(Some(Frame::from_payload(header, payload.into())))
}

/// A fragment is the answer to a fragment: so a message may be handed over between two of them.
fn answer(frame: Frame) -> Option<Frame> {
    let FrameHeader { is_final, opcode, .. } = *frame.header();
    let opcode = match opcode {
        OpCode::Control(Control::Ping) => OpCode::Control(Control::Pong),
        OpCode::Control(Control::Pong | Control::Reserved(_)) => return None,
        OpCode::Data(_) | OpCode::Control(Control::Close) => opcode,
    };
    let header = FrameHeader { is_final, opcode, ..FrameHeader::default() };
    Some(Frame::from_payload(header, frame.into_payload()))
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;
    use tungstenite::protocol::frame::coding::Data;

    use super::*;

    fn bytes(payload: &[u8], opcode: OpCode, is_final: bool, mask: Option<[u8; 4]>) -> Vec<u8> {
        let header = FrameHeader { is_final, opcode, mask, ..FrameHeader::default() };
        let mut bytes = Vec::new();
        Frame::from_payload(header, payload.to_vec().into()).format(&mut bytes).unwrap();
        bytes
    }

    /// As a client sends it.
    fn sent(payload: &[u8], opcode: OpCode, is_final: bool) -> Vec<u8> {
        bytes(payload, opcode, is_final, Some([1, 2, 3, 4]))
    }

    /// As a server does.
    fn answered(payload: &[u8], opcode: OpCode, is_final: bool) -> Vec<u8> {
        bytes(payload, opcode, is_final, None)
    }

    #[tokio::test]
    async fn what_is_left_of_a_frame_goes_on_elsewhere() {
        const BINARY: OpCode = OpCode::Data(Data::Binary);
        const CONTINUE: OpCode = OpCode::Data(Data::Continue);
        let whole = [sent(b"one", BINARY, false), sent(&[7; 300], CONTINUE, true)].concat();
        let expected = [answered(b"one", BINARY, false), answered(&[7; 300], CONTINUE, true)].concat();
        for cut in 0..=whole.len() {
            let (mut client, server) = duplex(4096);
            let (first, rest) = whole.split_at(cut);
            let mut socket = WebSocket::new(server, first.to_vec());
            assert_eq!(socket.echo(async {}).await.unwrap(), Some(()));
            let mut socket = WebSocket::new(socket.stream, socket.unread);
            client.write_all(rest).await.unwrap();
            client.shutdown().await.unwrap();
            assert_eq!(socket.echo(std::future::pending::<()>()).await.unwrap(), None);
            drop(socket);
            let mut echo = Vec::new();
            client.read_to_end(&mut echo).await.unwrap();
            assert_eq!(echo, expected, "cut at {cut}");
        }
    }

    #[tokio::test]
    async fn a_ping_is_answered_and_a_close_ends_it() {
        const PING: OpCode = OpCode::Control(Control::Ping);
        const PONG: OpCode = OpCode::Control(Control::Pong);
        const CLOSE: OpCode = OpCode::Control(Control::Close);
        let all = [sent(b"?", PING, true), sent(b"!", PONG, true), sent(b"\x03\xe8", CLOSE, true)];
        let (mut client, server) = duplex(4096);
        let mut socket = WebSocket::new(server, all.concat());
        assert_eq!(socket.echo(std::future::pending::<()>()).await.unwrap(), None);
        drop(socket);
        let mut answers = Vec::new();
        client.read_to_end(&mut answers).await.unwrap();
        assert_eq!(answers, [answered(b"?", PONG, true), answered(b"\x03\xe8", CLOSE, true)].concat());
    }

    #[tokio::test]
    async fn a_frame_that_is_too_long_ends_it() {
        let (_client, server) = duplex(1);
        let mut socket = WebSocket::new(server, [&[0x82, 0xff, 1][..], &[0; 11]].concat());
        let error = socket.echo(std::future::pending::<()>()).await.unwrap_err();
        assert_eq!(error.kind(), InvalidData);
    }
}

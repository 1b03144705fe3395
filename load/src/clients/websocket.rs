//! A WebSocket.

use std::{fmt, io};

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, error::ProtocolError},
};

use super::keep_alive::Link;
use crate::{
    Exchange, Outcome,
    exchange::{Answer, generation},
    failure::{Failure, Progress},
    tally::Parting,
    target::Stream,
};

/// A WebSocket: a message is the request, its echo the answer.
pub(super) struct WebSocket {
    socket: WebSocketStream<Stream>,
    /// Of whoever shook hands.
    generation: Option<u64>,
    used: bool,
}

impl WebSocket {
    /// The next message that is not about the connection itself.
    async fn message(&mut self) -> Result<Message, Failure> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(message)) => return Ok(message),
                Some(Err(error)) => return Err(failure(error, self.progress())),
                None => return Err(Failure::ended(self.progress(), None)),
            }
        }
    }

    fn progress(&self) -> Progress {
        if self.used { Progress::Reused } else { Progress::New }
    }
}

impl Link for WebSocket {
    async fn open(stream: Stream, exchange: &Exchange) -> Result<Self, Failure> {
        let url = format!("ws://load{}", exchange.path());
        let (socket, response) = client_async(url, stream).await.map_err(|error| failure(error, Progress::New))?;
        let generation = generation(response.headers());
        Ok(Self { socket, generation, used: false })
    }

    async fn ask(&mut self, exchange: &Exchange, serial: u64) -> Result<Answer, Failure> {
        // A failed send is not yet the end: the server's close frame may be there to be read.
        let sent = self.socket.send(Message::Binary(exchange.body(serial))).await;
        match self.message().await {
            Ok(Message::Binary(body)) => {
                self.used = true;
                Ok(Answer { status: 200, generation: self.generation, close: false, body })
            }
            Ok(Message::Close(_)) => Err(Failure::new(Outcome::UnansweredAfterClose, "a close frame")),
            Ok(message) => Err(Failure::wrong(format_args!("{message:?} instead of the echo"))),
            Err(read) => Err(sent.err().map_or(read, |error| failure(error, self.progress()))),
        }
    }

    async fn ended(&mut self) -> Result<Parting, Failure> {
        match self.message().await {
            Ok(Message::Close(_)) => Ok(Parting::Told),
            Ok(message) => Err(Failure::wrong(format_args!("{message:?}, which nobody had asked for"))),
            Err(_) => Ok(Parting::Untold),
        }
    }

    async fn close(mut self) -> Result<(), Failure> {
        self.socket.close(None).await.map_err(|error| failure(error, Progress::Begun))?;
        while !matches!(self.message().await?, Message::Close(_)) {}
        Ok(())
    }
}

fn failure(error: Error, progress: Progress) -> Failure {
    match error {
        Error::Io(error) => Failure::ended(progress, Some(&error)),
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(
            ProtocolError::ResetWithoutClosingHandshake
            | ProtocolError::HandshakeIncomplete
            | ProtocolError::SendAfterClosing,
        ) => Failure::ended(progress, Some(&io::Error::new(io::ErrorKind::UnexpectedEof, error))),
        error => Failure::wrong(error),
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket").field("generation", &self.generation).finish_non_exhaustive()
    }
}

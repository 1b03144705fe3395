//! A server that misbehaves as it is told.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use std::{collections::VecDeque, io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream},
    net::{TcpListener, TcpStream},
};

/// What the server does with a request, once it has read all of it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// Answers as it should.
    Answer,
    /// Answers, says that it closes, and does.
    AnswerAndClose,
    /// Answers, and closes without having said so.
    AnswerThenLeave,
    /// Writes this instead of an answer, and goes on.
    Say(&'static str),
    /// Closes without a word.
    Leave,
    /// Resets without a word.
    Reset,
    /// Writes this, then closes.
    SayAndLeave(&'static str),
    /// Writes this, then resets.
    SayAndReset(&'static str),
    /// Does nothing for ever.
    Stall,
}

/// Serves connections by these scripts, one after the other: an act for each request. What is beyond a script, or
/// beyond the last, is answered as it should be.
pub(crate) async fn misbehaving<const N: usize>(scripts: [&[Act]; N]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut scripts: VecDeque<Vec<Act>> = scripts.into_iter().map(<[Act]>::to_vec).collect();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // A second small write would else wait for the client's delayed ACK.
            stream.set_nodelay(true).unwrap();
            tokio::spawn(serve(stream, scripts.pop_front().unwrap_or_default()));
        }
    });
    address
}

async fn serve(stream: TcpStream, script: Vec<Act>) -> io::Result<()> {
    let mut stream = BufStream::new(stream);
    for act in script.into_iter().chain(std::iter::repeat(Act::Answer)) {
        let Some(request) = request(&mut stream).await? else { return Ok(()) };
        match act {
            Act::Answer if request.last => {
                answer(&mut stream, &request, "connection: close\r\n").await?;
                return leave(stream).await;
            }
            Act::Answer => answer(&mut stream, &request, "").await?,
            Act::AnswerAndClose => {
                answer(&mut stream, &request, "connection: close\r\n").await?;
                return leave(stream).await;
            }
            Act::AnswerThenLeave => {
                answer(&mut stream, &request, "").await?;
                return leave(stream).await;
            }
            Act::Say(words) => say(&mut stream, words).await?,
            Act::Leave => return leave(stream).await,
            Act::Reset => return reset(&stream),
            Act::SayAndLeave(words) => {
                say(&mut stream, words).await?;
                return leave(stream).await;
            }
            Act::SayAndReset(words) => {
                say(&mut stream, words).await?;
                return reset(&stream);
            }
            Act::Stall => std::future::pending().await,
        }
    }
    Ok(())
}

struct Request {
    /// What its answer must bear.
    body: Vec<u8>,
    /// The client asks that the connection be closed.
    last: bool,
}

/// Reads a request; `None` at the client's end.
async fn request(stream: &mut BufStream<TcpStream>) -> io::Result<Option<Request>> {
    let (mut length, mut last, mut line) = (None, false, String::new());
    while line != "\r\n" {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        last |= line == "connection: close\r\n";
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = Some(value.trim().parse().unwrap());
        }
    }
    let Some(length) = length else { return Ok(Some(Request { body: b"hello world".to_vec(), last })) };
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Some(Request { body, last }))
}

async fn answer(stream: &mut BufStream<TcpStream>, request: &Request, header: &str) -> io::Result<()> {
    let body = &request.body;
    let head = format!("HTTP/1.1 200 OK\r\nx-generation: 0\r\n{header}content-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    stream.flush().await
}

async fn say(stream: &mut BufStream<TcpStream>, words: &str) -> io::Result<()> {
    stream.write_all(words.as_bytes()).await?;
    stream.flush().await
}

/// An orderly end. A mere close with bytes unread would be a reset, and destroy what was said.
async fn leave(mut stream: BufStream<TcpStream>) -> io::Result<()> {
    stream.shutdown().await?;
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    Ok(())
}

fn reset(stream: &BufStream<TcpStream>) -> io::Result<()> {
    socket2::SockRef::from(stream.get_ref()).set_linger(Some(Duration::ZERO))
}

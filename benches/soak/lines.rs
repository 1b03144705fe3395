//! A line protocol, whose connections are handed over: both of its ends.

use std::{
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf},
    time::{Instant, sleep, timeout},
};
use tokio_hotrestart::{Error, Graceful, Tracked, drain::EndInput, raw::NotHandedOver};
use tokio_util::sync::CancellationToken;

use super::book::Book;

const PROTOCOL: &str = "counted lines";

/// How many lines a connection has had, and the beginning of its next one: all that a successor must know.
#[derive(Default)]
struct Connection {
    answered: u64,
    read: Vec<u8>,
}

/// Serves the lines of a generation.
pub(super) fn serve(graceful: &Graceful, mut listener: TcpListener) -> Result<(), Error> {
    let mut inherited = graceful.inherited(PROTOCOL)?;
    let heir = graceful.clone();
    tokio::spawn(async move {
        while let Some(arrival) = inherited.next().await {
            let Ok((stream, state)) = arrival.into_tcp() else { continue };
            let (number, read) = state.split_first_chunk().expect("eight bytes go before what was read");
            let connection = Connection { answered: u64::from_le_bytes(*number), read: read.to_owned() };
            tokio::spawn(answer(heir.clone(), stream, connection));
        }
    });
    let handle = graceful.clone();
    graceful.spawn(async move {
        while let Some((stream, _peer)) = handle.accept(&mut listener).await {
            let stream = handle.tracker().track(stream);
            tokio::spawn(answer(handle.clone(), stream, Connection::default()));
        }
    });
    Ok(())
}

async fn answer(graceful: Graceful, stream: Tracked<TcpStream>, connection: Connection) {
    if let Err(error) = answer_all(&graceful, stream, connection).await {
        tracing::info!(%error, "a connection of lines broke");
    }
}

async fn answer_all(
    graceful: &Graceful,
    mut stream: Tracked<TcpStream>,
    Connection { mut answered, mut read }: Connection,
) -> anyhow::Result<()> {
    let watch = graceful.watch();
    let (mut draining, mut is_told) = (pin!(watch.draining()), false);
    loop {
        while let Some(end) = read.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = read.drain(..=end).collect();
            stream.write_all(format!("{answered} ").as_bytes()).await?;
            stream.write_all(&line).await?;
            answered += 1;
        }
        let cause = tokio::select! {
            biased; // nothing is read any more that could as well be read by the successor
            cause = &mut draining, if !is_told => cause,
            length = stream.read_buf(&mut read) => match length? {
                0 => break,
                _ => continue,
            },
        };
        is_told = true;
        if cause.is_replaced() {
            let state = [&answered.to_le_bytes()[..], &read].concat();
            match graceful.hand_over(stream, PROTOCOL, state).await {
                Ok(()) => return Ok(()),
                Err(NotHandedOver::Back { stream: same, why, .. }) => {
                    tracing::info!(%why, "a connection of lines is closed here");
                    stream = same;
                }
                Err(lost) => return Err(lost.into()),
            }
        }
        // From now on: what has come is read to its end, and then there is no more.
        stream = stream.end_input(EndInput::AfterWhatCame);
    }
    Ok(stream.close().await?)
}

/// What clients of lines have seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) answered: AtomicU64,
    /// Lines that a server has not carried out, and that were sent again on another connection.
    pub(super) again: AtomicU64,
}

/// Clients that write a line, its second half a moment later, and wait for its answer.
pub(super) async fn ask(
    address: SocketAddr,
    think: Duration,
    book: Arc<Book>,
    seen: Arc<Seen>,
    stop: CancellationToken,
) {
    let mut number = 0_u64;
    while !stop.is_cancelled() {
        let asked = Instant::now();
        let stream = match timeout(Book::PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                book.lost("lines", None, asked, &format!("connect: {error}"));
                sleep(Duration::from_millis(20)).await;
                continue;
            }
            Err(_) => {
                book.lost("lines", None, asked, "no connection in time");
                continue;
            }
        };
        let local = stream.local_addr().ok();
        match converse(stream, think, &mut number, &book, &seen, &stop).await {
            Ok(()) => return,
            Err(why) => {
                if !stop.is_cancelled() {
                    book.ended("lines", local, asked, &why);
                }
            }
        }
    }
}

/// An error: how the connection ended.
async fn converse(
    stream: TcpStream,
    think: Duration,
    number: &mut u64,
    book: &Book,
    seen: &Seen,
    stop: &CancellationToken,
) -> Result<(), String> {
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let (read, mut write) = stream.into_split();
    let mut answers = BufReader::new(read);
    for count in 0_u64.. {
        if stop.is_cancelled() {
            return Ok(());
        }
        let line = format!("line {number}");
        let expected = format!("{count} {line}");
        let (half, rest) = line.split_at(3);
        let exchange = async {
            write.write_all(half.as_bytes()).await?;
            sleep(think / 4).await;
            write.write_all(rest.as_bytes()).await?;
            write.write_all(b"\n").await?;
            next_answer(&mut answers).await
        };
        let answer = timeout(Book::PATIENCE, exchange).await.map_err(|_| "no answer in time".to_owned())?;
        match answer {
            Ok(Answer::Line(answer)) if answer == expected => {
                seen.answered.fetch_add(1, Relaxed);
                *number += 1;
            }
            Ok(Answer::Part(part)) if expected.starts_with(&part) => {
                seen.again.fetch_add(1, Relaxed);
                return Err(format!("cut in the middle of a line, after {part:?}"));
            }
            Ok(Answer::Line(answer) | Answer::Part(answer)) => {
                book.violated(format!("a line is answered once and in order: {answer:?} for {expected:?}"));
                return Ok(());
            }
            Ok(Answer::End) => {
                seen.again.fetch_add(1, Relaxed);
                return Err("closed".into());
            }
            Err(error) => {
                seen.again.fetch_add(1, Relaxed);
                return Err(error.to_string());
            }
        }
        // A client that idles sees the end of its connection.
        tokio::select! {
            () = sleep(think) => {}
            () = stop.cancelled() => return Ok(()),
            besides = answers.fill_buf() => match besides {
                Ok([]) => return Err("closed".into()),
                Ok(besides) => {
                    book.violated(format!("a line is answered once: {:?} besides", String::from_utf8_lossy(besides)));
                    return Ok(());
                }
                Err(error) => return Err(error.to_string()),
            },
        }
    }
    Ok(())
}

/// What was answered.
enum Answer {
    Line(String),
    /// A server that is killed as it writes one leaves a part of it, which is an end of the connection and no answer.
    Part(String),
    End,
}

async fn next_answer(answers: &mut BufReader<OwnedReadHalf>) -> io::Result<Answer> {
    let mut line = String::new();
    if answers.read_line(&mut line).await? == 0 {
        return Ok(Answer::End);
    }
    Ok(match line.strip_suffix('\n') {
        Some(line) => Answer::Line(line.to_owned()),
        None => Answer::Part(line),
    })
}

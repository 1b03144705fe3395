//! A line protocol over TCP: each whole line that has come is answered, exactly once, and a restart disconnects nobody, also
//! not in the middle of a line. Needs no feature of the crate (`--no-default-features`).
//!
//! When a successor serves, each connection is handed over to it, with what was read of the next line as its state: the
//! successor goes on reading behind that. At a stop, or where the successor does not take it, what has come until then is
//! answered, and the connection is closed in three steps. So a client that sees the end knows that the lines without an
//! answer were not carried out, and sends them again.
//!
//! ```text
//! cargo run --release --no-default-features --example tcp_line
//! nc 127.0.0.1 7009   # end half a line with ^D, then restart, then type the rest
//! kill -USR2 <pid>    # replaces it
//! kill -TERM <pid>    # stops it
//! ```

#![expect(clippy::print_stdout, reason = "a program speaks to whoever started it")]

use std::{
    error::Error,
    net::SocketAddr,
    pin::pin,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use clap::Parser;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_hotrestart::{Graceful, Tracked, drain::EndInput, raw::NotHandedOver};

/// A server of lines that replaces itself: SIGUSR2 restarts, SIGTERM stops.
#[derive(Debug, Parser)]
struct Args {
    /// Where to listen. Port 0 picks a free one, which all later generations keep
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7009")]
    listen: SocketAddr,
}

/// What the state of a connection means: a program that means something else by it needs another name.
const PROTOCOL: &str = "lines";

/// A client that sends more without an end of line is no client of ours.
const LONGEST_LINE: usize = 64 * 1024;

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let args = Args::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();

    let graceful = Graceful::new().await?; // picks up what a predecessor passes
    let mut listener = graceful.listen("lines", args.listen).await?; // inherited, or bound
    let address = listener.local_addr()?;
    let mut inherited = graceful.inherited(PROTOCOL)?; // before `ready`: what nobody asks for goes back
    graceful.ready().await?; // confirmed: the predecessor lets go
    println!("ready generation={} pid={} tcp={address}", graceful.generation(), std::process::id());

    let lines = Lines { graceful: graceful.clone(), answered: Arc::default() };
    let heir = lines.clone();
    // Each connection counts by itself. This task does not: the drain need not wait until the predecessor has none left.
    tokio::spawn(async move {
        while let Some(arrival) = inherited.next().await {
            // This server listens on TCP only, and so did the one before.
            if let Ok((stream, half_a_line)) = arrival.into_tcp() {
                heir.spawn(stream, half_a_line);
            }
        }
    });
    // `accept` says None when a successor serves, and at a stop when nobody waits in the queue any more.
    while let Some((stream, _peer)) = graceful.accept(&mut listener).await {
        // The tracker counts the connection until it is closed, and cuts it at the deadline.
        lines.spawn(graceful.tracker().track(stream), Vec::new());
    }
    drop(listener);

    let report = graceful.drain().await;
    println!("{report}");
    println!("generation {} has answered {:?} lines", graceful.generation(), lines.answered);
    Ok(ExitCode::from(report.exit_code()))
}

/// The service.
#[derive(Clone)]
struct Lines {
    graceful: Graceful,
    answered: Arc<AtomicU64>,
}

impl Lines {
    fn spawn(&self, stream: Tracked<TcpStream>, read: Vec<u8>) {
        let lines = self.clone();
        tokio::spawn(async move {
            if let Err(error) = lines.serve(stream, read).await {
                tracing::info!(%error, "the connection broke");
            }
        });
    }

    /// Answers each line, until the client has said all, a successor has the connection, or all is answered that has come
    /// before this generation's end. `read`: what has come and has no answer yet.
    async fn serve(&self, mut stream: Tracked<TcpStream>, mut read: Vec<u8>) -> Result<(), Box<dyn Error>> {
        let watch = self.graceful.watch();
        let (mut draining, mut is_told) = (pin!(watch.draining()), false);
        loop {
            while let Some(end) = read.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = read.drain(..=end).collect();
                stream.write_all(&line.to_ascii_uppercase()).await?;
                self.answered.fetch_add(1, Relaxed);
            }
            if read.len() > LONGEST_LINE {
                return Err("a line without an end".into());
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
                // Here all whole lines are answered: what is left is the beginning of one.
                match self.graceful.hand_over(stream, PROTOCOL, read).await {
                    Ok(()) => return Ok(()),
                    Err(NotHandedOver::Back { stream: same, state, why }) => {
                        tracing::info!(%why, "a connection is closed here");
                        (stream, read) = (same, state);
                    }
                    Err(lost) => return Err(lost.into()),
                }
            }
            // From now on: what has come is read to its end, and then there is no more.
            stream = stream.end_input(EndInput::AfterWhatCame);
        }
        // Not a mere drop: with something unread that would be a reset, and take from the client what it has not read yet.
        Ok(stream.close().await?)
    }
}

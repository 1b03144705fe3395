//! A line protocol over TCP: each whole line that has come is answered, exactly once. Needs no feature of the crate
//! (`--no-default-features`).
//!
//! When this generation ends, what has come until then is answered, and the connection is closed in three steps. So a client
//! that sees the end knows that the lines without an answer were not carried out, and sends them again.
//!
//! ```text
//! cargo run --release --no-default-features --example tcp_lines
//! nc 127.0.0.1 7009
//! kill -USR2 <pid>    # replaces it
//! kill -TERM <pid>    # stops it
//! ```

#![expect(clippy::print_stdout, reason = "a program speaks to whoever started it")]

use std::{
    error::Error,
    io,
    net::SocketAddr,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use clap::Parser;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};
use tokio_hotrestart::{Graceful, Tracked, drain::EndInput};

/// A server of lines that replaces itself: SIGUSR2 restarts, SIGTERM stops.
#[derive(Debug, Parser)]
struct Args {
    /// Where to listen. Port 0 picks a free one, which all later generations keep
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7009")]
    listen: SocketAddr,
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let args = Args::parse();
    tracing_subscriber::fmt().with_writer(io::stderr).init();

    let graceful = Graceful::new().await?; // picks up what a predecessor passes
    let mut listener = graceful.listen("lines", args.listen).await?; // inherited, or bound
    let address = listener.local_addr()?;
    graceful.ready().await?; // confirmed: the predecessor lets go
    println!("ready generation={} pid={} tcp={address}", graceful.generation(), std::process::id());

    let answered = Arc::<AtomicU64>::default();
    // `accept` says None when a successor serves, and at a stop when nobody waits in the queue any more.
    while let Some((stream, peer)) = graceful.accept(&mut listener).await {
        // The tracker counts the connection until it is closed, and cuts it at the deadline.
        let stream = graceful.tracker().track(stream);
        let answered = Arc::clone(&answered);
        tokio::spawn(async move {
            if let Err(error) = serve(stream, &answered).await {
                tracing::info!(%peer, %error, "the connection broke");
            }
        });
    }
    drop(listener);

    let report = graceful.drain().await;
    println!("{report}");
    println!("generation {} has answered {answered:?} lines", graceful.generation());
    Ok(ExitCode::from(report.exit_code()))
}

/// Answers each line, until the client has said all, or until all is answered that has come before this generation's end.
async fn serve(stream: Tracked<TcpStream>, answered: &AtomicU64) -> io::Result<()> {
    // Once this generation ends, what has come is read to its end, and then there is no more.
    let mut stream = BufReader::new(stream.end_input(EndInput::AfterWhatCame));
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        if line.ends_with('\n') {
            stream.write_all(line.to_uppercase().as_bytes()).await?;
            answered.fetch_add(1, Relaxed);
        }
        line.clear();
    }
    // Not a mere drop: with something unread that would be a reset, and take from the client what it has not read yet.
    stream.into_inner().close().await
}

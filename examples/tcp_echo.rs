//! Without HTTP: an accept loop of one's own. Needs no feature of the crate (`--no-default-features`).
//!
//! ```text
//! cargo run --release --no-default-features --example tcp_echo
//! kill -USR2 <pid>    # replaces it
//! kill -TERM <pid>    # stops it
//! ```

#![expect(clippy::print_stdout, reason = "a program speaks to whoever started it")]

use std::{error::Error, io, net::SocketAddr, process::ExitCode};

use clap::Parser;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy, sink},
    net::TcpStream,
};
use tokio_hotrestart::Graceful;
use tokio_util::sync::CancellationToken;

/// A TCP echo server that replaces itself: SIGUSR2 restarts, SIGTERM stops.
#[derive(Debug, Parser)]
struct Args {
    /// Where to listen. Port 0 picks a free one, which all later generations keep
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7007")]
    listen: SocketAddr,
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let args = Args::parse();
    tracing_subscriber::fmt().with_writer(io::stderr).init();

    let graceful = Graceful::new().await?; // picks up what a predecessor passes
    let mut listener = graceful.listen("echo", args.listen).await?; // inherited, or bound
    let address = listener.local_addr()?;
    graceful.ready().await?; // confirmed: the predecessor lets go
    println!("ready generation={} pid={} tcp={address}", graceful.generation(), std::process::id());

    // `accept` says None when a successor serves, and at a stop when nobody waits in the queue any more.
    while let Some((stream, peer)) = graceful.accept(&mut listener).await {
        let token = graceful.token();
        // The tracker counts the task, so the drain waits for it, and cuts it at its deadline.
        graceful.tracker().spawn(async move {
            if let Err(error) = echo(stream, token).await {
                tracing::info!(%peer, %error, "the connection broke");
            }
        });
    }
    drop(listener);

    let report = graceful.drain().await;
    println!("{report}");
    Ok(ExitCode::from(report.exit_code()))
}

/// Echoes until the client has said all, or until the token says that this generation accepts no more.
async fn echo(mut stream: TcpStream, token: CancellationToken) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = tokio::select! {
            read = stream.read(&mut buffer) => read?,
            () = token.cancelled() => break,
        };
        if read == 0 {
            break;
        }
        stream.write_all(&buffer[..read]).await?;
    }
    // An end in three steps: say that no more comes, read what the client still sends, close. A close with bytes
    // unread would be a reset, and take from the client the echo that it has not read yet.
    stream.shutdown().await?;
    copy(&mut stream, &mut sink()).await?;
    Ok(())
}

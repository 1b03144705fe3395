//! Datagrams: a loop of one's own that answers each exactly once, across restarts. Needs no feature of the crate
//! (`--no-default-features`).
//!
//! ```text
//! cargo run --release --no-default-features --example udp_echo
//! kill -USR2 <pid>    # replaces it
//! kill -TERM <pid>    # stops it
//! ```

#![expect(clippy::print_stdout, reason = "a program speaks to whoever started it")]

use std::{error::Error, io, net::SocketAddr, process::ExitCode};

use clap::Parser;
use tokio::net::UdpSocket;
use tokio_hotrestart::Graceful;
use tracing_subscriber::EnvFilter;

/// A UDP echo server that replaces itself: SIGUSR2 restarts, SIGTERM stops.
#[derive(Debug, Parser)]
struct Args {
    /// Where to receive. Port 0 picks a free one, which all later generations keep
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7007")]
    listen: SocketAddr,
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let args = Args::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();

    let graceful = Graceful::new().await?; // picks up what a predecessor passes
    let socket = graceful.bind::<UdpSocket, _>("echo", args.listen).await?; // inherited, or bound
    let address = socket.local_addr()?;
    graceful.ready().await?; // confirmed: the predecessor receives no more
    println!("ready generation={} pid={} udp={address}", graceful.generation(), std::process::id());

    // Both generations hold the same socket, and with it the same queue: what one receives the other never sees.
    // `receive` waits while that is the other's, and says None when a successor serves, or at a stop when the queue is
    // empty. A `recv_from` of one's own would go on taking datagrams of the successor's.
    let mut buffer = vec![0; 64 * 1024];
    while let Some((length, peer)) = graceful.receive(&socket, &mut buffer).await {
        // Answered before the next is asked for: when `receive` says None, nothing is left to do.
        if let Err(error) = socket.send_to(&buffer[..length], peer).await {
            tracing::info!(%peer, %error, "not answered");
        }
    }
    drop(socket);

    let report = graceful.drain().await;
    println!("{report}");
    Ok(ExitCode::from(report.exit_code()))
}

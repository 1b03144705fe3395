//! Two processes that share nothing but a path: start it twice, and the second one takes over from the first, with every
//! connection that waits in the queue. Whoever starts the second, a shell, a unit or a container, does not matter. Needs no
//! feature of the crate (`--no-default-features`).
//!
//! ```text
//! cargo run --no-default-features --example takeover          # listens
//! cargo run --no-default-features --example takeover          # elsewhere: takes over, and the first one ends
//! while curl -s http://127.0.0.1:7008/; do :; done            # meanwhile: nobody is refused
//! cargo run --features cli --bin hotrestart -- status <path>   # the path that they have printed
//! ```

#![expect(clippy::print_stdout, reason = "a program speaks to whoever started it")]

use std::{error::Error, io, net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::Parser;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_hotrestart::{Graceful, control};

/// A server that takes over from the one that is there: start it twice.
#[derive(Debug, Parser)]
struct Args {
    /// Where to listen, if nobody does who could be taken over from
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7008")]
    listen: SocketAddr,
    /// Where the two meet, if not at the path that the crate suggests
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let args = Args::parse();
    tracing_subscriber::fmt().with_writer(io::stderr).init();

    // Somebody who serves at the path is the predecessor. If nobody does, this is generation 0.
    let path = args.control.map_or_else(control::default_path, Ok)?;
    let graceful = Graceful::builder().control(&path).build().await?;
    let (generation, pid) = (graceful.generation(), std::process::id());
    let mut listener = graceful.listen("hello", args.listen).await?; // the predecessor's own socket, or bound
    let address = listener.local_addr()?;
    if graceful.is_successor() {
        println!("taking over from generation {}", generation - 1);
    }
    graceful.ready().await?; // confirmed: the predecessor lets go
    println!("ready generation={generation} pid={pid} tcp={address} control={}", path.display());

    while let Some((stream, _)) = graceful.accept(&mut listener).await {
        graceful.spawn(answer(stream, format!("generation {generation}, pid {pid}\n")));
    }
    drop(listener);

    let report = graceful.drain().await;
    println!("generation {generation}: {report}");
    Ok(ExitCode::from(report.exit_code()))
}

/// As much of HTTP as `curl` wants.
async fn answer(mut stream: TcpStream, words: String) -> io::Result<()> {
    let mut request = [0; 4096];
    let mut read = 0;
    while !request[..read].ends_with(b"\r\n\r\n") {
        match stream.read(&mut request[read..]).await? {
            0 => return Ok(()), // it has left, or asks for more than this answers
            more => read += more,
        }
    }
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", words.len());
    stream.write_all((head + &words).as_bytes()).await?;
    stream.shutdown().await
}

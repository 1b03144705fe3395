//! axum-server, on a listener of the standard library, its `Handle` driven by the drain.
//!
//! Its own drain ends idle connections at once, so it begins only when the grace is over; until then clients are told, by
//! the layer, with their responses. Connections that have answered lose nothing so, but by who is idle for longer than the
//! grace, and asks just then. What its drain loses beyond that: until then it accepts as well, beside the successor, and a
//! connection that it has accepted just then ends without an answer, 15 of 34,000 in forty restarts. (A listener that accepts
//! no more, as `Incoming` in `axum_serve.rs`, is its `AddrListener`, if that matters.)
//!
//! ```text
//! cargo run --release --example axum_server
//! kill -USR2 <pid>    # replaces it
//! kill -TERM <pid>    # stops it
//! ```

#![expect(clippy::print_stdout, reason = "a program speaks to whoever started it")]

use std::{error::Error, io, net::SocketAddr, process::ExitCode, time::Duration};

use axum::{Router, extract::Path, routing::get};
use axum_server::Handle;
use clap::Parser;
use tokio_hotrestart::{Graceful, drain::Times};

/// An axum-server that replaces itself: SIGUSR2 restarts, SIGTERM stops.
#[derive(Debug, Parser)]
struct Args {
    /// Where to listen. Port 0 picks a free one, which all later generations keep
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// How long clients may keep their connections idle once this generation ends
    #[arg(long, value_name = "SECS", default_value = "5")]
    grace: u64,
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let args = Args::parse();
    tracing_subscriber::fmt().with_writer(io::stderr).init();

    let grace = Duration::from_secs(args.grace);
    // At once: who comes back while axum-server still accepts is told again.
    let builder = Graceful::builder().on_restart(Times::for_restart().grace(grace).at_once());
    let builder = builder.on_stop(Times::for_stop().grace(grace).at_once());
    let graceful = builder.build().await?; // picks up what a predecessor passes
    let listener = graceful.listen("http", args.listen).await?; // inherited, or bound
    let address = listener.local_addr()?;
    let app = app(graceful.generation()).layer(graceful.layer()); // tells clients with their responses

    graceful.ready().await?; // confirmed: the predecessor lets go
    println!("ready generation={} pid={} http={address}", graceful.generation(), std::process::id());

    // Not before `ready()`: axum-server accepts from its first moment on.
    let handle = Handle::new();
    let server = axum_server::from_tcp(listener.into_std()?)?.handle(handle.clone());
    graceful.spawn(server.serve(app.into_make_service())); // waited for, and at the deadline aborted
    let grace_over = graceful.watch().grace_over();
    tokio::spawn(async move {
        grace_over.await;
        handle.graceful_shutdown(None); // no time of its own: the drain's deadline holds
    });

    graceful.restart_signal().await; // a successor serves, or this is a stop
    let report = graceful.drain().await;
    println!("{report}");
    Ok(ExitCode::from(report.exit_code()))
}

fn app(generation: u64) -> Router {
    let root = move || async move { ([("x-generation", generation.to_string())], "hello world") };
    Router::new().route("/", get(root)).route("/slow/{ms}", get(slow))
}

async fn slow(Path(ms): Path<u64>) -> String {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    format!("slept {ms} ms")
}

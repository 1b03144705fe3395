//! Server-sent events: each stream ends in order when this generation does, and goes on in the successor.
//!
//! A client of server-sent events comes back by itself, and says which event it has seen last (`Last-Event-ID`). So nothing
//! is lost and nothing comes twice, where events can be counted on from there.
//!
//! ```text
//! cargo run --release --example sse --features axum
//! curl -N http://127.0.0.1:8080/events
//! kill -USR2 <pid>    # replaces it
//! kill -TERM <pid>    # stops it
//! ```

#![expect(clippy::print_stdout, reason = "a program speaks to whoever started it")]

use std::{convert::Infallible, error::Error, io, net::SocketAddr, process::ExitCode, time::Duration};

use axum::{
    Extension, Router,
    http::HeaderMap,
    response::{
        Sse,
        sse::{Event, KeepAlive},
    },
    routing::get,
};
use clap::Parser;
use futures_util::{Stream, stream};
use tokio_hotrestart::{
    Graceful,
    drain::{DrainStream, Watch},
};

/// A server of events that replaces itself: SIGUSR2 restarts, SIGTERM stops.
#[derive(Debug, Parser)]
struct Args {
    /// Where to listen. Port 0 picks a free one, which all later generations keep
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let args = Args::parse();
    tracing_subscriber::fmt().with_writer(io::stderr).init();

    let graceful = Graceful::new().await?; // picks up what a predecessor passes
    let listener = graceful.listen("http", args.listen).await?; // inherited, or bound
    let address = listener.local_addr()?;
    let app = Router::new().route("/events", get(events)).layer(Extension(graceful.watch()));
    tokio::spawn(graceful.serve(listener, app)); // accepts once this generation is confirmed

    graceful.ready().await?; // confirmed: the predecessor lets go
    println!("ready generation={} pid={} http={address}", graceful.generation(), std::process::id());

    graceful.restart_signal().await; // a successor serves, or this is a stop
    let report = graceful.drain().await;
    println!("{report}");
    Ok(ExitCode::from(report.exit_code()))
}

/// Ten events a second, numbered.
async fn events(watch: Watch, headers: HeaderMap) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let last: Option<u64> = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let events = stream::unfold(last.map_or(0, |last| last + 1), async |number| {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Some((Ok(Event::default().id(number.to_string()).data("tick")), number + 1))
    });
    Sse::new(events.end_on_drain(watch)).keep_alive(KeepAlive::default())
}

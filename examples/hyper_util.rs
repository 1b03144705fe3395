//! hyper-util's connections and its `GracefulShutdown`, in an accept loop of one's own: HTTP/1 and HTTP/2 on one port.
//!
//! hyper-util ends idle HTTP/1 connections at once when it is told to end, and loses the request that is on its way to them.
//! So it is told only when the grace is over; until then clients are told, by the layer, with their responses. Nothing is
//! lost but by who is idle for longer than the grace, and asks just then.
//!
//! ```text
//! cargo run --release --example hyper_util
//! kill -USR2 <pid>    # replaces it
//! kill -TERM <pid>    # stops it
//! ```

#![expect(clippy::print_stdout, reason = "a program speaks to whoever started it")]

use std::{convert::Infallible, error::Error, io, net::SocketAddr, process::ExitCode, time::Duration};

use clap::Parser;
use http_body_util::Full;
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio_hotrestart::{Graceful, drain::Times};
use tower::ServiceBuilder;

/// A hyper-util server that replaces itself: SIGUSR2 restarts, SIGTERM stops.
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
    let builder = Graceful::builder().on_restart(Times::for_restart().grace(grace));
    let graceful = builder.on_stop(Times::for_stop().grace(grace)).build().await?; // picks up what a predecessor passes
    let mut listener = graceful.listen("http", args.listen).await?; // inherited, or bound
    let address = listener.local_addr()?;
    let generation = graceful.generation();
    let service = ServiceBuilder::new()
        .layer(graceful.layer()) // tells clients with their responses
        .service_fn(move |request| answer(generation, request));
    let service = TowerToHyperService::new(service);

    graceful.ready().await?; // confirmed: the predecessor lets go
    println!("ready generation={generation} pid={} http={address}", std::process::id());

    let (builder, connections) = (Builder::new(TokioExecutor::new()), GracefulShutdown::new());
    // `accept` says None when a successor serves, and at a stop when nobody waits in the queue any more.
    while let Some((stream, peer)) = graceful.accept(&mut listener).await {
        // The tracker counts the connection until it is closed, also after an upgrade, and cuts it at the deadline.
        let io = TokioIo::new(graceful.tracker().track(stream));
        let connection = builder.serve_connection_with_upgrades(io, service.clone()).into_owned();
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::info!(%peer, %error, "the connection broke");
            }
        });
    }
    drop(listener);

    let grace_over = graceful.watch().grace_over();
    tokio::spawn(async move {
        grace_over.await;
        connections.shutdown().await;
    });
    let report = graceful.drain().await;
    println!("{report}");
    Ok(ExitCode::from(report.exit_code()))
}

async fn answer(generation: u64, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let slow = request.uri().path().strip_prefix("/slow/").and_then(|ms| ms.parse().ok());
    let text = match slow {
        Some(ms) => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            format!("slept {ms} ms")
        }
        None => "hello world".to_owned(),
    };
    let mut response = Response::new(text.into());
    response.headers_mut().insert("x-generation", generation.into());
    Ok(response)
}

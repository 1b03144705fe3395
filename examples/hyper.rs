//! The same without axum: a hyper service.
//!
//! ```text
//! cargo run --release --example hyper
//! kill -USR2 <pid>    # replaces it
//! kill -TERM <pid>    # stops it
//! ```

#![expect(clippy::print_stdout, reason = "a program speaks to whoever started it")]

use std::{convert::Infallible, error::Error, net::SocketAddr, process::ExitCode, time::Duration};

use clap::Parser;
use http_body_util::{Either, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    service::service_fn,
};
use tokio_hotrestart::Graceful;

/// A hyper server that replaces itself: SIGUSR2 restarts, SIGTERM stops.
#[derive(Debug, Parser)]
struct Args {
    /// Where to listen. Port 0 picks a free one, which all later generations keep
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let args = Args::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();

    let graceful = Graceful::new().await?; // picks up what a predecessor passes
    let generation = graceful.generation();
    let listener = graceful.listen("http", args.listen).await?; // inherited, or bound
    let address = listener.local_addr()?;
    let service = service_fn(move |request| answer(generation, request));
    tokio::spawn(graceful.serve(listener, service)); // accepts once this generation is confirmed

    graceful.ready().await?; // confirmed: the predecessor lets go
    println!("ready generation={generation} pid={} http={address}", std::process::id());

    graceful.restart_signal().await; // a successor serves, or this is a stop
    let report = graceful.drain().await;
    println!("{report}");
    Ok(ExitCode::from(report.exit_code()))
}

/// A body of ours, or the client's own.
type Body = Either<Full<Bytes>, Incoming>;

async fn answer(generation: u64, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let text = |text: &str| Either::Left(Full::from(text.to_owned()));
    let slow = request.uri().path().strip_prefix("/slow/").and_then(|ms| ms.parse().ok());
    let (status, body) = match (request.method(), request.uri().path(), slow) {
        (&Method::GET, "/", _) => (StatusCode::OK, text("hello world")),
        (&Method::POST, "/", _) => (StatusCode::OK, Either::Right(request.into_body())),
        (&Method::GET, _, Some(ms)) => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            (StatusCode::OK, text(&format!("slept {ms} ms")))
        }
        _ => (StatusCode::NOT_FOUND, text("not found")),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert("x-generation", generation.into());
    Ok(response)
}

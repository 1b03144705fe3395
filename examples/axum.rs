//! An axum server that replaces itself under load, and the server that this crate's tests and benchmarks drive.
//!
//! ```text
//! cargo run --release --example axum
//! kill -USR2 <pid>    # replaces it: build a new binary first, if you like
//! kill -TERM <pid>    # stops it
//! ```

#![expect(clippy::print_stdout, reason = "a program speaks to whoever started it")]

use std::{
    convert::Infallible, error::Error, future, io::IsTerminal, net::SocketAddr, path::PathBuf, pin::pin,
    process::ExitCode, time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{
        Path, State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket, close_code},
    },
    http::HeaderValue,
    middleware::map_response,
    response::Response,
    routing::get,
};
use clap::Parser;
use futures_util::{StreamExt, stream};
use tokio::{runtime, time::sleep};
use tokio_hotrestart::{
    Graceful,
    drain::{Times, Watch},
};
use tracing_subscriber::EnvFilter;

/// An axum server that replaces itself: SIGUSR2 restarts, SIGTERM stops.
#[derive(Debug, Parser)]
struct Args {
    /// Where to listen. Port 0 picks a free one, which all later generations keep
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// A Unix socket to listen on as well
    #[arg(long, value_name = "PATH")]
    unix: Option<PathBuf>,
    /// A file that names the process which serves
    #[arg(long, value_name = "PATH")]
    pid_file: Option<PathBuf>,
    /// Worker threads; 1 is a current-thread runtime [default: one for each core]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// How long a successor may take to be ready
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    ready_deadline: Option<Duration>,
    /// Over how long clients are sent away, at a restart and at a stop [default: 5]
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    grace: Option<Duration>,
    /// How long the drain of a stop may take
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    drain_deadline: Option<Duration>,
    /// How long a successor's death is harmless after it was confirmed
    #[arg(long, value_name = "MS", value_parser = milliseconds)]
    probation: Option<Duration>,
    /// How long this process takes to start
    #[arg(long, value_name = "MS", value_parser = milliseconds, default_value = "0")]
    start_delay: Duration,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let args = Args::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi).init();

    let mut runtime = match args.threads {
        Some(1) => runtime::Builder::new_current_thread(),
        _ => runtime::Builder::new_multi_thread(),
    };
    if let Some(threads) = args.threads {
        runtime.worker_threads(threads);
    }
    runtime.enable_all().build()?.block_on(run(args))
}

async fn run(args: Args) -> Result<ExitCode, Box<dyn Error>> {
    let mut builder = Graceful::builder();
    if let Some(after) = args.ready_deadline {
        builder = builder.ready_deadline(after);
    }
    let (mut on_restart, mut on_stop) = (Times::for_restart(), Times::for_stop());
    if let Some(time) = args.grace {
        (on_restart, on_stop) = (on_restart.grace(time), on_stop.grace(time));
    }
    if let Some(after) = args.drain_deadline {
        on_stop = on_stop.deadline(after);
    }
    builder = builder.on_restart(on_restart).on_stop(on_stop);
    if let Some(time) = args.probation {
        builder = builder.probation(time);
    }
    if let Some(path) = args.pid_file {
        builder = builder.pid_file(path);
    }
    let graceful = builder.build().await?; // picks up what a predecessor passes

    let app = app(&graceful);
    let listener = graceful.listen("http", args.listen).await?; // inherited, or bound
    let address = listener.local_addr()?;
    tokio::spawn(graceful.serve(listener, app.clone())); // accepts once this generation is confirmed
    if let Some(path) = args.unix {
        let listener = graceful.listen_unix("unix", path).await?;
        tokio::spawn(graceful.serve(listener, app));
    }

    sleep(args.start_delay).await; // where a real server loads its configuration and warms its caches
    graceful.ready().await?; // confirmed: the predecessor lets go
    println!("ready generation={} pid={} http={address}", graceful.generation(), std::process::id());

    graceful.restart_signal().await; // a successor serves, or this is a stop
    let report = graceful.drain().await;
    println!("{report}");
    Ok(ExitCode::from(report.exit_code()))
}

fn app(graceful: &Graceful) -> Router {
    let generation = HeaderValue::from(graceful.generation());
    let mark = move |mut response: Response| {
        response.headers_mut().insert("x-generation", generation.clone());
        future::ready(response)
    };
    Router::new()
        .route("/", get(|| async { "hello world" }).post(|body: Body| async { body }))
        .route("/slow/{ms}", get(slow))
        .route("/stream/{ms}", get(stream))
        .route("/ws", get(websocket))
        .layer(map_response(mark))
        .with_state(graceful.watch())
}

async fn slow(Path(ms): Path<u64>) -> String {
    sleep(Duration::from_millis(ms)).await;
    format!("slept {ms} ms")
}

/// A line every 50 ms.
async fn stream(Path(ms): Path<u64>) -> Body {
    let lines = stream::iter(0..ms.div_ceil(50)).then(|number| async move {
        sleep(Duration::from_millis(50)).await;
        Ok::<_, Infallible>(format!("chunk {number}\n"))
    });
    Body::from_stream(lines)
}

async fn websocket(upgrade: WebSocketUpgrade, State(watch): State<Watch>) -> Response {
    upgrade.on_upgrade(|socket| echo(socket, watch))
}

/// Echoes messages until the client leaves, or until this generation drains. `websocket.rs` spreads these ends.
async fn echo(mut socket: WebSocket, watch: Watch) {
    let mut draining = pin!(watch.draining());
    let cause = loop {
        tokio::select! {
            received = socket.recv() => match received {
                Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                    if socket.send(message).await.is_err() {
                        return;
                    }
                }
                Some(Ok(_)) => {} // axum answers pings, and a close frame
                Some(Err(_)) | None => return,
            },
            cause = &mut draining => break cause,
        }
    };
    // The client is told, and comes back to the successor if there is one.
    let code = if cause.is_replaced() { close_code::RESTART } else { close_code::AWAY };
    let goodbye = CloseFrame { code, reason: cause.to_string().into() };
    if socket.send(Message::Close(Some(goodbye))).await.is_ok() {
        while let Some(Ok(_)) = socket.recv().await {}
    }
}

fn seconds(text: &str) -> Result<Duration, Box<dyn Error + Send + Sync>> {
    Ok(Duration::try_from_secs_f64(text.parse()?)?)
}

fn milliseconds(text: &str) -> Result<Duration, Box<dyn Error + Send + Sync>> {
    Ok(Duration::from_millis(text.parse()?))
}

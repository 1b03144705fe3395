//! WebSockets that are closed in order: with code 1012 ("service restart") at a restart and 1001 ("going away") at a stop,
//! after what has come is answered.
//!
//! axum handles a WebSocket in a task of its own. Its connection is counted all the same, so the drain waits for it, and cuts
//! it at the deadline. Clients are told in turn, over the grace, so that they do not come back all at once. A message that crosses the close frame is not answered, and the client knows that: it sends it
//! again, on a connection to the successor.
//!
//! ```text
//! cargo run --release --example websocket
//! kill -USR2 <pid>    # replaces it
//! kill -TERM <pid>    # stops it
//! ```

#![expect(clippy::print_stdout, reason = "a program speaks to whoever started it")]

use std::{error::Error, io, net::SocketAddr, pin::pin, process::ExitCode, time::Duration};

use axum::{
    Router,
    extract::{
        State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket, close_code},
    },
    response::Response,
    routing::get,
};
use clap::Parser;
use tokio::time::timeout;
use tokio_hotrestart::{Graceful, drain::Watch};

/// A WebSocket server that replaces itself: SIGUSR2 restarts, SIGTERM stops.
#[derive(Debug, Parser)]
struct Args {
    /// Where to listen. Port 0 picks a free one, which all later generations keep
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
}

/// How long a client that was told goodbye may take to close. One that is gone or hangs would hold this generation until
/// the drain's deadline.
const UNTIL_CLOSED: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let args = Args::parse();
    tracing_subscriber::fmt().with_writer(io::stderr).init();

    let graceful = Graceful::new().await?; // picks up what a predecessor passes
    let listener = graceful.listen("http", args.listen).await?; // inherited, or bound
    let address = listener.local_addr()?;
    let app = Router::new().route("/ws", get(upgrade)).with_state(graceful.watch());
    tokio::spawn(graceful.serve(listener, app)); // accepts once this generation is confirmed

    graceful.ready().await?; // confirmed: the predecessor lets go
    println!("ready generation={} pid={} http={address}", graceful.generation(), std::process::id());

    graceful.restart_signal().await; // a successor serves, or this is a stop
    let report = graceful.drain().await;
    println!("{report}");
    Ok(ExitCode::from(report.exit_code()))
}

async fn upgrade(upgrade: WebSocketUpgrade, State(watch): State<Watch>) -> Response {
    upgrade.on_upgrade(|socket| echo(socket, watch))
}

/// Echoes messages until the client leaves, or until this generation ends.
async fn echo(mut socket: WebSocket, watch: Watch) {
    let mut draining = pin!(watch.draining_in_turn()); // one moment for this client
    let cause = loop {
        tokio::select! {
            biased; // what has come is answered before the end
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
    let code = if cause.is_replaced() { close_code::RESTART } else { close_code::AWAY };
    let goodbye = CloseFrame { code, reason: cause.to_string().into() };
    if socket.send(Message::Close(Some(goodbye))).await.is_ok() {
        // Until the client has closed, too: an end before that could reset the connection, and take the goodbye from it.
        let closed = async { while let Some(Ok(_)) = socket.recv().await {} };
        if timeout(UNTIL_CLOSED, closed).await.is_err() {
            tracing::info!("a client was told goodbye, and does not close");
        }
    }
}

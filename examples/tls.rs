//! axum over TLS, with tokio-rustls: the handshake is one line, counted by the drain and under the head deadline.
//!
//! ```text
//! cargo run --release --example tls
//! curl --insecure https://127.0.0.1:8443/
//! kill -USR2 <pid>    # replaces it
//! ```
//!
//! A renewed certificate needs no restart: `reload.rs`.

#![expect(clippy::print_stdout, reason = "a program speaks to whoever started it")]

use std::{error::Error, net::SocketAddr, process::ExitCode, sync::Arc};

use axum::{Router, routing::get};
use clap::Parser;
use tokio_hotrestart::Graceful;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
};

/// An axum server over TLS that replaces itself: SIGUSR2 restarts, SIGTERM stops.
#[derive(Debug, Parser)]
struct Args {
    /// Where to listen. Port 0 picks a free one, which all later generations keep
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let args = Args::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();

    let graceful = Graceful::new().await?; // picks up what a predecessor passes
    let listener = graceful.listen("https", args.listen).await?; // inherited, or bound
    let address = listener.local_addr()?;
    let app = Router::new().route("/", get(|| async { "hello world" }));
    let tls = acceptor()?;
    tokio::spawn(graceful.serve(listener, app).handshake(move |tcp| tls.accept(tcp)));

    graceful.ready().await?; // confirmed: the predecessor lets go
    println!("ready generation={} pid={} https={address}", graceful.generation(), std::process::id());

    graceful.restart_signal().await; // a successor serves, or this is a stop
    let report = graceful.drain().await;
    println!("{report}");
    Ok(ExitCode::from(report.exit_code()))
}

/// Signs its own certificate, anew in each generation. A real server reads one from a file here.
fn acceptor() -> Result<TlsAcceptor, Box<dyn Error>> {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der())?;
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![own.cert.into()], key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

//! SIGHUP reads certificate and configuration anew, without a restart: connections live on, no process is started, and files
//! that are wrong change nothing. SIGUSR2 still replaces the program, and the new one reads the new files anyway.
//!
//! ```text
//! openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -addext subjectAltName=DNS:localhost \
//!     -days 30 -keyout key.pem -out cert.pem
//! echo '{ "max_age": 60 }' >config.json
//! cargo run --release --example reload -- --certificate cert.pem --key key.pem --config config.json
//! kill -HUP <pid>     # after each change: new handshakes get the new certificate, new requests the new configuration
//! kill -USR2 <pid>    # a new binary
//! ```
//!
//! Established TLS connections keep the certificate that they were made with.

#![expect(clippy::print_stdout, reason = "a program speaks to whoever started it")]

use std::{
    error::Error,
    fs, io,
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, PoisonError, RwLock},
};

use axum::{Router, extract::State, http::header::CACHE_CONTROL, response::IntoResponse, routing::get};
use clap::Parser;
use serde::Deserialize;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::spawn_blocking,
};
use tokio_hotrestart::Graceful;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring::default_provider,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        server::{ClientHello, ResolvesServerCert},
        sign::CertifiedKey,
    },
};

/// An axum server over TLS: SIGHUP reloads its files, SIGUSR2 restarts, SIGTERM stops.
#[derive(Debug, Parser)]
struct Args {
    /// Where to listen. Port 0 picks a free one, which all later generations keep
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    #[command(flatten)]
    files: Files,
}

/// Relative paths stay what they are: a successor starts in the same directory.
#[derive(Clone, Debug, clap::Args)]
struct Files {
    /// The certificate chain, as PEM
    #[arg(long, value_name = "PATH")]
    certificate: PathBuf,
    /// The certificate's private key, as PEM
    #[arg(long, value_name = "PATH")]
    key: PathBuf,
    /// The configuration, as JSON
    #[arg(long, value_name = "PATH")]
    config: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)] // a name with a slip in it is an error, not a setting that has no effect
struct Config {
    /// For how many seconds an answer may be kept
    max_age: u32,
}

/// What the files say: all of it good, or there is none of it.
#[derive(Debug)]
struct Loaded {
    certified: Arc<CertifiedKey>,
    config: Config,
}

impl Files {
    fn load(&self) -> Result<Loaded, Box<dyn Error + Send + Sync>> {
        let named = |path: &PathBuf, error: &dyn Error| format!("{}: {error}", path.display());
        let chain = CertificateDer::pem_file_iter(&self.certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let chain = chain.map_err(|error| named(&self.certificate, &error))?;
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|error| named(&self.key, &error))?;
        // Two files can't be replaced in one step: a key that belongs to another certificate is refused here.
        let certified = CertifiedKey::from_der(chain, key, &default_provider());
        let certified = certified.map_err(|error| named(&self.certificate, &error))?;
        let text = fs::read(&self.config).map_err(|error| named(&self.config, &error))?;
        let config = serde_json::from_slice(&text).map_err(|error| named(&self.config, &error))?;
        Ok(Loaded { certified: Arc::new(certified), config })
    }
}

/// The one cell that handshakes and requests read. Each takes a reference once, and so sees one state from its beginning
/// to its end.
#[derive(Clone, Debug)]
struct Current(Arc<RwLock<Arc<Loaded>>>);

impl Current {
    fn get(&self) -> Arc<Loaded> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, loaded: Loaded) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(loaded);
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.get().certified))
    }
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
    // First: a SIGHUP that nobody handles ends the process.
    let mut hangup = signal(SignalKind::hangup())?;
    let Args { listen, files } = Args::parse();
    tracing_subscriber::fmt().with_writer(io::stderr).init();

    let graceful = Graceful::new().await?; // picks up what a predecessor passes
    // Before `ready`: files that are wrong end a successor here, and its predecessor serves on with what it has.
    let current = Current(Arc::new(RwLock::new(Arc::new(files.load()?))));

    let config = ServerConfig::builder().with_no_client_auth().with_cert_resolver(Arc::new(current.clone()));
    let tls = TlsAcceptor::from(Arc::new(config));
    let listener = graceful.listen("https", listen).await?; // inherited, or bound
    let address = listener.local_addr()?;
    let app = Router::new().route("/", get(hello)).with_state(current.clone());
    tokio::spawn(graceful.serve(listener, app).handshake(move |tcp| tls.accept(tcp)));

    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            let files = files.clone();
            // On a thread of its own: a slow disk stops no connection.
            match spawn_blocking(move || files.load()).await {
                Ok(Ok(loaded)) => {
                    current.set(loaded);
                    tracing::info!("reloaded");
                }
                Ok(Err(error)) => tracing::error!(error, "everything stays as it was"),
                Err(panic) => tracing::error!(%panic, "everything stays as it was"),
            }
        }
    });

    graceful.ready().await?; // confirmed: the predecessor lets go
    println!("ready generation={} pid={} https={address}", graceful.generation(), std::process::id());

    graceful.restart_signal().await; // a successor serves, or this is a stop
    let report = graceful.drain().await;
    println!("{report}");
    Ok(ExitCode::from(report.exit_code()))
}

async fn hello(State(current): State<Current>) -> impl IntoResponse {
    let cache = format!("max-age={}", current.get().config.max_age);
    ([(CACHE_CONTROL, cache)], "hello world")
}

//! Further ways into the server, each a listener of its own: every way that HTTP can be served.

use std::{env, net::SocketAddr, path::Path, sync::Arc};

use axum::{Extension, Router, extract::ConnectInfo};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_hotrestart::Graceful;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer},
    },
};

use super::{
    Fleet,
    server::{app, hand_over, say},
};

const CERTIFICATE: &str = "certificate";
const KEY: &str = "key";

/// A directory with a certificate for `localhost` and its key (`HR_TLS`): the same for all generations.
pub fn certificate() -> TempDir {
    let place = tempfile::tempdir().expect("a temporary directory");
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("signed");
    let write = |name, bytes: &[u8]| std::fs::write(place.path().join(name), bytes).expect("written");
    write(CERTIFICATE, own.cert.der());
    write(KEY, &own.signing_key.serialize_der());
    place
}

/// The certificate in there, for a client to trust.
pub fn trusted(place: &Path) -> CertificateDer<'static> {
    std::fs::read(place.join(CERTIFICATE)).expect("it is there").into()
}

/// Where generation 0 has said that this door is.
pub fn address(fleet: &mut Fleet, name: &str) -> SocketAddr {
    fleet.until(&format!("door name={name} generation=0 "))["address"].parse().expect("an address")
}

/// `HR_DOORS=<name> …`: which there are. Each says where it is: `door name=… generation=… address=…`. They answer what
/// the server's main door answers, and also know their clients' addresses.
pub async fn open(graceful: &Graceful, generation: u64) -> Result<(), tokio_hotrestart::Error> {
    let doors = env::var("HR_DOORS").unwrap_or_default();
    let app = app(graceful.clone(), generation);
    for name in doors.split_whitespace() {
        let listener = graceful.listen(name, "127.0.0.1:0").await?;
        let address = listener.local_addr().expect("bound");
        match name {
            "tls" => {
                let tls = acceptor();
                let app = app.clone().into_make_service_with_connect_info::<SocketAddr>();
                tokio::spawn(graceful.serve(listener, app).handshake(move |tcp| tls.accept(tcp)));
            }
            "make" => {
                let app = app.clone().into_make_service_with_connect_info::<SocketAddr>();
                tokio::spawn(graceful.serve(listener, app).hand_over(hand_over()));
            }
            "closure" => {
                let app = app.clone();
                let known = move |peer| app.clone().layer(Extension(ConnectInfo::<SocketAddr>(peer)));
                tokio::spawn(
                    graceful.serve_with(listener, move |connection| known(*connection.peer())).hand_over(hand_over()),
                );
            }
            "loop" => drop(tokio::spawn(accept(graceful.clone(), listener, app.clone()))),
            other => panic!("no such door: {other}"),
        }
        say(format_args!("door name={name} generation={generation} address={address}"));
    }
    Ok(())
}

/// An accept loop of the application's own.
async fn accept(graceful: Graceful, mut listener: TcpListener, app: Router) {
    while let Some((tcp, peer)) = graceful.accept(&mut listener).await {
        let app = app.clone().layer(Extension(ConnectInfo(peer)));
        tokio::spawn(graceful.serve_connection(tcp, app));
    }
}

fn acceptor() -> TlsAcceptor {
    let place = env::var_os("HR_TLS").expect("where certificate and key are");
    let place = Path::new(&place);
    let key = std::fs::read(place.join(KEY)).expect("it is there");
    let key = PrivateKeyDer::try_from(key).expect("a key");
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![trusted(place)], key);
    TlsAcceptor::from(Arc::new(config.expect("they fit")))
}

//! Certificates, and clients that look at them.

use std::{
    fs, io,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
    time::Duration,
};

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use tokio::{
    io::copy_bidirectional,
    net::TcpListener,
    runtime::{Builder, Runtime},
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, ClientConnection, RootCertStore, StreamOwned,
        client::Resumption,
        pki_types::{CertificateDer, ServerName},
    },
};

use super::program::PATIENCE;

/// A certificate for `localhost`, with its key.
pub struct Certificate(CertifiedKey<KeyPair>);

impl Certificate {
    pub fn new() -> Self {
        Self(generate_simple_self_signed(["localhost".to_owned()]).expect("signed"))
    }

    pub fn certificate(&self) -> String {
        self.0.cert.pem()
    }

    pub fn key(&self) -> String {
        self.0.signing_key.serialize_pem()
    }

    pub fn der(&self) -> &CertificateDer<'static> {
        self.0.cert.der()
    }
}

/// Replaces a file in one step.
pub fn write(path: &Path, text: &str) {
    let beside = path.with_extension("next");
    fs::write(&beside, text).expect("written");
    fs::rename(&beside, path).expect("replaced");
}

/// Trusts each of these. A session that is resumed would show the certificate of its first handshake, so there are none.
pub fn trusting(certificates: &[Certificate]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    certificates.iter().for_each(|it| roots.add(it.der().clone()).expect("a certificate"));
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

/// A connection that is kept.
pub struct Client(StreamOwned<ClientConnection, TcpStream>);

impl Client {
    /// Connected, with the handshake done.
    #[track_caller]
    pub fn connect(to: SocketAddr, config: &Arc<ClientConfig>) -> Self {
        let mut stream = TcpStream::connect(to).expect("somebody listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        let name = ServerName::try_from("localhost").expect("a name");
        let mut session = ClientConnection::new(Arc::clone(config), name).expect("a session");
        while session.is_handshaking() {
            session.complete_io(&mut stream).expect("a handshake");
        }
        Self(StreamOwned::new(session, stream))
    }

    /// What the server has shown on this connection.
    pub fn shown(&self) -> &CertificateDer<'static> {
        &self.0.conn.peer_certificates().expect("shown")[0]
    }

    /// The head of the answer to a request, and whether the server ends the connection after it.
    #[track_caller]
    pub fn get(&mut self) -> String {
        self.0.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("sent");
        let body = b"\r\n\r\nhello world";
        let mut answer = Vec::new();
        while !answer.ends_with(body) {
            let mut byte = [0];
            self.0.read_exact(&mut byte).expect("a whole answer");
            answer.extend(byte);
        }
        String::from_utf8(answer).expect("ASCII").to_ascii_lowercase()
    }
}

/// A way through TLS for clients that speak none. It adds nothing and hides nothing: a connection that it can't make is one
/// that ends.
#[derive(Debug)]
pub struct Tunnel {
    pub address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Tunnel {
    pub fn to(server: SocketAddr, config: &Arc<ClientConfig>) -> Self {
        let tls = TlsConnector::from(Arc::clone(config));
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("bound");
        let address = listener.local_addr().expect("bound");
        runtime.spawn(async move {
            while let Ok((plain, _)) = listener.accept().await {
                tokio::spawn(pass(plain, server, tls.clone()));
            }
        });
        Self { address, runtime: Some(runtime) }
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.runtime.take().expect("dropped once").shutdown_timeout(Duration::ZERO);
    }
}

async fn pass(mut plain: tokio::net::TcpStream, server: SocketAddr, tls: TlsConnector) -> io::Result<()> {
    let tcp = tokio::net::TcpStream::connect(server).await?;
    tcp.set_nodelay(true)?;
    plain.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").expect("a name");
    let mut secret = tls.connect(name, tcp).await?;
    copy_bidirectional(&mut plain, &mut secret).await.map(drop)
}

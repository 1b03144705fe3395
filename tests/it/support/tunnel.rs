//! A way through TLS for clients that speak none.

use std::{io, net::SocketAddr, path::Path, sync::Arc};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, pki_types::ServerName},
};

use super::doors;

/// What connects to it in plain text arrives encrypted, connection by connection. It adds nothing and hides nothing: a
/// connection that it cannot make, or that ends without TLS's own end, is one that ends.
#[derive(Debug)]
pub struct Tunnel {
    pub address: SocketAddr,
    _runtime: Runtime,
}

impl Tunnel {
    /// To this door, whose certificate is there.
    pub fn to(door: SocketAddr, certificate: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(doors::trusted(certificate)).expect("a certificate");
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let tls = TlsConnector::from(Arc::new(config));
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("bound");
        let address = listener.local_addr().expect("bound");
        runtime.spawn(async move {
            while let Ok((plain, _)) = listener.accept().await {
                tokio::spawn(pass(plain, door, tls.clone()));
            }
        });
        Self { address, _runtime: runtime }
    }
}

async fn pass(mut plain: TcpStream, door: SocketAddr, tls: TlsConnector) -> io::Result<()> {
    let tcp = TcpStream::connect(door).await?;
    tcp.set_nodelay(true)?;
    plain.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").expect("a name");
    let mut secret = tls.connect(name, tcp).await?;
    copy_bidirectional(&mut plain, &mut secret).await.map(drop)
}

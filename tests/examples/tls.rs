//! `examples/tls.rs`.

use std::{io, sync::Arc};

use load::{Exchange, Load, Mode, Stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::ring::default_provider,
        pki_types::{CertificateDer, ServerName, UnixTime},
    },
};

use super::{Server, in_order, survive};

#[test]
fn https_loses_nothing() {
    let mut server = Server::start("tls", &[]);
    let address = server.address("https");
    let load = |mode| Load::new(address, mode).clients(2).handshake(handshake);
    let exchange = Exchange::get_at("/", "hello world").without_generation();
    survive(&mut server, [load(Mode::KeepAlive(exchange.clone())), load(Mode::Fresh(exchange))]);
}

#[tokio::test]
async fn a_handshake_that_a_restart_interrupts_is_finished() {
    let mut server = Server::start("tls", &[]);
    let address = server.address("https");
    let slow = TcpStream::connect(address).await.unwrap();
    // Accepted in turn: who came before was accepted before.
    assert!(get(TcpStream::connect(address).await.unwrap()).await.ends_with("hello world"));

    server.restart();
    let answer = get(slow).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("hello world"), "{answer}");
    let report = server.report(0);
    assert!(report.contains(" 1 finished"), "{report}");
    in_order(&report);
}

/// One request, on a connection that ends with its answer.
async fn get(stream: TcpStream) -> String {
    let mut stream = handshake(Box::new(stream)).await.expect("a handshake");
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("a whole answer");
    answer
}

async fn handshake(stream: Stream) -> io::Result<TlsStream<Stream>> {
    let config = ClientConfig::builder().dangerous().with_custom_certificate_verifier(Arc::new(Anybody));
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(config.with_no_client_auth())).connect(name, stream).await
}

/// Each generation signs its own certificate, and who it is is no question here.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}

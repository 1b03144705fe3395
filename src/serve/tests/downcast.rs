use std::{net::SocketAddr, os::fd::OwnedFd};

use ::hyper::{
    service::Service,
    upgrade::{self, Upgraded},
};
use http::StatusCode;
use hyper_util::rt::TokioIo;

use super::{serving::memory, *};
use crate::{
    drain::Policy,
    handover::Arrivals,
    serve::downcast,
    wire::{Begun, Destination, Message, Offer},
};

const UPGRADE: &str = "GET / HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";

/// Gives each upgraded connection to the test. Its answer closes in the drain three seconds after its beginning.
fn upgrading() -> (
    mpsc::UnboundedReceiver<Upgraded>,
    impl Service<Request<Incoming>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + 'static,
) {
    let (give, given) = mpsc::unbounded_channel();
    let service = service_fn(move |request: Request<Incoming>| {
        let give = give.clone();
        tokio::spawn(async move { give.send(upgrade::on(request).await.unwrap()) });
        async {
            let mut response = reply("")?;
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            response.extensions_mut().insert(Policy::CloseAfter(SECOND * 3));
            Reply::Ok(response)
        }
    });
    (given, service)
}

#[tokio::test(start_paused = true)]
async fn the_socket_beneath_an_upgrade_comes_with_what_was_read_ahead() {
    let (roof, (mut given, service)) = (Roof::new(), upgrading());
    let (mut client, _) = roof.spawn(service);
    client.send(&format!("{UPGRADE}read ahead")).await;
    assert_eq!(client.answer().await.status, 101);
    let (mut stream, ahead) = downcast::<DuplexStream>(given.recv().await.unwrap()).unwrap();
    assert_eq!(ahead, b"read ahead");
    client.send("read after").await;
    let mut read = [0; 10];
    stream.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"read after");
    drop(stream);
    client.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_no_such_socket_stays_upgraded() {
    let (roof, (mut given, service)) = (Roof::new(), upgrading());
    let (mut client, _) = roof.spawn(service);
    client.send(&format!("{UPGRADE}read ahead")).await;
    assert_eq!(client.answer().await.status, 101);
    let upgraded = downcast::<TcpStream>(given.recv().await.unwrap()).unwrap_err();
    let mut read = [0; 10];
    TokioIo::new(upgraded).read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"read ahead");
}

#[tokio::test(start_paused = true)]
async fn the_socket_counts_as_the_connection_did_and_ends_by_its_policy() {
    let (roof, (mut given, service)) = (Roof::new(), upgrading());
    let (mut client, served) = roof.spawn(service);
    client.send(UPGRADE).await;
    assert_eq!(client.answer().await.status, 101);
    let (mut stream, _) = downcast::<DuplexStream>(given.recv().await.unwrap()).unwrap();
    served.await.unwrap().unwrap();
    assert_eq!(roof.drain.tracker().open().as_deref(), Some("1 connection: 1 upgraded"));
    let report = roof.begin();
    let error = stream.read(&mut [0; 8]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    // Also in pieces.
    let (io, guard) = stream.into_parts();
    drop(io);
    assert_eq!(roof.drain.tracker().len(), 1);
    drop(guard);
    let report = report.await.unwrap();
    assert_eq!((report.took(), report.of(Kind::Upgraded).cut_by(Why::Policy), report.cut()), (SECOND * 3, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn the_socket_keeps_its_place_until_it_is_dropped() {
    let (roof, (connector, listener)) = (Roof::new(), memory());
    let (mut given, service) = upgrading();
    let _serving = tokio::spawn(roof.serve(listener, service).max_connections(1));
    let (mut first, mut second) = (connector.connect(), connector.connect());
    first.send(UPGRADE).await;
    let (stream, _) = downcast::<DuplexStream>(given.recv().await.unwrap()).unwrap();
    second.send(UPGRADE).await;
    second.silence(SECOND).await;
    drop(stream);
    assert_eq!(second.answer().await.status, 101);
}

/// The predecessor holds its copy as long as it has not heard TAKEN.
#[tokio::test]
async fn the_socket_of_an_inherited_connection_ends_for_its_client_when_it_is_dropped() {
    let (roof, (mut given, service)) = (Roof::new(), upgrading());
    let entrances = Entrances::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = Client::new(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap());
    let copy = OwnedFd::from(listener.accept().await.unwrap().0.into_std().unwrap());
    let wiring = Wiring { name: Some(Name::new("http").unwrap()), entrances: entrances.clone(), ..roof.wiring() };
    let _serving = tokio::spawn(Serve::new(listener, IntoMake::<SocketAddr, _>::into_make(service), wiring));
    let mut arrivals = Arrivals::new(entrances, SECOND);
    let to = Destination::Serve { socket: Name::new("http").unwrap(), begun: Begun::Fresh };
    let offer = Offer { id: 1, to, waited_milliseconds: 0, read: UPGRADE.into(), state: Vec::new() };
    arrivals.offered(vec![(offer, Some(copy.try_clone().unwrap()))]);
    let [(number, Message::Taken(_))] = arrivals.say()[..] else { panic!("it was not taken") };
    arrivals.went_out(number);
    let (stream, _) = downcast::<TcpStream>(given.recv().await.unwrap()).unwrap();
    assert_eq!(client.answer().await.status, 101);
    drop(stream);
    client.end().await;
    drop(copy);
}

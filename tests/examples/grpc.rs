//! `examples/tonic.rs`.

use std::{
    mem,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use load::{Exchange, Load, Mode};
use nix::sys::signal::Signal;
use tokio::{runtime::Runtime, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Streaming,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    transport::{Channel, Endpoint},
};
use tonic_health::{
    ServingStatus,
    pb::{HealthCheckRequest, health_client::HealthClient},
};
use tonic_prost::ProstCodec;

use super::{RESTARTS, Server, in_order, survive};

#[test]
fn unary_calls_lose_nothing() {
    let mut server = Server::start("tonic", &[]);
    let mode = Mode::Http2 { exchange: Exchange::unary("/echo.Echo/Say", 100), streams: 4 };
    let load = Load::new(server.address("grpc"), mode).clients(4);
    survive(&mut server, [load]);
}

#[test]
fn streams_end_in_order_and_are_opened_again() {
    let mut server = Server::start("tonic", &[]);
    let (runtime, address) = (Runtime::new().unwrap(), server.address("grpc"));
    let over = Arc::<AtomicBool>::default();
    let (tell, mut open) = mpsc::unbounded_channel();
    let client = |_| runtime.spawn(chat(address, Arc::clone(&over), tell.clone()));
    let clients: Vec<_> = (0..4).map(client).collect();
    for generation in 0..RESTARTS {
        // Each client has one that is answered.
        clients.iter().for_each(|_| open.blocking_recv().expect("they go on"));
        server.restart();
        // Each of its streams has ended with it.
        in_order(&server.report(generation));
    }
    clients.iter().for_each(|_| open.blocking_recv().expect("they go on"));
    over.store(true, Relaxed);
    let opened: Vec<u64> = clients.into_iter().map(|client| runtime.block_on(client).expect("nothing lost")).collect();
    assert!(opened.iter().all(|opened| *opened > RESTARTS), "{opened:?}");
    server.signal(Signal::SIGTERM);
    in_order(&server.report(RESTARTS));
    server.until_all_have_ended();
}

/// Two threads, so that the client answers while the test waits for the report: until it does, its connection stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_health_service_tells_that_the_server_ends_and_lets_go() {
    let mut server = Server::start("tonic", &[]);
    let mut health = HealthClient::new(connect(server.address("grpc")).await);
    let mut watched = Vec::new();
    for service in ["", "echo.Echo"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        watched.push(health.watch(request).await.unwrap().into_inner());
    }
    for statuses in &mut watched {
        let serving = statuses.message().await.unwrap().expect("a status").status;
        assert_eq!(serving, ServingStatus::Serving as i32);
    }
    server.restart();
    for statuses in &mut watched {
        let last = statuses.message().await.unwrap().expect("a status").status;
        assert_eq!(last, ServingStatus::NotServing as i32);
        assert_eq!(statuses.message().await.unwrap(), None);
    }
    in_order(&server.report(0));
}

/// Sends one message after the other on a stream, and waits for each to come back. One that was not answered when the stream
/// ended is sent again, on another. Tells of each stream once it is answered. How many streams there were.
async fn chat(address: SocketAddr, over: Arc<AtomicBool>, tell: mpsc::UnboundedSender<()>) -> u64 {
    let (mut opened, mut number) = (0, 0_u64);
    while !over.load(Relaxed) {
        let (send, receive) = mpsc::channel(1);
        let mut answers = open(address, ReceiverStream::new(receive)).await;
        opened += 1;
        let mut untold = true;
        while !over.load(Relaxed) {
            let content = number.to_be_bytes().to_vec();
            // One that can't be sent is not answered either.
            let _ = send.send(Message { content: content.clone() }).await;
            let Some(answer) = answers.message().await.expect("an end with status OK") else { break };
            assert_eq!(answer.content, content);
            number += 1;
            if mem::take(&mut untold) {
                tell.send(()).expect("the test counts them");
            }
        }
    }
    opened
}

async fn open(address: SocketAddr, messages: ReceiverStream<Message>) -> Streaming<Message> {
    let mut client = Grpc::new(connect(address).await);
    client.ready().await.expect("connected");
    let (path, codec) = (PathAndQuery::from_static("/echo.Echo/Chat"), ProstCodec::default());
    client.streaming(Request::new(messages), path, codec).await.expect("a stream").into_inner()
}

async fn connect(address: SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    endpoint.connect().await.expect("somebody listens")
}

#[derive(Clone, PartialEq, prost::Message)]
struct Message {
    #[prost(bytes = "vec", tag = "1")]
    content: Vec<u8>,
}

//! gRPC by tonic: a unary call, a stream in both directions that ends well, and the health service.
//!
//! tonic speaks HTTP/2 only, where a server can say which requests it has still taken (GOAWAY), so its own drain loses none;
//! all clients are told at the same moment. A stream ends with status OK when the drain begins: what was not answered on it
//! was not carried out, and is the client's to send again.
//!
//! ```text
//! cargo run --release --example tonic
//! kill -USR2 <pid>    # replaces it
//! kill -TERM <pid>    # stops it
//! ```

#![expect(clippy::print_stdout, reason = "a program speaks to whoever started it")]

use std::{
    convert::Infallible,
    error::Error,
    future, io,
    net::SocketAddr,
    process::ExitCode,
    task::{Context, Poll},
};

use clap::Parser;
use futures_util::{Stream, stream};
use tokio::net::{TcpListener, TcpStream};
use tokio_hotrestart::{
    Graceful,
    drain::{DrainStream, EndOnDrain, Watch},
};
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    codegen::{BoxFuture, Service, http},
    server::{Grpc, NamedService},
    transport::Server,
};
use tonic_health::{ServingStatus, server::health_reporter};
use tonic_prost::ProstCodec;
use tower::service_fn;

/// A gRPC server that replaces itself: SIGUSR2 restarts, SIGTERM stops.
#[derive(Debug, Parser)]
struct Args {
    /// Where to listen. Port 0 picks a free one, which all later generations keep
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:50051")]
    listen: SocketAddr,
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let args = Args::parse();
    tracing_subscriber::fmt().with_writer(io::stderr).init();

    let graceful = Graceful::new().await?; // picks up what a predecessor passes
    let listener = graceful.listen("grpc", args.listen).await?; // inherited, or bound
    let address = listener.local_addr()?;

    let (mut health, health_service) = health_reporter();
    health.set_serving::<Echo>().await;
    let echo = Echo { generation: graceful.generation(), watch: graceful.watch() };
    let server = Server::builder().add_service(health_service).add_service(echo);
    // Accepting ends by itself, and tonic's drain begins with that. A signal would leave those who wait in the queue.
    let server = server.serve_with_incoming_shutdown(incoming(graceful.clone(), listener), future::pending());
    let server = graceful.spawn(server); // waited for, and at the deadline aborted

    graceful.ready().await?; // confirmed: the predecessor lets go
    println!("ready generation={} pid={} grpc={address}", graceful.generation(), std::process::id());

    graceful.watch().ending().await; // a successor serves, or this is a stop, and perhaps its lame duck
    for service in ["", Echo::NAME] {
        health.set_service_status(service, ServingStatus::NotServing).await;
    }
    graceful.restart_signal().await; // accepting has ended
    for service in ["", Echo::NAME] {
        health.clear_service_status(service).await; // ends the streams of those who watch it
    }
    let report = graceful.drain().await;
    println!("{report}");
    if let Ok(served) = server.await {
        served?;
    }
    Ok(ExitCode::from(report.exit_code()))
}

/// Connections, until accepting ends: at a restart when the successor serves, at a stop when nobody waits any more.
fn incoming(graceful: Graceful, listener: TcpListener) -> impl Stream<Item = io::Result<TcpStream>> {
    stream::unfold((graceful, listener), async |(graceful, mut listener)| {
        let (stream, _) = graceful.accept(&mut listener).await?;
        Some((Ok(stream), (graceful, listener)))
    })
}

/// `rpc Say(Message) returns (Message); rpc Chat(stream Message) returns (stream Message);`
#[derive(Clone)]
struct Echo {
    generation: u64,
    watch: Watch,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Message {
    #[prost(bytes = "vec", tag = "1")]
    content: Vec<u8>,
}

impl Echo {
    async fn say(self, request: Request<Message>) -> Result<Response<Message>, Status> {
        let mut response = Response::new(request.into_inner());
        response.metadata_mut().insert("x-generation", self.generation.into());
        Ok(response)
    }

    async fn chat(
        self,
        request: Request<Streaming<Message>>,
    ) -> Result<Response<EndOnDrain<Streaming<Message>>>, Status> {
        let mut response = Response::new(request.into_inner().end_on_drain(self.watch));
        response.metadata_mut().insert("x-generation", self.generation.into());
        Ok(response)
    }
}

// What follows is as a rule made from a `.proto` file, by tonic-prost-build.

impl NamedService for Echo {
    const NAME: &'static str = "echo.Echo";
}

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let echo = self.clone();
        Box::pin(async move {
            let mut grpc = Grpc::new(ProstCodec::<Message, Message>::default());
            Ok(match request.uri().path() {
                "/echo.Echo/Say" => grpc.unary(service_fn(move |request| echo.clone().say(request)), request).await,
                "/echo.Echo/Chat" => {
                    grpc.streaming(service_fn(move |request| echo.clone().chat(request)), request).await
                }
                _ => Status::unimplemented("there is no such method").into_http(),
            })
        })
    }
}

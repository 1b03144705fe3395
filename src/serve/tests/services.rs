//! Everything that users call a service is one. These are compiled more than they are run.

use std::net::SocketAddr;

use axum::{Router, extract::ConnectInfo, routing};
use tower::{ServiceExt, service_fn as tower_fn};

use super::*;
use crate::serve::{self, With};

/// As `Graceful::serve` has it.
async fn answer_of<S, M>(service: S) -> Answer
where
    S: IntoMake<SocketAddr, M>,
    S::Make: serve::Make<TcpListener>,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let roof = Roof::new();
    let serving = tokio::spawn(roof.serve(listener, service));
    let answer = Client::new(TcpStream::connect(addr).await.unwrap()).get().await;
    serving.abort();
    answer
}

#[tokio::test]
async fn axum_is_served() {
    let app: Router = Router::new().route("/", routing::get(|| async { "hello" }));
    assert_eq!(answer_of(app.clone()).await, kept("hello"));
    assert_eq!(answer_of(app.into_make_service()).await, kept("hello"));
    assert_eq!(answer_of(routing::get(|| async { "hello" })).await, kept("hello"));
    let with_state: Router<&str> = Router::new().route("/", routing::get(axum::extract::State::<&str>::to_string_of));
    assert_eq!(answer_of(with_state.with_state("hello")).await, kept("hello"));
}

trait ToStringOf {
    fn to_string_of(self) -> std::future::Ready<String>;
}

impl ToStringOf for axum::extract::State<&'static str> {
    fn to_string_of(self) -> std::future::Ready<String> {
        std::future::ready(self.0.to_owned())
    }
}

#[tokio::test]
async fn axum_learns_the_peers_address() {
    let app = Router::new()
        .route("/", routing::get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.ip().to_string() }));
    assert_eq!(answer_of(app.into_make_service_with_connect_info::<SocketAddr>()).await, kept("127.0.0.1"));
}

#[tokio::test]
async fn hyper_and_tower_functions_are_served() {
    assert_eq!(answer_of(service_fn(hello)).await, kept("hello"));
    assert_eq!(answer_of(tower_fn(hello)).await, kept("hello"));
    assert_eq!(
        answer_of(service_fn(|_| async { Ok::<_, Infallible>(Response::new("hello".to_owned())) })).await,
        kept("hello")
    );
    assert_eq!(answer_of(tower_fn(hello).map_err(|never| -> io::Error { match never {} })).await, kept("hello"));
    assert_eq!(answer_of(tower_fn(hello).boxed_clone()).await, kept("hello"));
    assert_eq!(answer_of(serve::tower(tower_fn(hello))).await, kept("hello"));
    assert_eq!(answer_of(serve::hyper(service_fn(hello))).await, kept("hello"));
}

#[tokio::test]
async fn a_make_service_that_takes_its_time_is_served() {
    let make = tower_fn(|peer: SocketAddr| async move {
        tokio::task::yield_now().await;
        Ok::<_, Infallible>(service_fn(move |_| async move { reply(peer.ip().to_string()) }))
    });
    assert_eq!(answer_of(make).await, kept("127.0.0.1"));
}

#[tokio::test]
async fn a_closure_sees_the_connection_and_both_addresses() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let roof = Roof::new();
    let make = With::new(|accepted: &serve::Accepted<'_, TcpListener>| {
        assert_eq!(accepted.io().peer_addr().unwrap(), *accepted.peer());
        let said = format!("{} {}", accepted.peer(), accepted.local());
        service_fn(move |_| std::future::ready(reply(said.clone())))
    });
    let _serving = tokio::spawn(Serve::new(listener, with_closure(make), roof.wiring()));
    let client = TcpStream::connect(addr).await.unwrap();
    let said = format!("{} {addr}", client.local_addr().unwrap());
    assert_eq!(Client::new(client).get().await, kept(&said));
}

/// As `Graceful::serve_with` has it, so that inference is tried.
fn with_closure<F, S, M>(with: With<F, M>) -> With<F, M>
where
    F: Fn(&serve::Accepted<'_, TcpListener>) -> S + Send + 'static,
    S: IntoService<M>,
{
    with
}

/// A user's own function, generic over the service.
fn generic<S, B>(
    roof: &Roof,
    listener: TcpListener,
    service: S,
) -> impl Future<Output = io::Result<()>> + Send + Unpin + use<S, B>
where
    S: tower_service::Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send + 'static>
        + Clone
        + Send
        + 'static,
    B: http_body::Body<Data: Send, Error: Into<serve::BoxError>> + Send + 'static,
{
    roof.serve(listener, service)
}

#[tokio::test]
async fn serve_is_send_unpin_and_static_also_in_generic_code() {
    fn check<T: Send + Unpin + 'static>(_: &T) {}
    let roof = Roof::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    check(&generic(&roof, listener, tower_fn(hello)));
    check(&roof.connection(duplex(1).0, service_fn(hello)));
}

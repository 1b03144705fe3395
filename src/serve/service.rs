use ::hyper::body::Incoming;
use http::{Request, Response};
use http_body::Body;

use super::{BoxError, Oneshot};

/// A request handler, whichever `Service` trait it has.
///
/// Implemented for every `tower::Service<Request<Incoming>>` (axum's `Router`, `MethodRouter`, tower-http's stacks,
/// tonic's routes) and every `hyper::service::Service<Request<Incoming>>` (`service_fn`). `M` is a marker that
/// inference finds; never name it.
///
/// A type that is both needs [`tower()`] or [`hyper()`] around it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not handle HTTP requests",
    note = "needed: `tower::Service<Request<Incoming>, Response = Response<B>>` or hyper's `Service`, with `Self: Clone + Send + 'static`, a `Send` future, `Error: Into<Box<dyn Error + Send + Sync>>`",
    note = "`serve::tower(service)` or `serve::hyper(service)` around it makes the compiler say what is missing",
    note = "an `axum::Router<State>` needs `.with_state(state)` first; middleware written for `axum::extract::Request` goes inside the router or under `MapRequestLayer::new(|r: Request<Incoming>| r.map(Body::new))`"
)]
pub trait IntoService<M> {
    /// What it becomes.
    type Service: Handler;

    #[doc(hidden)]
    fn into_service(self) -> Self::Service;
}

/// What answers a connection's requests: [`ByTower`] or [`ByHyper`]. Sealed.
pub trait Handler: sealed::Sealed + Send + 'static {
    /// The body of its responses.
    type Body: Body<Data: Send, Error: Into<BoxError>> + Send + 'static;
    /// Ends the connection.
    type Error: Into<BoxError>;
    /// One answer in the making.
    type Future: Future<Output = Result<Response<Self::Body>, Self::Error>> + Send + 'static;

    #[doc(hidden)]
    fn call(&self, request: Request<Incoming>) -> Self::Future;
}

mod sealed {
    #[allow(unnameable_types, reason = "that is the seal")]
    pub trait Sealed {}
    impl<S> Sealed for super::ByTower<S> {}
    impl<S> Sealed for super::ByHyper<S> {}
}

/// A tower service, as a request handler.
#[derive(Clone, Debug)]
pub struct ByTower<S>(S);

/// A hyper service, as a request handler.
#[derive(Clone, Debug)]
pub struct ByHyper<S>(S);

/// Says that it is tower's trait that counts.
///
/// Not needed where inference succeeds. The bounds are written out, so where it fails the compiler names the one that
/// is not met.
///
/// # Examples
///
/// ```
/// use std::convert::Infallible;
/// use http::{Request, Response};
/// use hyper::body::Incoming;
///
/// async fn hello(_: Request<Incoming>) -> Result<Response<String>, Infallible> {
///     Ok(Response::new("hello".into()))
/// }
/// let service = tokio_hotrestart::serve::tower(tower::service_fn(hello));
/// # let _ = service;
/// ```
pub fn tower<S, B>(service: S) -> ByTower<S>
where
    S: tower_service::Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: Send + 'static>
        + Clone
        + Send
        + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    ByTower(service)
}

/// Says that it is hyper's trait that counts. As [`tower()`], for the other one.
///
/// # Examples
///
/// ```
/// use std::convert::Infallible;
/// use http::{Request, Response};
/// use hyper::{body::Incoming, service::service_fn};
///
/// async fn hello(_: Request<Incoming>) -> Result<Response<String>, Infallible> {
///     Ok(Response::new("hello".into()))
/// }
/// let service = tokio_hotrestart::serve::hyper(service_fn(hello));
/// # let _ = service;
/// ```
pub fn hyper<S, B>(service: S) -> ByHyper<S>
where
    S: ::hyper::service::Service<
            Request<Incoming>,
            Response = Response<B>,
            Error: Into<BoxError>,
            Future: Send + 'static,
        > + Clone
        + Send
        + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    ByHyper(service)
}

impl<S, B> Handler for ByTower<S>
where
    S: tower_service::Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: Send + 'static>
        + Clone
        + Send
        + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    type Body = B;
    type Error = S::Error;
    type Future = Oneshot<S>;

    fn call(&self, request: Request<Incoming>) -> Oneshot<S> {
        // A clone for each request, as axum and hyper-util make it: only a service that nobody else uses may be
        // called once it has said that it is ready.
        Oneshot::new(self.0.clone(), request)
    }
}

impl<S, B> Handler for ByHyper<S>
where
    S: ::hyper::service::Service<
            Request<Incoming>,
            Response = Response<B>,
            Error: Into<BoxError>,
            Future: Send + 'static,
        > + Clone
        + Send
        + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    type Body = B;
    type Error = S::Error;
    type Future = S::Future;

    fn call(&self, request: Request<Incoming>) -> S::Future {
        self.0.call(request)
    }
}

impl<S> IntoService<()> for ByTower<S>
where
    Self: Handler,
{
    type Service = Self;

    fn into_service(self) -> Self {
        self
    }
}

impl<S> IntoService<()> for ByHyper<S>
where
    Self: Handler,
{
    type Service = Self;

    fn into_service(self) -> Self {
        self
    }
}

impl<S, B> IntoService<ByTower<()>> for S
where
    S: tower_service::Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: Send + 'static>
        + Clone
        + Send
        + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    type Service = ByTower<S>;

    fn into_service(self) -> ByTower<S> {
        ByTower(self)
    }
}

impl<S, B> IntoService<ByHyper<()>> for S
where
    S: ::hyper::service::Service<
            Request<Incoming>,
            Response = Response<B>,
            Error: Into<BoxError>,
            Future: Send + 'static,
        > + Clone
        + Send
        + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    type Service = ByHyper<S>;

    fn into_service(self) -> ByHyper<S> {
        ByHyper(self)
    }
}

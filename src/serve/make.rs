use std::{
    convert::Infallible,
    fmt,
    future::Ready,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{ByHyper, ByTower, Handler, IntoService, handshake::Start};
use crate::Listener;

/// A request handler, or what makes one for each connection from the peer's address.
///
/// Implemented for all that is [`IntoService`], and for every `tower::Service<A, Error = Infallible>` whose response
/// is such a service: axum's `into_make_service_with_connect_info::<SocketAddr>()`. `M` is a marker that inference
/// finds; never name it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` serves neither requests nor connections",
    note = "`serve::tower(service)` or `serve::hyper(service)` around it makes the compiler say what is missing; an `axum::Router<State>` needs `.with_state(state)` first",
    note = "a make-service is a `tower::Service<{A}, Error = Infallible>` whose response is such a service"
)]
pub trait IntoMake<A, M> {
    /// What it becomes.
    type Make: Send + 'static;

    #[doc(hidden)]
    fn into_make(self) -> Self::Make;
}

/// What makes the request handler of each connection. Sealed.
pub trait Make<L: Listener>: sealed::Sealed + Send + 'static {
    /// The handler of one connection.
    type Service: Handler;

    #[doc(hidden)]
    type Future: Future<Output = Self::Service> + Send + 'static;

    #[doc(hidden)]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    #[doc(hidden)]
    fn make(
        &mut self,
        io: &L::Io,
        peer: L::Addr,
        local: &L::Addr,
        is_inherited: bool,
    ) -> Start<Self::Service, Self::Future>;
}

mod sealed {
    #[allow(unnameable_types, reason = "that is the seal")]
    pub trait Sealed {}
    impl<S> Sealed for super::ByTower<S> {}
    impl<S> Sealed for super::ByHyper<S> {}
    impl<K, M> Sealed for super::PerConnection<K, M> {}
    impl<F, M> Sealed for super::With<F, M> {}
}

/// A connection as the closure of `serve_with` sees it.
pub struct Accepted<'a, L: Listener> {
    io: &'a L::Io,
    peer: &'a L::Addr,
    local: &'a L::Addr,
    is_inherited: bool,
}

impl<'a, L: Listener> Accepted<'a, L> {
    /// The connection, before any handshake: for `peer_cred`, socket options, its own local address.
    pub fn io(&self) -> &'a L::Io {
        self.io
    }

    /// Where it comes from.
    pub fn peer(&self) -> &'a L::Addr {
        self.peer
    }

    /// Where the listener listens.
    pub fn local(&self) -> &'a L::Addr {
        self.local
    }

    /// Whether it was accepted by a predecessor, which has served requests on it and handed it over.
    ///
    /// What the application knew of it there (who has logged in on it, say) is not known here.
    pub fn is_inherited(&self) -> bool {
        self.is_inherited
    }
}

impl<L: Listener> fmt::Debug for Accepted<'_, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepted").finish_non_exhaustive()
    }
}

/// A tower make-service, called with the peer's address.
pub struct PerConnection<K, M>(K, PhantomData<fn() -> M>);

/// A closure that sees all of a connection, see `Graceful::serve_with`.
pub struct With<F, M>(F, PhantomData<fn() -> M>);

impl<F, M> With<F, M> {
    pub(crate) fn new(make: F) -> Self {
        Self(make, PhantomData)
    }
}

impl<K: fmt::Debug, M> fmt::Debug for PerConnection<K, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PerConnection").field(&self.0).finish()
    }
}

impl<F, M> fmt::Debug for With<F, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("With").finish_non_exhaustive()
    }
}

impl<A, S, M> IntoMake<A, (M,)> for S
where
    S: IntoService<M>,
{
    type Make = S::Service;

    fn into_make(self) -> S::Service {
        self.into_service()
    }
}

impl<A, K, S, M: 'static> IntoMake<A, PerConnection<(), M>> for K
where
    K: tower_service::Service<A, Response = S, Error = Infallible, Future: Send + 'static> + Send + 'static,
    S: IntoService<M>,
{
    type Make = PerConnection<K, M>;

    fn into_make(self) -> PerConnection<K, M> {
        PerConnection(self, PhantomData)
    }
}

impl<L: Listener, S: Clone> Make<L> for ByTower<S>
where
    Self: Handler,
{
    type Service = Self;
    type Future = Ready<Self>;

    fn make(&mut self, _: &L::Io, _: L::Addr, _: &L::Addr, _: bool) -> Start<Self, Ready<Self>> {
        Start::Done(self.clone())
    }
}

impl<L: Listener, S: Clone> Make<L> for ByHyper<S>
where
    Self: Handler,
{
    type Service = Self;
    type Future = Ready<Self>;

    fn make(&mut self, _: &L::Io, _: L::Addr, _: &L::Addr, _: bool) -> Start<Self, Ready<Self>> {
        Start::Done(self.clone())
    }
}

impl<L, F, S, M: 'static> Make<L> for With<F, M>
where
    L: Listener,
    F: Fn(&Accepted<'_, L>) -> S + Send + 'static,
    S: IntoService<M>,
{
    type Service = S::Service;
    type Future = Ready<S::Service>;

    fn make(
        &mut self,
        io: &L::Io,
        peer: L::Addr,
        local: &L::Addr,
        is_inherited: bool,
    ) -> Start<S::Service, Self::Future> {
        Start::Done((self.0)(&Accepted { io, peer: &peer, local, is_inherited }).into_service())
    }
}

impl<L, K, S, M: 'static> Make<L> for PerConnection<K, M>
where
    L: Listener,
    K: tower_service::Service<L::Addr, Response = S, Error = Infallible, Future: Send + 'static> + Send + 'static,
    S: IntoService<M>,
{
    type Service = S::Service;
    type Future = Making<K::Future, M>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_ready(cx).map(infallible)
    }

    fn make(&mut self, _: &L::Io, peer: L::Addr, _: &L::Addr, _: bool) -> Start<S::Service, Self::Future> {
        Start::Running(Making { future: self.0.call(peer), marker: PhantomData })
    }
}

pin_project! {
    /// A make-service at work.
    #[doc(hidden)]
    #[allow(missing_debug_implementations)]
    pub struct Making<F, M> {
        #[pin]
        future: F,
        marker: PhantomData<fn() -> M>,
    }
}

impl<F, S, M> Future for Making<F, M>
where
    F: Future<Output = Result<S, Infallible>>,
    S: IntoService<M>,
{
    type Output = S::Service;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<S::Service> {
        Poll::Ready(infallible(ready!(self.project().future.poll(cx))).into_service())
    }
}

fn infallible<T>(result: Result<T, Infallible>) -> T {
    match result {
        Ok(value) => value,
        Err(never) => match never {},
    }
}

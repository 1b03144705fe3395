//! The handle's way to `serve`: it gives each what it needs to know of this generation, and no more.

use super::Graceful;
use crate::{
    Listener,
    serve::{Accepted, Connection, IntoMake, IntoService, Io, Serve, Wiring, With},
};

impl Graceful {
    /// Serves HTTP until the drain has ended *its* connections.
    ///
    /// `service` is any of: axum's `Router`, a `tower::Service<Request<Incoming>>`, a
    /// `hyper::service::Service<Request<Incoming>>` (`service_fn`), or a make-service called with the peer's address
    /// (`into_make_service_with_connect_info::<SocketAddr>()`).
    ///
    /// The listener is registered by this call, so [`ready`](Self::ready) may follow before the future is first polled.
    /// It accepts once this generation is confirmed. From this call on a predecessor may hand connections over to it, after
    /// [`ready`](Self::ready): some of them wait until it is polled and its make-service is ready, the others stay there.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tokio_hotrestart::Error> {
    /// use std::net::SocketAddr;
    /// use axum::{Router, extract::ConnectInfo, routing::get};
    ///
    /// # let graceful = tokio_hotrestart::Graceful::detached();
    /// let app = Router::new().route("/", get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() }));
    /// let listener = graceful.listen("http", "127.0.0.1:0").await?;
    /// tokio::spawn(graceful.serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()));
    /// graceful.ready().await?;
    /// # graceful.drain().await; Ok(()) }
    /// ```
    pub fn serve<L, S, M>(&self, listener: L, service: S) -> Serve<L, S::Make>
    where
        L: Listener,
        S: IntoMake<L::Addr, M>,
    {
        let wiring = self.wiring(&listener);
        Serve::new(listener, service.into_make(), wiring)
    }

    /// The same, with a service made for each connection by a closure that sees all of it.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::convert::Infallible;
    /// use http::{Request, Response};
    /// use hyper::{body::Incoming, service::service_fn};
    ///
    /// # let place = tempfile::tempdir()?; let path = place.path().join("s");
    /// # let graceful = tokio_hotrestart::Graceful::detached();
    /// let listener = graceful.listen_unix("admin", path).await?;
    /// let serve = graceful.serve_with(listener, |connection| {
    ///     let user = connection.io().peer_cred().map(|credentials| credentials.uid()).ok();
    ///     service_fn(move |_: Request<Incoming>| {
    ///         let answer = format!("{user:?}");
    ///         async move { Ok::<_, Infallible>(Response::new(answer)) }
    ///     })
    /// });
    /// tokio::spawn(serve);
    /// # graceful.drain().await; Ok(()) }
    /// ```
    pub fn serve_with<L, F, S, M>(&self, listener: L, make: F) -> Serve<L, With<F, M>>
    where
        L: Listener,
        F: Fn(&Accepted<'_, L>) -> S + Send + 'static,
        S: IntoService<M>,
    {
        let wiring = self.wiring(&listener);
        Serve::new(listener, With::new(make), wiring)
    }

    /// One connection of an accept loop of your own: TLS, an in-memory pair in a test. It is counted from here; with
    /// [`Connection::guard`] from earlier.
    ///
    /// # Examples
    ///
    /// At [`Connection`].
    pub fn serve_connection<T, S, M>(&self, io: T, service: S) -> Connection<T, S::Service>
    where
        T: Io,
        S: IntoService<M>,
    {
        Connection::new(io, service.into_service(), self.watch(), self.tracker().guard())
    }

    fn wiring(&self, listener: &impl Listener) -> Wiring {
        Wiring {
            watch: self.watch(),
            tracker: self.tracker().clone(),
            gate: self.shared.gate.at_gate(),
            name: self.name_of(listener),
            failed: self.shared.failed.clone(),
            last: self.shared.drain.last(),
            last_names: self.shared.last_names.clone(),
            exit: self.shared.exit.clone(),
            entrances: self.shared.entrances.clone(),
        }
    }
}

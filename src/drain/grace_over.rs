use super::{Level, Watch};

impl Watch {
    /// Waits until the grace is over: when a server of another crate may end its idle connections.
    ///
    /// That is the signal for the graceful shutdown of `axum::serve`, hyper-util or axum-server, which ends an idle HTTP/1
    /// connection at once, and loses the request that is on its way to it. Until then the clients are told with their
    /// responses (`Graceful::layer`). Accepting has to end before, when the drain begins: `Graceful::accept` does.
    ///
    /// A drain that has nothing left to wait for ends sooner, and its grace with it.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only waits.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tokio_hotrestart::Error> {
    /// use axum::{Router, routing::get};
    /// use hyper_util::{
    ///     rt::{TokioExecutor, TokioIo},
    ///     server::{conn::auto::Builder, graceful::GracefulShutdown},
    ///     service::TowerToHyperService,
    /// };
    /// use tokio_hotrestart::Graceful;
    ///
    /// let graceful = Graceful::new().await?;
    /// let mut listener = graceful.listen("http", "127.0.0.1:8080").await?;
    /// let app = Router::new().route("/", get(|| async { "hello" })).layer(graceful.layer());
    /// graceful.ready().await?;
    ///
    /// let (builder, connections) = (Builder::new(TokioExecutor::new()), GracefulShutdown::new());
    /// while let Some((stream, _)) = graceful.accept(&mut listener).await {
    ///     let io = TokioIo::new(graceful.tracker().track(stream)); // the drain waits for it
    ///     let connection = builder.serve_connection(io, TowerToHyperService::new(app.clone())).into_owned();
    ///     tokio::spawn(connections.watch(connection));
    /// }
    /// drop(listener); // nobody waits in it any more
    ///
    /// let idle_may_go = graceful.watch().grace_over();
    /// tokio::spawn(async move {
    ///     idle_may_go.await;
    ///     connections.shutdown().await;
    /// });
    /// println!("{}", graceful.drain().await);
    /// # Ok(()) }
    /// ```
    ///
    /// `examples/axum_serve.rs`, `axum_server.rs` and `hyper_util.rs` show it whole.
    pub fn grace_over(&self) -> impl Future<Output = ()> + Send + use<> {
        let watch = self.clone();
        async move { watch.reached(Level::GraceOver).await }
    }
}

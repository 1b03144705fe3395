use super::{Level, Watch};

impl Watch {
    /// Waits until the grace is over: when a server of another crate may end its idle connections.
    ///
    /// That is the signal for the graceful shutdown of `axum::serve`, hyper-util or axum-server, which ends an idle HTTP/1
    /// connection at once, and loses the request that is on its way to it. Until then the clients are told with their
    /// responses (`Graceful::layer`). Accepting has to end before, with [`draining`](Self::draining).
    ///
    /// A drain that has nothing left to wait for ends sooner, and then the grace is never over.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only waits.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
    /// use axum::Router;
    /// use tokio_hotrestart::Graceful;
    ///
    /// # let (graceful, listener) = (Graceful::detached(), tokio::net::TcpListener::bind("127.0.0.1:0").await?);
    /// # let app: Router = Router::new();
    /// let idle_may_go = graceful.watch().grace_over();
    /// axum::serve(listener, app).with_graceful_shutdown(idle_may_go).await
    /// # }
    /// ```
    pub fn grace_over(&self) -> impl Future<Output = ()> + Send + use<> {
        let watch = self.clone();
        async move { watch.reached(Level::GraceOver).await }
    }
}

//! The handle's way to `layer`.

use super::Graceful;
use crate::layer::DrainLayer;

impl Graceful {
    /// Tower middleware whose requests the drain waits for: for axum's `Router::layer`, tonic, `ServiceBuilder`.
    ///
    /// What it does, and what it is for, stands at [`layer`](crate::layer).
    ///
    /// # Examples
    ///
    /// ```
    /// use axum::{Router, routing::get};
    /// use tokio_hotrestart::Graceful;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let graceful = Graceful::detached();
    /// let app: Router = Router::new().route("/", get(|| async { "hello" })).layer(graceful.layer());
    /// # let _ = app;
    /// # }
    /// ```
    pub fn layer(&self) -> DrainLayer {
        DrainLayer::counted_by(self.tracker().clone())
    }
}

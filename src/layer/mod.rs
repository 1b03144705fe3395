//! The drain as tower middleware: for servers whose connections are not ours.
//!
//! Under `axum::serve`, tonic or hyper-util, [`DrainLayer`] knows what the server does not say: which requests are in
//! flight. The drain waits for these, and their clients are told in time to go elsewhere. It
//!
//! - counts each request, from its call until the end of its response's body;
//! - marks HTTP/1 responses `connection: close` while the generation ends. The chance of it grows with time, from none at
//!   the beginning to all at the end of the lame duck, or of the grace where there is none, so that clients do not come back
//!   all at once. HTTP/2 has no such word: its GOAWAY is the server's to send;
//! - puts the [`Watch`](crate::drain::Watch) into the request's extensions, for handlers that take long;
//! - refuses nothing, unless it is asked to: [`DrainLayer::refuse_late`].
//!
//! Connections of `Graceful::serve` are counted and told by themselves. There the layer is needed
//! for the watch in the extensions alone, and what it counts is in the report beside the connections.
//!
//! What the layer cannot know is when the last bytes of a response have left the server's buffers, nor can it let an idle
//! connection go. So the server's own graceful shutdown is still needed, and the drain waits for that too:
//!
//! ```no_run
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tokio_hotrestart::Error> {
//! use std::future::IntoFuture;
//! use axum::{Router, routing::get};
//! use tokio_hotrestart::Graceful;
//!
//! let graceful = Graceful::new().await?;
//! let listener = graceful.listen("http", "127.0.0.1:8080").await?;
//! let app = Router::new().route("/", get(|| async { "hello" })).layer(graceful.layer());
//! graceful.ready().await?;
//! let ended = graceful.token().cancelled_owned();
//! graceful.spawn(axum::serve(listener, app).with_graceful_shutdown(ended).into_future());
//! graceful.restart_signal().await;
//! println!("{}", graceful.drain().await);
//! # Ok(()) }
//! ```
//!
//! # The watch in a handler
//!
//! From `request.extensions()`, or with the feature `axum` as an extractor:
//!
#![cfg_attr(feature = "axum", doc = "```")]
#![cfg_attr(not(feature = "axum"), doc = "```ignore")]
//! use axum::{Router, routing::get};
//! use tokio_hotrestart::{Graceful, drain::Watch};
//!
//! async fn poll(watch: Watch) -> String {
//!     tokio::select! {
//!         cause = watch.draining() => format!("ask again: {cause}"),
//!         news = next_news() => news,
//!     }
//! }
//! # async fn next_news() -> String { std::future::pending().await }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! # let graceful = Graceful::detached();
//! let app: Router = Router::new().route("/poll", get(poll)).layer(graceful.layer());
//! # let _ = app; }
//! ```

mod body;
#[cfg(feature = "axum")]
mod extract;
mod future;
#[allow(clippy::module_inception, reason = "one noun per file, and tower's folders are laid out like this")]
mod layer;
mod service;

pub use body::DrainBody;
#[cfg(feature = "axum")]
pub use extract::NoWatch;
pub use future::DrainFuture;
pub use layer::DrainLayer;
pub use service::DrainService;

#[cfg(test)]
mod tests;

//! The drain as tower middleware: for servers whose connections are not ours.
//!
//! Under `axum::serve`, tonic or hyper-util, [`DrainLayer`] knows what the server does not say: which requests are in
//! flight. The drain waits for these, and their clients are told in time to go elsewhere. It
//!
//! - counts each request, from its call until the end of its response's body;
//! - marks HTTP/1 responses `connection: close` while the generation ends. The chance of it grows with time, from none at
//!   the beginning to all at the end of the lame duck, or of the grace where there is none, so that clients do not come back
//!   all at once. It is a chance of each response, for the layer does not know connections: a client that asks often hears
//!   it early. HTTP/2 has no such word: its GOAWAY is the server's to send;
//! - puts the [`Watch`](crate::drain::Watch) into the request's extensions, for handlers that take long;
//! - refuses nothing, unless it is asked to: [`DrainLayer::refuse_late`].
//!
//! Connections of `Graceful::serve` are counted and told by themselves, and are better off without the layer. Under it each
//! response has a chance to end its connection, whose own turn means nothing then; each request counts beside its
//! connection; and what is last to close is told with all others. Handlers that want the watch there get it by
//! `Extension(graceful.watch())`, in axum's words.
//!
//! What the layer cannot know is when the last bytes of a response have left the server's buffers, nor can it let an idle
//! connection go. So the server's own graceful shutdown is still needed, but not before the grace is over, for it ends idle
//! connections at once; and until then a listener of yours has to end accepting, and to have each connection waited for:
//!
//! ```no_run
//! use std::{future::{self, IntoFuture}, io, net::SocketAddr};
//! use axum::{Router, routing::get, serve::Listener};
//! use tokio::net::{TcpListener, TcpStream};
//! use tokio_hotrestart::{Graceful, Guard, Tracked};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), tokio_hotrestart::Error> {
//!     let graceful = Graceful::new().await?;
//!     let listener = graceful.listen("http", "127.0.0.1:8080").await?;
//!     let address = listener.local_addr().expect("a socket that is open has one");
//!     let open = Some((listener, graceful.tracker().guard()));
//!     let incoming = Incoming { graceful: graceful.clone(), address, open };
//!
//!     let app = Router::new().route("/", get(|| async { "hello" })).layer(graceful.layer());
//!     let idle_may_go = graceful.watch().grace_over();
//!     tokio::spawn(axum::serve(incoming, app).with_graceful_shutdown(idle_may_go).into_future());
//!     graceful.ready().await?;
//!     graceful.restart_signal().await;
//!     println!("{}", graceful.drain().await);
//!     Ok(())
//! }
//!
//! /// Accepts while this generation does. The drain waits for it, and then for each of its connections.
//! struct Incoming {
//!     graceful: Graceful,
//!     address: SocketAddr,
//!     open: Option<(TcpListener, Guard)>,
//! }
//!
//! impl Listener for Incoming {
//!     type Io = Tracked<TcpStream>;
//!     type Addr = SocketAddr;
//!
//!     async fn accept(&mut self) -> (Self::Io, SocketAddr) {
//!         if let Some((listener, _)) = &mut self.open {
//!             if let Some((stream, peer)) = self.graceful.accept(listener).await {
//!                 return (self.graceful.tracker().track(stream), peer);
//!             }
//!             self.open = None;
//!         }
//!         future::pending().await
//!     }
//!
//!     fn local_addr(&self) -> io::Result<SocketAddr> {
//!         Ok(self.address)
//!     }
//! }
//! ```
//!
//! That is `examples/axum_serve.rs`, and all of it is needed: of 19,000 requests in ten restarts under 38 clients
//! `with_graceful_shutdown(graceful.token().cancelled_owned())` over a plain listener lost 53, with the layer 14, with the
//! layer and [`grace_over`](crate::drain::Watch::grace_over) 1, and this none.
//!
//! # The watch in a handler
//!
//! From `request.extensions()`, or with the feature `axum` as an extractor, for which this layer has to be there (or
//! `axum::Extension(graceful.watch())`, where `Graceful::serve` counts and tells):
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

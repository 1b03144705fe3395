//! HTTP over hyper: connections that know of the drain.
//!
//! [`Serve`] accepts from a [`Listener`](crate::Listener) and runs a [`Connection`] for each that it gets, in a task
//! of its own. A connection is hyper's, held by value in a future that adds what hyper does not have:
//!
//! - while the generation ends, HTTP/1 responses say `connection: close`, and HTTP/2 gets its GOAWAY: by turns, so that
//!   not all clients come back at once;
//! - idle connections are let go by turns over the grace, when they have been quiet for a while, and only after a last look
//!   at the socket;
//! - a connection ends in three steps, so that no answer is destroyed by a reset;
//! - a *head deadline* from the first byte of a request head, an *idle deadline* apart from it;
//! - a WebSocket counts until its socket is closed, and is cut at the drain's deadline, or when its
//!   [`Policy`](crate::drain::Policy) says; so is an answer of unknown length;
//! - a `serve` that is last to close answers until everything else is over;
//! - at a restart HTTP/1 connections move to the successor between two requests, see [`HandOver`].
//!
//! Services get `Request<hyper::body::Incoming>`, hyper's own type.
//!
//! # Middleware written for axum
//!
//! `axum::serve` passes `Request<axum::body::Body>`. Middleware that insists on it goes inside the `Router`, or under
//! `MapRequestLayer::new(|request: Request<Incoming>| request.map(Body::new))`.

mod accepting;
mod clock;
mod connection;
#[cfg(feature = "http2")]
mod counted;
mod downcast;
mod due;
mod ends;
mod farewell;
mod hand_over;
mod handshake;
mod head_timer;
mod herald;
mod http1;
#[cfg(feature = "http2")]
mod http2;
mod intake;
mod leaving;
mod link;
mod make;
mod oneshot;
mod phase;
mod policy;
mod server;
mod service;
mod settings;
mod slots;
mod sniff;
mod socket;
#[cfg(feature = "http2")]
mod terms;
mod transport;

pub use connection::Connection;
pub use downcast::downcast;
pub use hand_over::HandOver;
#[doc(hidden)]
pub use handshake::Start;
pub use handshake::{Handshake, Plain};
#[cfg(feature = "http2")]
pub use http2::Executor;
pub use make::{Accepted, IntoMake, Make, PerConnection, With};
#[doc(hidden)]
pub use oneshot::Oneshot;
pub use server::Serve;
pub(crate) use server::Wiring;
pub use service::{ByHyper, ByTower, Handler, IntoService, hyper, tower};
pub use transport::Io;

/// What a service, a body or a make-service may fail with: anything that can be printed.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[cfg(test)]
mod tests;

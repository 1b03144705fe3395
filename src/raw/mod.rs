//! Live connections of an application's own: from this generation to the next, and from the one before.
//!
//! `serve` hands its HTTP/1 connections over by itself. What speaks another protocol, over TCP or a Unix socket or after an
//! upgrade (`serve::downcast`), only its owner can hand over, because only the owner knows what belongs to it beside the
//! socket: what was read and not yet used, who has logged in. So the owner stops at a moment of its choice, gives the socket
//! and these bytes away (`Graceful::hand_over`), and gets both back, whole, where they are refused. In the successor, whoever
//! asks for the protocol (`Graceful::inherited`) goes on from there. The client notices nothing.
//!
//! # The four steps
//!
//! 1. The successor asks for the protocol before it is `ready`. What nobody has asked for within the
//!    `unclaimed_deadline` of its builder goes back.
//! 2. In the predecessor the drain begins, because it is replaced
//!    ([`Cause::is_replaced`](crate::Cause::is_replaced)). Each connection comes to a moment at which it can be described:
//!    nothing half written, what was read ahead in a buffer.
//! 3. `hand_over`. From its call on nobody here reads or writes: each byte is read by one process and only one.
//! 4. In the successor [`Inherited::next`] gives the [`Arrival`].
//!
//! # Examples
//!
//! A connection of a line protocol, with what has been read of its next line. What is refused is served on here, until the
//! drain's deadline:
//!
//! ```no_run
//! use tokio::net::TcpStream;
//! use tokio_hotrestart::{Graceful, Tracked, raw::NotHandedOver};
//!
//! # async fn serve(_: Tracked<TcpStream>, _: Vec<u8>) {}
//! /// In the generation that ends.
//! async fn leave(graceful: Graceful, stream: Tracked<TcpStream>, half_a_line: Vec<u8>) {
//!     match graceful.hand_over(stream, "lines", half_a_line).await {
//!         Ok(()) => {}
//!         Err(NotHandedOver::Back { stream, state, why }) => {
//!             eprintln!("served on here: {why}");
//!             serve(stream, state).await;
//!         }
//!         Err(lost) => eprintln!("{lost}"),
//!     }
//! }
//!
//! /// In the next one.
//! async fn arrive(graceful: Graceful) -> Result<(), tokio_hotrestart::Error> {
//!     let mut inherited = graceful.inherited("lines")?;
//!     graceful.ready().await?;
//!     while let Some(arrival) = inherited.next().await {
//!         if let Ok((stream, half_a_line)) = arrival.into_tcp() {
//!             tokio::spawn(serve(stream, half_a_line));
//!         }
//!     }
//!     Ok(())
//! }
//! ```
//!
//! Each arrival counts by itself. Whoever gives the loop of `arrive` a task takes one that does not, a plain
//! `tokio::spawn`: see `Graceful::inherited`.

mod arrival;
mod inherited;
mod leave;
mod not_handed_over;
mod stream;

pub use arrival::Arrival;
pub use inherited::Inherited;
pub(crate) use leave::leave;
pub use not_handed_over::NotHandedOver;
pub use stream::Stream;

use crate::drain::{Outcome, Why};

/// What is reported of a connection that is this process's, and that its reactor does not take or give.
const LOST: Outcome = Outcome::Cut(Why::Undecided);

#[cfg(test)]
mod tests;

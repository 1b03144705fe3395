//! Accepting: when, from what, and past the errors that `accept(2)` is full of.
//!
//! A [`Gate`] says whether this generation accepts; an [`Acceptor`] owns a [`Listener`] and obeys. While the gate is
//! shut, because another generation accepts from the same open socket, the listener is out of the reactor: else each
//! connection would wake both processes. Sockets of datagrams obey the same gate: each datagram is one generation's.

mod acceptor;
mod datagram;
mod errors;
mod gate;
mod gatekeeper;
mod listener;
mod turns;

pub(crate) use acceptor::{Acceptor, accept_from};
pub use datagram::Datagram;
pub(crate) use datagram::receive_from;
pub(crate) use gate::{Ending, Gate, Rank};
pub(crate) use gatekeeper::{AtGate, Gatekeeper};
pub use listener::{Listener, Parked};

#[cfg(test)]
mod tests;

//! The stairwell: a Unix stream socket that carries wire messages and their descriptors.

#[allow(clippy::module_inception, reason = "the room has the name of its one noun")]
mod channel;
mod errors;
mod outbox;
mod outgoing;
mod read;
mod step;
#[cfg(test)]
mod tests;

pub(crate) use channel::Channel;
pub(crate) use outgoing::Settled;
pub(crate) use step::{Received, Step};

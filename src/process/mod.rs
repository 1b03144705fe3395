//! The two ends of a restart: the program that is spawned, and the channel between it and this process.
//!
//! `successor.rs` and `predecessor.rs` are the same channel seen from its two ends. Both only translate: messages and
//! deaths into events of `phase`. Neither decides anything.

mod body;
mod conversation;
mod delivery;
mod handoff;
mod introduction;
mod last_words;
mod lingering;
mod notice;
mod notices;
mod predecessor;
mod program;
mod refuser;
mod reply;
mod successor;
#[cfg(test)]
mod tests;

pub(crate) use body::DEATH;
pub(crate) use delivery::Delivery;
pub use handoff::scrub;
pub(crate) use introduction::{Inheritance, Introduction, take_over};
pub(crate) use last_words::Borrowed;
pub(crate) use lingering::Lingering;
#[cfg(any(test, hotrestart_fuzzing))]
pub(crate) use notice::{Said, said};
pub(crate) use predecessor::Predecessor;
pub(crate) use program::Program;
pub(crate) use refuser::Refuser;
pub(crate) use reply::Reply;
pub(crate) use successor::{Legacy, Successor};

/// Names the successor's channel: `<descriptor>:<inode>`. It is only ever set in a spawn's copy of the environment.
const VARIABLE: &str = "TOKIO_HOTRESTART_CHANNEL";

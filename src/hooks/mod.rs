//! What an application does at a moment of a restart or of an end: ordered, each by its deadline, and nothing of it is
//! lost in silence.
//!
//! | moment | in | if it fails |
//! |---|---|---|
//! | [`before_spawn`](Hook::before_spawn) | the predecessor, before a successor is spawned or welcomed | the restart is refused |
//! | [`before_commit`](Hook::before_commit) | the predecessor, between the successor's READY and its own COMMIT | the restart fails, and what was begun is undone |
//! | [`after_predecessor`](Hook::after_predecessor) | the successor, once its predecessor has ended | it is logged, and in the report |
//! | [`at_exit`](Hook::at_exit) | any generation, when everything has been drained | it is logged, and in the report |
//!
//! Hooks of one moment run one after the other, in the order in which they were registered by `Graceful::hook`; undos run
//! the other way round. A panic in a hook is caught, and is its failure.

mod call;
mod hook;
mod list;
mod running;

pub use hook::Hook;
pub(crate) use hook::Moment;
pub(crate) use list::Hooks;
pub(crate) use running::{Outcome, Running};

#[cfg(test)]
mod tests;

//! The life of a process: what has happened and what follows, as one pure function. No tokio, no clock, no descriptor.
//!
//! [`Phase::on`] takes a phase and an [`Event`] to the next phase and a list of [`Action`]s. All races are here: who
//! dies first, which deadline comes before which message. The loop in `graceful` carries the actions out; each
//! action's end is again an event.
//!
//! # Invariants
//!
//! 1. A successor accepts nobody before COMMIT, or before it knows that its predecessor is dead.
//! 2. Only the predecessor decides between COMMIT and ABORT; its death decides for the successor.
//! 3. Nothing irrevocable ([`Action::NameSuccessor`], [`Action::LetGo`]) happens before the probation is over.
//! 4. Whoever asked for a restart is answered, once.
//! 5. A failed successor is seen dead before the next is spawned, unless it leaves by itself (STOPPING).
//! 6. What was given up for a successor is taken back when that one has failed, before its failure is told; unless this
//!    generation ends.

mod action;
mod ending;
mod event;
mod living;
mod reason;
mod restart;
mod step;
#[cfg(test)]
mod tests;

pub(crate) use action::Action;
pub(crate) use event::Event;
#[cfg(test)]
use step::Heir;
pub(crate) use step::Phase;
use step::Step;

//! Whoever waits for the outcome of a restart.

use tokio::sync::oneshot;

use crate::{Error, Successor, control::Visitor, wire::Answer};

#[derive(Debug)]
pub(super) enum Asker {
    /// `Graceful::restart`.
    Method(oneshot::Sender<Result<Successor, Error>>),
    /// An operator at the control path.
    Visitor(Visitor),
}

impl Asker {
    pub(super) fn answer(self, outcome: Result<Successor, Error>) {
        match self {
            // Whoever dropped the future has called nothing off.
            Self::Method(asker) => drop(asker.send(outcome)),
            Self::Visitor(visitor) => visitor.answer(outcome.map_or_else(Answer::Failed, Answer::Replaced)),
        }
    }
}

//! The phases, and the one function between them; what each does at an event stands in `living`, `restart` and `ending`.

use super::{
    Action, Event,
    ending::{afterwards, draining, lame_duck, withdrawing},
    living::{confirming, on_probation, serving, starting},
    restart::{burying, restarting, undoing},
};
use crate::{
    Error,
    generation::{Cause, State},
};

/// Where a process is in its life. `restart`: a restart is wanted as soon as one is possible.
#[derive(Clone, Debug)]
pub(crate) enum Phase {
    /// Before `ready()`. With a predecessor the gate is shut.
    Starting {
        predecessor: bool,
        restart: bool,
    },
    /// READY is said, COMMIT awaited.
    Confirming {
        restart: bool,
    },
    /// It serves, but the predecessor may still take it back: its own restart has to wait.
    OnProbation {
        restart: bool,
    },
    Serving,
    /// A successor is on its way.
    Restarting(Step),
    /// A failed successor is seen dead, and then its failure is told. Not killed: it has its time to end by itself, so
    /// that its own status and last words are seen. `released`: something was given up for it.
    Burying {
        error: Error,
        killed: bool,
        released: bool,
    },
    /// It serves again, and takes back what it had given up for a successor that is dead.
    Undoing {
        error: Error,
    },
    /// A stop is certain, and clients are still accepted.
    LameDuck {
        cause: Cause,
        stops: u8,
    },
    /// A stop is certain; accepting ends as soon as the supervisor has given back what it holds of it.
    Withdrawing {
        cause: Cause,
        stops: u8,
    },
    /// Accepted work is finished by a deadline. `stops`: how often a stop was asked for here.
    Draining {
        heir: Heir,
        stops: u8,
    },
    Done,
}

/// How far the successor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// Hooks are asked, and state is collected. `met`: for one that waits at the control path.
    Preparing {
        met: bool,
    },
    Spawning,
    /// HELLO and the sockets are on their way; ACCEPTED is awaited.
    Introducing,
    /// READY is awaited.
    Awaiting,
    /// It is ready, and what only one process may have is given up.
    Releasing,
    /// It serves, this process does not, and nothing irrevocable has happened.
    Probation,
    /// It has closed its channel before it was confirmed, and may be about to end: with which status? `released`: something
    /// was given up for it.
    Closing {
        released: bool,
    },
    /// The same in its probation. This process serves again.
    Dying,
    /// Its probation is over, and the supervisor is told its name: from here nothing is taken back.
    Naming,
}

/// Who serves while this process drains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Heir {
    /// Nobody of ours: a stop.
    Nobody,
    /// The successor, and its end would be a loss.
    Successor,
    /// The successor was lost, was replaced in its turn, or was told to stop: its end is no news.
    Settled,
}

impl Step {
    /// Whether something was given up for this successor, which must be taken back if it fails.
    pub(super) fn has_released(self) -> bool {
        matches!(self, Self::Releasing | Self::Probation | Self::Dying | Self::Closing { released: true })
    }

    /// What the successor has not come to.
    pub(super) fn goal(self) -> &'static str {
        if self.has_released() { "confirmed" } else { "ready" }
    }

    pub(super) fn buries(self, error: Error) -> Phase {
        Phase::Burying { error, killed: false, released: self.has_released() }
    }
}

impl Phase {
    /// The phase of a process that has just begun.
    pub(crate) fn first(predecessor: bool) -> Self {
        Self::Starting { predecessor, restart: false }
    }

    /// What the application is told of it.
    pub(crate) fn state(&self) -> State {
        match self {
            Self::Starting { .. } | Self::Confirming { .. } => State::Starting,
            Self::OnProbation { .. } | Self::Serving => State::Ready,
            Self::Restarting(_) | Self::Burying { .. } | Self::Undoing { .. } => State::Restarting,
            Self::LameDuck { .. } => State::LameDuck,
            Self::Withdrawing { .. } | Self::Draining { .. } => State::Draining,
            Self::Done => State::Done,
        }
    }

    /// Its end is all well as long as its successor lives, which may be lost yet.
    pub(crate) fn relies_on_successor(&self) -> bool {
        matches!(self, Self::Draining { heir: Heir::Successor, .. })
    }

    /// What follows from `event`. Total: an event that means nothing here leaves everything as it is.
    pub(crate) fn on(self, event: Event) -> (Self, Vec<Action>) {
        match self {
            Self::Starting { predecessor, restart } => starting(predecessor, restart, event),
            Self::Confirming { restart } => confirming(restart, event),
            Self::OnProbation { restart } => on_probation(restart, event),
            Self::Serving => serving(event),
            Self::Restarting(step) => restarting(step, event),
            Self::Burying { error, killed, released } => burying(error, killed, released, event),
            Self::Undoing { error } => undoing(error, event),
            Self::LameDuck { cause, stops } => lame_duck(cause, stops, event),
            Self::Withdrawing { cause, stops } => withdrawing(cause, stops, event),
            Self::Draining { heir, stops } => draining(heir, stops, event),
            Self::Done => (Self::Done, afterwards(event)),
        }
    }
}

pub(super) type Next = (Phase, Vec<Action>);

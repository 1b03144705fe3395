//! Plain data about a process in the chain: who follows it, why it ends, how far it is.

use std::fmt;

use tokio::signal::unix::SignalKind;

use crate::Error;

/// Why this generation's work is over. Only the crate makes one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Cause {
    /// A successor serves: everything that arrives from now on is its work.
    #[non_exhaustive]
    Replaced {
        /// The generation that took over.
        by: Successor,
    },
    /// Somebody asked for an end without a successor.
    #[non_exhaustive]
    Stopped {
        /// The signal that asked, or `None` where a method or the predecessor did.
        by: Option<SignalKind>,
    },
    /// The predecessor took the restart back, and serves on: this generation's work is over before it was alone.
    #[non_exhaustive]
    TakenBack {
        /// What the predecessor said.
        why: String,
    },
    /// A `serve` can never accept again, so this generation stops rather than stay up and deaf.
    #[non_exhaustive]
    Failed {
        /// What the listener said.
        why: Error,
    },
}

impl Cause {
    /// Whether another generation serves on, so that what belongs to the server (an entry in a registry, say) is not to be
    /// cleared away: one was replaced, or taken back.
    pub fn serves_on(&self) -> bool {
        matches!(self, Self::Replaced { .. } | Self::TakenBack { .. })
    }

    /// Whether a successor serves on.
    pub fn is_replaced(&self) -> bool {
        matches!(self, Self::Replaced { .. })
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replaced { by } => write!(f, "replaced by {by}"),
            Self::Stopped { by: Some(signal) } => {
                write!(f, "stopped by signal {}", signal.as_raw_value())
            }
            Self::Stopped { by: None } => f.write_str("stopped"),
            Self::TakenBack { why } => write!(f, "taken back by the predecessor: {why}"),
            Self::Failed { why } => write!(f, "failed: {why}"),
        }
    }
}

/// The generation that took over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Successor {
    pub(crate) pid: u32,
    pub(crate) generation: u64,
}

impl Successor {
    /// Its process id, as this process sees it.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its number in the chain.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

impl fmt::Display for Successor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "generation {} (pid {})", self.generation, self.pid)
    }
}

/// How far this generation is, for a `/readyz` handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// Not ready: `ready()` has not returned.
    Starting,
    /// It serves.
    Ready,
    /// It serves, and a successor is on its way.
    Restarting,
    /// A stop is certain, and it accepts as before, until whoever sends clients here has noticed: see
    /// [`Times::lame_duck`](crate::drain::Times::lame_duck). Not ready, for a `/readyz`.
    LameDuck,
    /// It finishes what it has accepted.
    Draining,
    /// The drain is over.
    Done,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Restarting => "restarting",
            Self::LameDuck => "lame duck",
            Self::Draining => "draining",
            Self::Done => "done",
        })
    }
}

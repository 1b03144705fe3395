use std::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering};

use tokio::time::Instant;

use super::{Kind, Outcome, Turn};

/// What the ledger knows of one guard: the guard's owner writes it, and whoever asks what is open reads it.
///
/// So a request touches no memory but its own connection's. Relaxed, where nothing else is said: each number stands for
/// itself, and what a guard wrote before its end is ordered by the ledger's lock.
#[derive(Debug)]
pub(super) struct Account {
    since: Instant,
    kind: AtomicU8,
    outcome: AtomicU8,
    /// Requests in progress, and what else keeps a connection from being idle.
    work: AtomicU32,
    turn: Turn,
    stage: Stage,
    /// Where it stands in the ledger's list. Under the ledger's lock.
    pub(super) place: AtomicUsize,
}

/// When in a stop its drain begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    First,
    /// When everything of the first is over.
    Last,
}

impl Account {
    pub(super) fn new(kind: Kind, turn: Turn, stage: Stage) -> Self {
        Self {
            since: Instant::now(),
            kind: AtomicU8::new(kind as u8),
            outcome: AtomicU8::new(Outcome::Finished.place() as u8),
            work: AtomicU32::new(0),
            turn,
            stage,
            place: AtomicUsize::new(0),
        }
    }

    pub(super) fn since(&self) -> Instant {
        self.since
    }

    pub(super) fn turn(&self) -> Turn {
        self.turn
    }

    pub(super) fn stage(&self) -> Stage {
        self.stage
    }

    pub(super) fn kind(&self) -> Kind {
        Kind::ALL[usize::from(self.kind.load(Ordering::Relaxed))]
    }

    pub(super) fn set_kind(&self, kind: Kind) {
        self.kind.store(kind as u8, Ordering::Relaxed);
    }

    pub(super) fn outcome(&self) -> Outcome {
        Outcome::at(usize::from(self.outcome.load(Ordering::Relaxed)))
    }

    pub(super) fn set_outcome(&self, outcome: Outcome) {
        self.outcome.store(outcome.place() as u8, Ordering::Relaxed);
    }

    /// Only HTTP says when it idles. Of anything else nobody knows, so it counts as active; but for a connection on
    /// which nothing has been read.
    pub(super) fn is_active(&self) -> bool {
        match self.kind() {
            Kind::Fresh => false,
            Kind::Http1 | Kind::Http2 => self.has_work(),
            _ => true,
        }
    }

    #[inline]
    pub(super) fn set_active(&self, is_active: bool) {
        self.work.store(u32::from(is_active), Ordering::Relaxed);
    }

    #[cfg(feature = "http2")]
    pub(super) fn work_begins(&self) {
        self.work.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether it was the last. Release, and Acquire in `has_work`: who sees that there is none sees what it has done.
    #[cfg(feature = "http2")]
    pub(super) fn work_ends(&self) -> bool {
        self.work.fetch_sub(1, Ordering::AcqRel) == 1
    }

    pub(super) fn has_work(&self) -> bool {
        self.work.load(Ordering::Acquire) > 0
    }
}

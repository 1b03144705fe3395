use std::{
    fmt,
    sync::atomic::{AtomicU8, Ordering},
};

use super::Tracker;

/// What the drain waits for, until it is dropped.
///
/// Made by [`Tracker::guard`]. It cannot cut: what still holds one after the deadline is reported as left behind,
/// which counts as cut.
#[must_use = "it counts until it is dropped"]
pub struct Guard {
    tracker: Tracker,
    kind: AtomicU8,
    outcome: AtomicU8,
}

/// What a [`Guard`] stands for, as the [`Report`](super::Report) lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A `serve` and the listener that it accepts from. It shows in the report only where it was left behind.
    Serve,
    /// A connection whose handshake (TLS) is not done.
    Handshake,
    /// A connection on which nothing has been read.
    Fresh,
    /// An HTTP/1 connection.
    Http1,
    /// An HTTP/2 connection.
    Http2,
    /// A connection after an upgrade: a WebSocket, a tunnel.
    Upgraded,
    /// Anything else that holds a guard.
    Other,
    /// A task of [`Tracker::spawn`].
    Task,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// By itself, or idle and let go.
    Finished,
    /// The same, and the client knew: its last response bore `connection: close`, or it got a GOAWAY.
    Told,
    /// A request came after it had been let go: nobody answered it.
    Raced,
    /// In its middle, at the deadline.
    Cut,
}

impl Kind {
    pub(super) const ALL: [Self; 8] =
        [Self::Serve, Self::Handshake, Self::Fresh, Self::Http1, Self::Http2, Self::Upgraded, Self::Other, Self::Task];
    pub(super) const COUNT: usize = Self::ALL.len();
}

impl Outcome {
    const ALL: [Self; 4] = [Self::Finished, Self::Told, Self::Raced, Self::Cut];
    pub(super) const COUNT: usize = Self::ALL.len();
}

// Relaxed: kind and outcome are set by whoever drives the connection, and read again by the drop that follows it.
impl Guard {
    pub(super) fn new(tracker: Tracker, kind: Kind) -> Self {
        tracker.ledger().enter(kind);
        Self { tracker, kind: AtomicU8::new(kind as u8), outcome: AtomicU8::new(Outcome::Finished as u8) }
    }

    pub(crate) fn kind(&self) -> Kind {
        Kind::ALL[usize::from(self.kind.load(Ordering::Relaxed))]
    }

    pub(crate) fn set_kind(&self, kind: Kind) {
        let before = self.kind();
        if kind != before {
            self.kind.store(kind as u8, Ordering::Relaxed);
            self.tracker.ledger().change(before, kind);
        }
    }

    /// How it ends, if it ends now. The last word counts.
    pub(crate) fn set_outcome(&self, outcome: Outcome) {
        self.outcome.store(outcome as u8, Ordering::Relaxed);
    }

    fn outcome(&self) -> Outcome {
        Outcome::ALL[usize::from(self.outcome.load(Ordering::Relaxed))]
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let kind = self.kind();
        // A connection that ends in normal service is nothing to report.
        if self.tracker.watch().is_draining() && kind != Kind::Serve {
            self.tracker.ledger().note(kind, self.outcome());
        }
        self.tracker.leave(kind);
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Guard").field(&self.kind()).finish()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Serve => "accepting",
            Self::Handshake => "in handshake",
            Self::Fresh => "fresh",
            Self::Http1 => "http1",
            Self::Http2 => "http2",
            Self::Upgraded => "upgraded",
            Self::Other => "other",
            Self::Task => "task",
        })
    }
}

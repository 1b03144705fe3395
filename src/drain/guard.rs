use std::{any::Any, fmt, sync::Arc};

use super::{Outcome, Tracker, Turn, account::Account};

/// What the drain waits for, until it is dropped.
///
/// Made by [`Tracker::guard`]. It cannot cut: what still holds one after the deadline is reported as left behind,
/// which counts as cut.
#[must_use = "it counts until it is dropped"]
pub struct Guard {
    tracker: Tracker,
    account: Arc<Account>,
    /// The owner of the guard that this one stands in for: with that one the account ends.
    owner: Option<Arc<dyn Any + Send + Sync>>,
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
    /// A request that the layer counts, whoever serves its connection. Where `serve` does, that
    /// is counted too.
    Request,
    /// Anything else that holds a guard.
    Other,
    /// A task of [`Tracker::spawn`].
    Task,
    /// The final state that is on its way to the successor. It shows in the report only where it did not arrive.
    State,
}

impl Kind {
    pub(crate) const ALL: [Self; 10] = [
        Self::Serve,
        Self::Handshake,
        Self::Fresh,
        Self::Http1,
        Self::Http2,
        Self::Upgraded,
        Self::Request,
        Self::Other,
        Self::Task,
        Self::State,
    ];
    pub(super) const COUNT: usize = Self::ALL.len();
}

impl Guard {
    pub(super) fn new(tracker: Tracker, kind: Kind) -> Self {
        let account = Arc::new(Account::new(kind, tracker.turn(), tracker.stage()));
        tracker.ledger().enter(account.clone());
        Self { tracker, account, owner: None }
    }

    /// Stands in for this one, which has an owner that others share: until it is dropped, the owner is not.
    #[cfg(feature = "serve")]
    pub(crate) fn standing_in(&self, owner: Arc<dyn Any + Send + Sync>) -> Self {
        Self { tracker: self.tracker.clone(), account: Arc::clone(&self.account), owner: Some(owner) }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.account.kind()
    }

    /// When a drain turns to it.
    pub(crate) fn turn(&self) -> Turn {
        self.account.turn()
    }

    pub(crate) fn set_kind(&self, kind: Kind) {
        self.account.set_kind(kind);
    }

    /// How it ends, if it ends now. The last word counts.
    pub(crate) fn set_outcome(&self, outcome: Outcome) {
        self.account.set_outcome(outcome);
    }

    /// For a connection that does one thing at a time: whether it does.
    #[inline]
    pub(crate) fn set_active(&self, is_active: bool) {
        self.account.set_active(is_active);
    }

    /// For a connection that does many things at once: one more, until [`work_ends`](Self::work_ends).
    #[cfg(feature = "http2")]
    pub(crate) fn work_begins(&self) {
        self.account.work_begins();
    }

    /// Whether it was the last.
    #[cfg(feature = "http2")]
    pub(crate) fn work_ends(&self) -> bool {
        self.account.work_ends()
    }

    #[cfg(feature = "http2")]
    pub(crate) fn has_work(&self) -> bool {
        self.account.has_work()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.owner.is_some() {
            return;
        }
        // A connection that ends in normal service is nothing to report.
        let is_noted = self.tracker.watch().is_draining() && !matches!(self.kind(), Kind::Serve | Kind::State);
        self.tracker.leave(&self.account, is_noted);
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
            Self::Request => "request",
            Self::Other => "other",
            Self::Task => "task",
            Self::State => "final state",
        })
    }
}

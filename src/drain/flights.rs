use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use super::{Level, Outcome, Tracker, Why};

/// How many requests are in flight: one number, for a lock or an account would cost each of them more than it tells.
///
/// In the lower half how many there are, in the upper half how many have ever begun. That wraps, and means something only
/// in the moment between two looks, in which 2³² cannot begin.
///
/// Each begin and end is a read-modify-write of this one number, so all of them have an order, and an end's *release*
/// lasts through whatever follows it: who loads the number (*acquire*) and sees a request ended sees all that it has done.
/// A begin publishes nothing, and is *relaxed*.
#[derive(Debug, Default)]
pub(super) struct Flights(AtomicU64);

const COUNT: u64 = u32::MAX as u64;
const ONE_MORE: u64 = COUNT + 1 + 1;

impl Flights {
    fn begin(&self) {
        self.0.fetch_add(ONE_MORE, Ordering::Relaxed);
    }

    /// Whether it was the last.
    fn end(&self) -> bool {
        self.0.fetch_sub(1, Ordering::Release) & COUNT == 1
    }

    pub(super) fn len(&self) -> usize {
        (self.0.load(Ordering::Acquire) & COUNT) as usize
    }

    /// Whether there was a moment in which there were none and this held too.
    ///
    /// Two looks in a row would not tell. A request may leave a task behind: the ledger is seen empty, then the task comes and
    /// the request goes, then there are no requests; and the other way round with a connection that goes before its request
    /// does. Here none begins in between, so there is none when `holds` looks. Where one does begin, the answer is no, and
    /// its end wakes whoever asks.
    pub(super) fn are_none_while(&self, holds: impl FnOnce() -> bool) -> bool {
        let before = self.0.load(Ordering::Acquire);
        before & COUNT == 0 && holds() && self.0.load(Ordering::Acquire) == before
    }
}

/// A request in flight, until it is dropped.
#[must_use = "it counts until it is dropped"]
pub(crate) struct Flight {
    tracker: Tracker,
    is_told: bool,
    has_ended: bool,
}

impl Flight {
    /// Whether it is time to send its client elsewhere.
    pub(crate) fn tells(&self) -> bool {
        let watch = self.tracker.watch();
        // Its turn is taken only when somebody is told: in normal service it would be a second number that all share.
        watch.is_ending() && watch.tells(watch.turn())
    }

    /// Its client knows: the response bears `connection: close`.
    pub(crate) fn is_told(&mut self) {
        self.is_told = true;
    }

    /// By itself, and not because somebody drops it in its middle.
    pub(crate) fn end(mut self) {
        self.has_ended = true;
    }
}

impl Tracker {
    /// A request that the drain waits for.
    pub(crate) fn flight(&self) -> Flight {
        self.ledger().flights().begin();
        Flight { tracker: self.clone(), is_told: false, has_ended: false }
    }

    /// How many requests are in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.ledger().flights().len()
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let level = self.tracker.watch().level();
        if level >= Level::Draining {
            // At the deadline connections are dropped, with what they were answering. Before it, one that is dropped is its
            // client's affair, or that of whoever serves it.
            let outcome = match self {
                Self { has_ended: false, .. } if level == Level::Over => Outcome::Cut(Why::Deadline),
                Self { is_told: true, .. } => Outcome::Told,
                _ => Outcome::Finished,
            };
            self.tracker.ledger().note_flight(outcome);
        }
        if self.tracker.ledger().flights().end() {
            // Also when nothing drains: to look first would race a drain that begins between the two. While nobody waits, it
            // is one compare-and-swap.
            self.tracker.nudge();
        }
    }
}

impl fmt::Debug for Flight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flight").field("is_told", &self.is_told).finish_non_exhaustive()
    }
}

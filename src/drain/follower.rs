use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Waker},
};

use tokio::sync::{Notify, futures::OwnedNotified};

use super::{Level, Watch};

/// Follows the level from within one task, as part of a hand-written future.
///
/// Made for the poll of every connection: in normal service it costs one atomic load and one comparison of
/// wakers, no lock. (Polling a `Notified` takes the lock of its whole waiting list, each time.)
pub(crate) struct Follower {
    watch: Watch,
    seen: Level,
    lane: Arc<Notify>,
    changed: Pin<Box<OwnedNotified>>,
    /// Whom `changed` wakes; `None` before the first poll.
    waker: Option<Waker>,
}

impl Follower {
    pub(super) fn new(watch: Watch) -> Self {
        let lane = watch.lane();
        let changed = Box::pin(Arc::clone(&lane).notified_owned());
        // Looked at after `changed` was made: a rise in between is known to both, one after is told by `changed`.
        Self { seen: watch.level(), watch, lane, changed, waker: None }
    }

    /// The level now. The task is woken when it rises.
    #[inline]
    pub(crate) fn poll_level(&mut self, cx: &mut Context<'_>) -> Level {
        if self.watch.level() != self.seen {
            self.renew();
        }
        // Once the drain has begun, always. A rise that we have seen before it was told of is told to the `changed` that was
        // made after it: that is used up then, and the next rise would wake nobody.
        if !self.has_waker_of(cx) || self.seen > Level::Serving {
            while self.changed.as_mut().poll(cx).is_ready() {
                self.renew();
            }
            self.waker = Some(cx.waker().clone());
        }
        self.seen
    }

    pub(super) fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Whether the level's next rise wakes this very task already.
    #[inline]
    pub(crate) fn has_waker_of(&self, cx: &Context<'_>) -> bool {
        self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()))
    }

    fn renew(&mut self) {
        self.changed.set(Arc::clone(&self.lane).notified_owned());
        self.waker = None;
        self.seen = self.watch.level();
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Follower").field(&self.seen).finish()
    }
}

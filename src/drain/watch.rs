use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

use super::{Follower, Level, Times, level::AtomicLevel};
use crate::generation::Cause;

/// Tells a handler that this generation is ending.
///
/// Cheap to clone, and all that the crate's HTTP parts know of the handle: with [`Watch::never`] they work without
/// one.
///
/// # Examples
///
/// A stream of events that ends when it is time to:
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use tokio_hotrestart::Graceful;
///
/// # async fn next_event() -> String { tokio::task::yield_now().await; "tick".into() }
/// # async fn send(_: &str) {}
/// let graceful = Graceful::detached();
/// let watch = graceful.watch();
/// # graceful.stop();
/// loop {
///     tokio::select! {
///         biased;
///         cause = watch.draining() => break send(&format!("bye: {cause}")).await,
///         event = next_event() => send(&event).await,
///     }
/// }
/// # }
/// ```
#[derive(Clone)]
pub struct Watch(Arc<Broadcast>);

/// What the drain says to everybody.
pub(super) struct Broadcast {
    level: AtomicLevel,
    changed: Arc<Notify>,
    cause: OnceLock<Cause>,
    half_open_millis: AtomicU64,
    grace_millis: AtomicU64,
}

impl Watch {
    /// A watch on nothing: it never drains.
    ///
    /// # Examples
    ///
    /// ```
    /// use tokio_hotrestart::drain::Watch;
    ///
    /// assert!(!Watch::never().is_draining());
    /// ```
    pub fn never() -> Self {
        Self::new()
    }

    pub(super) fn new() -> Self {
        Self(Arc::new(Broadcast {
            level: AtomicLevel::new(),
            changed: Arc::default(),
            cause: OnceLock::new(),
            half_open_millis: AtomicU64::new(0),
            grace_millis: AtomicU64::new(0),
        }))
    }

    /// Whether the drain has begun. One atomic load.
    pub fn is_draining(&self) -> bool {
        self.level() >= Level::Draining
    }

    /// Waits for the drain's beginning, and says why this generation ends. At once, when it has begun.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only waits.
    pub fn draining(&self) -> impl Future<Output = Cause> + Send + use<> {
        let watch = self.clone();
        async move {
            watch.reached(Level::Draining).await;
            watch.0.cause.get().cloned().expect("the cause is written before the level rises")
        }
    }

    /// Waits until the drain is at least this far.
    ///
    /// Cancel safe: it only waits.
    pub(crate) async fn reached(&self, level: Level) {
        loop {
            // Made before the level is looked at: a rise in between wakes it although it was never polled.
            let changed = self.0.changed.notified();
            if self.level() >= level {
                return;
            }
            changed.await;
        }
    }

    pub(crate) fn level(&self) -> Level {
        self.0.level.get()
    }

    pub(crate) fn follow(&self) -> Follower {
        Follower::new(self.clone())
    }

    /// How long what is half open may stay so. Means something once the drain has begun.
    pub(crate) fn half_open(&self) -> Duration {
        Duration::from_millis(self.0.half_open_millis.load(Ordering::Relaxed))
    }

    /// How long a connection may idle. Means something once the drain has begun.
    pub(crate) fn grace(&self) -> Duration {
        Duration::from_millis(self.0.grace_millis.load(Ordering::Relaxed))
    }

    pub(super) fn changed(&self) -> Arc<Notify> {
        self.0.changed.clone()
    }

    /// Whether it is the first: why a generation ends is said once.
    pub(super) fn begin(&self, cause: Cause, times: &Times) -> bool {
        let is_first = self.0.cause.set(cause).is_ok();
        if is_first {
            self.0.half_open_millis.store(millis(times.half_open()), Ordering::Relaxed);
            self.0.grace_millis.store(millis(times.grace_within_deadline()), Ordering::Relaxed);
            self.raise(Level::Draining);
        }
        is_first
    }

    /// A drain under way gets less time.
    pub(super) fn shorten(&self, times: &Times) {
        self.0.half_open_millis.fetch_min(millis(times.half_open()), Ordering::Relaxed);
        self.0.grace_millis.fetch_min(millis(times.grace_within_deadline()), Ordering::Relaxed);
    }

    pub(super) fn raise(&self, to: Level) {
        if self.0.level.raise(to) {
            self.0.changed.notify_waiters();
        }
    }

    /// A rise that has been seen and not yet told.
    #[cfg(test)]
    pub(super) fn raise_untold(&self, to: Level) {
        self.0.level.raise(to);
    }

    pub(super) fn cause(&self) -> Option<&Cause> {
        self.0.cause.get()
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watch").field(&self.level()).finish()
    }
}

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::{Follower, Level, Policy, Times, Turn, level::AtomicLevel, schedule::Schedule, turn::Turns};
use crate::{bell::Bell, generation::Cause};

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
    /// Rung at each rise, and not before the first: a follower whose `changed` is used up unseen is woken by nobody.
    bell: Bell,
    cause: OnceLock<Cause>,
    /// Written before the level rises, and locked until it has: a cut that comes from another thread meanwhile would raise it
    /// before the cause is known. Nobody looks at it while nothing ends.
    schedule: Mutex<Schedule>,
    turns: Turns,
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
            bell: Bell::new(),
            cause: OnceLock::new(),
            schedule: Mutex::default(),
            turns: Turns::new(),
        }))
    }

    /// Whether this generation ends: it is a lame duck, or it drains. One atomic load.
    ///
    /// For what says "not ready", and for what should not be begun here any more although it still could be. A stream that
    /// is to end waits for [`draining`](Self::draining): a client that is sent away by a lame duck may come back to it.
    ///
    /// # Examples
    ///
    /// ```
    /// use tokio_hotrestart::drain::Watch;
    ///
    /// fn readyz(watch: &Watch) -> u16 {
    ///     if watch.is_ending() { 503 } else { 200 }
    /// }
    /// assert_eq!(readyz(&Watch::never()), 200);
    /// ```
    #[inline]
    pub fn is_ending(&self) -> bool {
        self.level() >= Level::LameDuck
    }

    /// Waits until this generation ends, as a lame duck or in a drain, and says why. At once, when it does.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only waits.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use tokio_hotrestart::Graceful;
    ///
    /// let graceful = Graceful::detached();
    /// # graceful.stop();
    /// println!("not ready: {}", graceful.watch().ending().await);
    /// # }
    /// ```
    pub fn ending(&self) -> impl Future<Output = Cause> + Send + use<> {
        self.cause_at(Level::LameDuck)
    }

    /// Whether the drain has begun: accepting has ended. One atomic load.
    #[inline]
    pub fn is_draining(&self) -> bool {
        self.level() >= Level::Draining
    }

    /// Waits for the drain's beginning, and says why this generation ends. At once, when it has begun.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only waits.
    pub fn draining(&self) -> impl Future<Output = Cause> + Send + use<> {
        self.cause_at(Level::Draining)
    }

    fn cause_at(&self, level: Level) -> impl Future<Output = Cause> + Send + use<> {
        let watch = self.clone();
        async move {
            watch.reached(level).await;
            watch.0.cause.get().cloned().expect("the cause is written before the level rises")
        }
    }

    /// Waits until the drain is at least this far.
    ///
    /// Cancel safe: it only waits.
    pub(crate) async fn reached(&self, level: Level) {
        // Not before it is needed: most who ask have nothing to wait for.
        if self.level() >= level {
            return;
        }
        let lane = self.lane();
        loop {
            // Made before the level is looked at: a rise in between wakes it although it was never polled.
            let changed = lane.notified();
            if self.level() >= level {
                return;
            }
            changed.await;
        }
    }

    #[inline]
    pub(crate) fn level(&self) -> Level {
        self.0.level.get()
    }

    pub(crate) fn follow(&self) -> Follower {
        Follower::new(self.clone())
    }

    /// For one who is told and let go, and has no guard.
    pub(crate) fn turn(&self) -> Turn {
        self.0.turns.next()
    }

    /// Whether a client whose turn this is hears that it should go. One atomic load while nothing ends.
    #[inline]
    pub(crate) fn tells(&self, turn: Turn) -> bool {
        self.is_ending() && self.tell_at(turn).is_some_and(|at| at <= Instant::now())
    }

    /// From when on it hears that; `None` while nothing ends.
    pub(crate) fn tell_at(&self, turn: Turn) -> Option<Instant> {
        self.schedule().tell_at(turn)
    }

    /// When a connection that has idled since then is let go; `None` before the drain. `idle_since`: `None` where that was
    /// before this generation's end began.
    pub(crate) fn let_go_at(&self, turn: Turn, idle_since: Option<Instant>) -> Option<Instant> {
        self.schedule().let_go_at(turn, idle_since)
    }

    /// Until when those are waited for that could go over to a successor; `None` before the drain.
    pub(crate) fn last_call(&self) -> Option<Instant> {
        self.schedule().last_call()
    }

    /// When something long is cut; `None` before the drain, and where it has until the deadline.
    pub(crate) fn close_at(&self, policy: Policy) -> Option<Instant> {
        // Nearly always: no lock for each read and write of a drain.
        if policy == Policy::Finish {
            return None;
        }
        self.schedule().close_at(policy)
    }

    /// How long what is half open may stay so; `None` until such have had their time.
    #[inline]
    pub(crate) fn half_open_from(&self, level: Level) -> Option<Duration> {
        if level >= Level::HalfOpenOver { self.schedule().half_open() } else { None }
    }

    /// Where one waits for the next change.
    pub(super) fn lane(&self) -> Arc<Notify> {
        self.0.bell.lane()
    }

    /// Whether it is the first: why a generation ends is said once.
    pub(super) fn begin_lame_duck(&self, cause: Cause, now: Instant, times: &Times) -> bool {
        let mut schedule = self.schedule();
        let is_first = schedule.begin_lame_duck(now, times);
        if is_first {
            self.say(cause, Level::LameDuck, schedule);
        }
        is_first
    }

    /// Whether it is the first.
    pub(super) fn begin(&self, cause: Cause, now: Instant, times: &Times) -> bool {
        let mut schedule = self.schedule();
        let is_first = schedule.begin(now, times);
        if is_first {
            self.say(cause, Level::Draining, schedule);
        }
        is_first
    }

    fn say(&self, cause: Cause, level: Level, schedule: MutexGuard<'_, Schedule>) {
        // A drain after a lame duck has the same cause, so it is no loss that the first one stays.
        self.0.cause.get_or_init(|| cause);
        self.0.level.raise(level);
        // Who is woken may ask for it at once.
        drop(schedule);
        self.0.bell.ring();
    }

    /// What drains gets less time. What does not is told nothing.
    pub(super) fn hasten(&self, now: Instant, to: &Times) {
        let mut schedule = self.schedule();
        if !schedule.hasten(now, to) {
            return;
        }
        // Whoever has set an alarm by the times before sets it anew, and must not find the times of one level and another
        // level: at a cut it would do with its connection what is done at the grace's end.
        if let Some((level, _)) = schedule.at(now) {
            self.0.level.raise(level);
        }
        drop(schedule);
        self.0.bell.ring();
    }

    pub(super) fn schedule(&self) -> MutexGuard<'_, Schedule> {
        // Nothing panics under this lock.
        self.0.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn raise(&self, to: Level) {
        if self.0.level.raise(to) {
            self.0.bell.ring();
        }
    }

    /// A rise that has been seen and not yet told.
    #[cfg(test)]
    pub(super) fn raise_untold(&self, to: Level) {
        self.0.level.raise(to);
    }

    #[cfg(test)]
    pub(super) fn tell(&self) {
        self.0.bell.ring();
    }

    pub(super) fn cause(&self) -> Option<&Cause> {
        self.0.cause.get()
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watch").field(&self.level()).finish()
    }
}

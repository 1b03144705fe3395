//! How long an event loop does not come round.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use nix::time::{ClockId, clock_gettime};
use tokio::time::{MissedTickBehavior, interval};

/// The longest gaps that a ticker of a millisecond has seen, on the runtime whose one thread it shares with a server. Its turn
/// comes behind that of every task that was woken before: so long would a request have waited that had come then.
pub(crate) struct Gaps(Arc<Mutex<Gap>>);

/// The longest of each kind; they need not be the same one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gap {
    /// Beyond the ticker's own millisecond.
    pub(crate) late: Duration,
    /// The thread's own processor time between two ticks, which no neighbour on the machine changes.
    pub(crate) busy: Duration,
}

impl Gaps {
    /// On a current-thread runtime.
    pub(crate) fn start() -> Self {
        const TICK: Duration = Duration::from_millis(1);
        let longest = Arc::<Mutex<Gap>>::default();
        let noted = Arc::clone(&longest);
        // From now, and not from the ticker's first turn: what was woken before comes before that.
        let (mut last, mut used) = (Instant::now(), processor_time());
        // A task like any other: those of a `LocalSet` have their turns between others', however many were woken.
        tokio::spawn(async move {
            let mut ticks = interval(TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let (now, used_now) = (Instant::now(), processor_time());
                let mut longest = noted.lock().unwrap_or_else(PoisonError::into_inner);
                let (gap, work) = ((now - last).saturating_sub(TICK), used_now.saturating_sub(used));
                *longest = Gap { late: longest.late.max(gap), busy: longest.busy.max(work) };
                drop(longest);
                (last, used) = (now, used_now);
            }
        });
        Self(longest)
    }

    /// What was seen until now is forgotten.
    pub(crate) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Gap::default();
    }

    /// Since then.
    pub(crate) fn longest(&self) -> Gap {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// By this thread, since it began.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).unwrap_or_default()
}

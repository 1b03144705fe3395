//! How long an event loop does not come round.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use nix::time::{ClockId, clock_gettime};
use tokio::time::{MissedTickBehavior, interval};

/// The longest gaps that a ticker of a millisecond has seen, on the runtime whose one thread it shares with a server.
pub(crate) struct Gaps(Rc<Cell<Gap>>);

/// The longest of each kind; they need not be the same one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gap {
    /// Beyond the ticker's own millisecond.
    pub(crate) late: Duration,
    /// The thread's own processor time between two ticks, which no neighbour on the machine changes.
    pub(crate) busy: Duration,
}

impl Gaps {
    /// In a `LocalSet`.
    pub(crate) fn start() -> Self {
        const TICK: Duration = Duration::from_millis(1);
        let longest = Rc::new(Cell::new(Gap::default()));
        let noted = Rc::clone(&longest);
        tokio::task::spawn_local(async move {
            let mut ticks = interval(TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let (mut last, mut used) = (Instant::now(), processor_time());
            loop {
                ticks.tick().await;
                let (now, used_now) = (Instant::now(), processor_time());
                let Gap { late, busy } = noted.get();
                let (gap, work) = ((now - last).saturating_sub(TICK), used_now.saturating_sub(used));
                noted.set(Gap { late: late.max(gap), busy: busy.max(work) });
                (last, used) = (now, used_now);
            }
        });
        Self(longest)
    }

    /// What was seen until now is forgotten.
    pub(crate) fn forget(&self) {
        self.0.set(Gap::default());
    }

    /// Since then.
    pub(crate) fn longest(&self) -> Gap {
        self.0.get()
    }
}

/// By this thread, since it began.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).unwrap_or_default()
}

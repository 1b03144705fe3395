//! When the manager is to be told that this process is alive.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior};

/// Ticks at half of the interval, as sd_watchdog_enabled(3) advises, and at once at first: a main process that has just
/// taken over must not use up what its predecessor left of the interval. Without an interval it never ticks.
#[derive(Debug)]
pub(crate) struct Watchdog(Option<Interval>);

impl Watchdog {
    pub(crate) fn new(interval: Option<Duration>) -> Self {
        Self(interval.map(|interval| {
            // The runtime's clock knows nothing shorter than a millisecond.
            let mut ticks = tokio::time::interval((interval / 2).max(Duration::from_millis(1)));
            // A machine that was suspended owes nobody the ticks that it missed.
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        }))
    }

    /// # Cancel safety
    ///
    /// A tick is not lost: it is due until this has returned.
    pub(crate) async fn tick(&mut self) {
        match &mut self.0 {
            Some(ticks) => drop(ticks.tick().await),
            None => std::future::pending().await,
        }
    }
}

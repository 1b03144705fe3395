use std::task::Context;

use tokio::time::Instant;

use crate::drain::Alarm;

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Nothing: it is at work, or ends.
    Busy,
    /// The rest of a request head, or the first byte of the first one.
    Head,
    /// The next request.
    Idle,
}

/// One wait, told apart from the next of its sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) wait: Wait,
    pub(super) turn: u32,
}

/// Knows since when a connection waits, and wakes it when something is due.
///
/// One timer per connection, made when something is first due, and left alone from then on: no request resets it. It
/// rings at the end of what may be a wait long past, then the clock looks, and sets it anew if it must.
#[derive(Debug)]
pub(super) struct Clock {
    waiting: Waiting,
    /// `None`: from before anybody looked at the time.
    since: Option<Instant>,
    /// This wait has begun elsewhere, at `since`.
    carried: Option<Waiting>,
    alarm: Alarm,
}

impl Clock {
    /// A connection is born waiting for its first head.
    pub(super) fn new() -> Self {
        Self::since_then(Instant::now())
    }

    /// Of one that has waited for its first head since then.
    pub(super) fn since_then(since: Instant) -> Self {
        let waiting = Waiting { wait: Wait::Head, turn: 0 };
        Self { waiting, since: Some(since), carried: None, alarm: Alarm::default() }
    }

    /// That wait has begun then: it is of a connection that has changed hands in it. Of any other nothing is known: the client
    /// may have begun its head, or have been answered already, when it is first looked at.
    pub(super) fn carry(&mut self, since: Instant, wait: Waiting) {
        (self.since, self.carried) = (Some(since), Some(wait));
        self.waiting = Waiting { wait: Wait::Busy, turn: wait.turn.wrapping_sub(1) };
    }

    #[inline]
    pub(super) fn waiting(&self) -> Waiting {
        self.waiting
    }

    /// Notes what is waited for after a poll. `timed`: somebody may want to know later since when.
    #[inline]
    pub(super) fn note(&mut self, waiting: Waiting, timed: bool) {
        if waiting != self.waiting {
            self.waiting = waiting;
            if self.carried.take() != Some(waiting) {
                self.since = timed.then(Instant::now);
            }
        }
    }

    /// Since when; `None`: from before anybody looked at the time.
    #[inline]
    pub(super) fn since(&self) -> Option<Instant> {
        self.since
    }

    /// Whether that time has come; if not, the task is woken when it does. `is_new_task`: the alarm wakes another one.
    #[inline]
    pub(super) fn poll_due(&mut self, cx: &mut Context<'_>, is_new_task: bool, at: Option<Instant>) -> bool {
        let Some(at) = at else {
            // One that has rung and is not needed is memory, in each of 10,000 idle connections; one that wakes another task
            // would be taken for ours later.
            if is_new_task || self.alarm.has_rung() {
                self.alarm = Alarm::default();
            }
            return false;
        };
        // Not polled where it is set and wakes this task: to poll a timer costs a lock.
        (is_new_task || !self.alarm.rings_by(at)) && self.alarm.poll(at, cx)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::{Wake, Waker},
        time::Duration,
    };

    use super::*;

    struct Counts(AtomicUsize);

    impl Wake for Counts {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_alarm_wakes_the_task_that_the_connection_has_moved_to() {
        let counts = Arc::new(Counts(0.into()));
        let (before, after) = (Waker::noop(), Waker::from(counts.clone()));
        let at = Some(Instant::now() + Duration::from_secs(30));
        let mut clock = Clock::new();
        assert!(!clock.poll_due(&mut Context::from_waker(before), true, at));
        clock.note(Waiting { wait: Wait::Busy, turn: 0 }, true);
        assert!(!clock.poll_due(&mut Context::from_waker(&after), true, None));
        clock.note(Waiting { wait: Wait::Idle, turn: 1 }, true);
        assert!(!clock.poll_due(&mut Context::from_waker(&after), false, at));
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(counts.0.load(Ordering::SeqCst) > 0);
    }
}

//! The times in which a restart is under way.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Instant,
};

use tokio::time;

/// The times in which a restart is under way. One may be given to any number of loads: each then keeps the latency of
/// requests that a restart touched apart from that of the others.
#[derive(Clone, Debug, Default)]
pub struct Window(Arc<State>);

/// Counts rather than a flag: a request may begin before a window opens and end after it has closed, and it is the very
/// one whose latency is in question.
#[derive(Debug, Default)]
struct State {
    opened: AtomicU64,
    times: Mutex<Times>,
}

#[derive(Debug, Default)]
struct Times {
    /// In the order of opening.
    all: Vec<Time>,
    /// In the order of closing: a request that is overdue began when it was due, and windows may have closed since.
    closed: Vec<time::Instant>,
}

/// When a window was open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    /// When it was opened.
    pub from: Instant,
    /// When it was closed: `None` while it is open.
    pub until: Option<Instant>,
}

/// A restart is under way until this is dropped.
#[derive(Debug)]
#[must_use = "the window closes when this is dropped"]
pub struct Open {
    state: Arc<State>,
    /// Which of the times is this one's.
    index: usize,
}

/// The moment at which a request began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(u64);

impl Window {
    /// Opens the window. Several may be open at a time.
    pub fn open(&self) -> Open {
        let index = self.0.times(|times| {
            times.all.push(Time { from: time::Instant::now().into_std(), until: None });
            times.all.len() - 1
        });
        self.0.opened.fetch_add(1, SeqCst);
        Open { state: Arc::clone(&self.0), index }
    }

    /// When it was opened and closed until now: the marks on a [`Timeline`](crate::Timeline), which tells their
    /// [`place`](crate::Timeline::place).
    pub fn times(&self) -> Vec<Time> {
        self.0.times(|times| times.all.clone())
    }

    /// Of a request that began now or before.
    pub(crate) fn mark(&self, began: time::Instant) -> Mark {
        Mark(self.0.times(|times| times.closed.partition_point(|closed| *closed <= began)) as u64)
    }

    /// Whether a window was open at any time since the mark.
    pub(crate) fn touched(&self, since: Mark) -> bool {
        // With none open at the mark, as many had opened as had closed.
        self.0.opened.load(SeqCst) > since.0
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.state.times(|times| {
            let now = time::Instant::now();
            times.closed.push(now);
            times.all[self.index].until = Some(now.into_std());
        });
    }
}

impl State {
    fn times<T>(&self, f: impl FnOnce(&mut Times) -> T) -> T {
        f(&mut self.times.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_request_before_or_after_a_window_is_not_touched() {
        let window = Window::default();
        let before = window.mark(time::Instant::now());
        assert!(!window.touched(before));
        drop(window.open());
        assert!(!window.touched(window.mark(time::Instant::now())));
    }

    #[test]
    fn a_request_within_around_or_across_a_window_is_touched() {
        let window = Window::default();
        let around = window.mark(time::Instant::now());
        let open = window.open();
        let within = window.mark(time::Instant::now());
        assert!(window.touched(around) && window.touched(within));
        drop(open);
        assert!(window.touched(around), "the window opened and closed within the request");
        assert!(window.touched(within), "the request outlived the window");
    }

    #[test]
    fn windows_may_overlap() {
        let window = Window::default();
        let (first, second) = (window.open(), window.open());
        drop(first);
        assert!(window.touched(window.mark(time::Instant::now())));
        drop(second);
        assert!(!window.touched(window.mark(time::Instant::now())));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_due_in_a_window_and_is_asked_after_it_is_touched() {
        const MS: Duration = Duration::from_millis(1);
        let (window, before) = (Window::default(), time::Instant::now());
        time::advance(MS).await;
        let open = window.open();
        time::advance(MS).await;
        let due = time::Instant::now();
        time::advance(MS).await;
        drop(open);
        time::advance(MS).await;
        assert!(window.touched(window.mark(due)) && window.touched(window.mark(before)));
        assert!(!window.touched(window.mark(time::Instant::now())));
    }

    #[tokio::test(start_paused = true)]
    async fn each_time_is_told_also_where_they_overlap() {
        const MS: Duration = Duration::from_millis(1);
        let (window, began) = (Window::default(), time::Instant::now().into_std());
        let first = window.open();
        time::advance(MS).await;
        let second = window.open();
        time::advance(MS).await;
        drop(first);
        time::advance(MS).await;
        let time = |from, until: Option<u32>| Time { from: began + from, until: until.map(|ms| began + MS * ms) };
        assert_eq!(window.times(), [time(Duration::ZERO, Some(2)), time(MS, None)]);
        drop(second);
        assert_eq!(window.times()[1], time(MS, Some(3)));
    }
}

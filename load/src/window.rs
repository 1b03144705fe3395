//! The times in which a restart is under way.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::SeqCst},
};

/// The times in which a restart is under way. One may be given to any number of loads: each then keeps the latency of
/// requests that a restart touched apart from that of the others.
#[derive(Clone, Debug, Default)]
pub struct Window(Arc<Counts>);

/// Two counts rather than a flag: a request may begin before a window opens and end after it has closed, and it is the
/// very one whose latency is in question.
#[derive(Debug, Default)]
struct Counts {
    opened: AtomicU64,
    closed: AtomicU64,
}

/// A restart is under way until this is dropped.
#[derive(Debug)]
#[must_use = "the window closes when this is dropped"]
pub struct Open(Arc<Counts>);

/// The moment at which a request began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(u64);

impl Window {
    /// Opens the window. Several may be open at a time.
    pub fn open(&self) -> Open {
        self.0.opened.fetch_add(1, SeqCst);
        Open(Arc::clone(&self.0))
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark(self.0.closed.load(SeqCst))
    }

    /// Whether a window was open at any time since the mark.
    pub(crate) fn touched(&self, since: Mark) -> bool {
        // With none open at the mark, as many had opened as had closed.
        self.0.opened.load(SeqCst) > since.0
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.closed.fetch_add(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_before_or_after_a_window_is_not_touched() {
        let window = Window::default();
        let before = window.mark();
        assert!(!window.touched(before));
        drop(window.open());
        assert!(!window.touched(window.mark()));
    }

    #[test]
    fn a_request_within_around_or_across_a_window_is_touched() {
        let window = Window::default();
        let around = window.mark();
        let open = window.open();
        let within = window.mark();
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
        assert!(window.touched(window.mark()));
        drop(second);
        assert!(!window.touched(window.mark()));
    }
}

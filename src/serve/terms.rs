use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::Waker,
};

use tokio::time::Instant;

use crate::drain::{Policy, Watch};

/// The streams of one HTTP/2 connection whose answers a drain may cut before its deadline.
///
/// A stream's task knows of no drain, which would cost each stream a place among those who wait for it. The connection's
/// does, and cuts: it marks the stream and wakes its task, which then ends. Who is who they know by the task's waker, for
/// the answer is given in the very task that sends it.
#[derive(Default)]
pub(super) struct Terms(Mutex<Vec<Arc<Term>>>);

/// Until when one answer may go on.
pub(super) struct Term {
    policy: Policy,
    task: Waker,
    is_cut: AtomicBool,
}

impl Terms {
    pub(super) fn enter(&self, policy: Policy, task: &Waker) -> Arc<Term> {
        let term = Arc::new(Term { policy, task: task.clone(), is_cut: AtomicBool::new(false) });
        self.list().push(term.clone());
        term
    }

    pub(super) fn leave(&self, term: &Arc<Term>) {
        self.list().retain(|other| !Arc::ptr_eq(other, term));
    }

    /// When the next is to be cut.
    pub(super) fn next(&self, watch: &Watch) -> Option<Instant> {
        let list = self.list();
        let open = list.iter().filter(|term| !term.is_cut.load(Relaxed));
        open.filter_map(|term| watch.close_at(term.policy)).min()
    }

    /// Whether there was one to be cut now.
    pub(super) fn cut(&self, watch: &Watch, now: Instant) -> bool {
        let is_due = |term: &Term| watch.close_at(term.policy).is_some_and(|at| at <= now);
        let due: Vec<_> = self.list().iter().filter(|term| is_due(term)).cloned().collect();
        // Not under the lock: whoever is woken may run here and now, and leave.
        due.iter().filter(|term| !term.is_cut.swap(true, Relaxed)).fold(false, |_, term| {
            term.task.wake_by_ref();
            true
        })
    }

    /// Whether this task's answer has been cut.
    pub(super) fn has_cut(&self, task: &Waker) -> bool {
        self.list().iter().any(|term| term.is_cut.load(Relaxed) && term.task.will_wake(task))
    }

    fn list(&self) -> MutexGuard<'_, Vec<Arc<Term>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Terms").field(&self.list().len()).finish()
    }
}

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    sync::{Notify, futures::Notified},
    task::{AbortHandle, JoinHandle},
};

use super::{
    Guard, Kind, Level, Outcome, Tracked, Turn, Watch, Why,
    account::{Account, Stage},
    ledger::Ledger,
};
use crate::status::ConnectionStatus;

/// What the drain waits for: counts it, and cuts what it can at the deadline.
///
/// Unlike tokio-util's `TaskTracker` it knows a deadline, and counts connections as well as tasks.
///
/// # Examples
///
/// ```
/// use tokio_hotrestart::Graceful;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let graceful = Graceful::detached();
/// let guard = graceful.tracker().guard();
/// assert_eq!(graceful.tracker().len(), 1);
/// drop(guard);
/// assert!(graceful.tracker().is_empty());
/// # }
/// ```
#[derive(Clone)]
pub struct Tracker(Arc<Book>);

struct Book {
    watch: Watch,
    stage: Stage,
    /// One for all stages.
    ledger: Arc<Ledger>,
    /// Kept, not broadcast: the drain may be busy elsewhere when the last guard of this stage goes.
    emptied: Notify,
    tasks: Mutex<Tasks>,
}

#[derive(Default)]
struct Tasks {
    next: u64,
    /// `None` until the task has been spawned.
    handles: HashMap<u64, Option<AbortHandle>>,
}

impl Tracker {
    pub(super) fn new(watch: Watch, stage: Stage, ledger: Arc<Ledger>) -> Self {
        let (emptied, tasks) = (Notify::new(), Mutex::default());
        Self(Arc::new(Book { watch, stage, ledger, emptied, tasks }))
    }

    /// Only counts: no drain waits for what it has.
    pub(crate) fn of_nobody(watch: Watch) -> Self {
        Self::new(watch, Stage::First, Arc::default())
    }

    /// Something that the drain waits for, until the guard is dropped.
    pub fn guard(&self) -> Guard {
        self.guard_of(Kind::Other)
    }

    pub(crate) fn guard_of(&self, kind: Kind) -> Guard {
        Guard::new(self.clone(), kind)
    }

    /// Waits for a connection, and cuts it: after the deadline its reads and writes fail with
    /// [`ConnectionAborted`](std::io::ErrorKind::ConnectionAborted), also those that are under way.
    ///
    /// In normal service it passes everything through, at the cost of one waker where it would wait anyway.
    pub fn track<Io>(&self, io: Io) -> Tracked<Io> {
        Tracked::new(io, self.0.watch.clone(), self.guard())
    }

    /// Spawns a task that the drain waits for, and aborts at the deadline.
    ///
    /// A task that awaits the end of the drain (`graceful.drain()`) waits for itself, and is aborted at the deadline.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, as [`tokio::spawn`] does.
    ///
    /// # Examples
    ///
    /// ```
    /// use tokio_hotrestart::Graceful;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let graceful = Graceful::detached();
    /// let sum = graceful.tracker().spawn(async { 1 + 1 });
    /// assert_eq!(sum.await.unwrap(), 2);
    /// # }
    /// ```
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        // Registered before it is spawned, for the task may end before `spawn` returns; and the lock is not held
        // across `spawn`, which on a runtime that is shutting down drops the task here and now, and so takes it again.
        let entry = Entry::new(self.clone());
        let id = entry.id;
        let handle = tokio::spawn(async move {
            let output = task.await;
            entry.complete();
            output
        });
        if let Some(place) = self.tasks().handles.get_mut(&id) {
            *place = Some(handle.abort_handle());
        }
        // The deadline may have come in between, when there was no handle yet to abort by. Either `abort_tasks` has
        // seen the handle, or it released the lock before we took it, and then its level is seen here.
        if self.0.watch.level() == Level::Over {
            handle.abort();
        }
        handle
    }

    /// How many there are to wait for.
    pub fn len(&self) -> usize {
        self.0.ledger.len()
    }

    /// Whether there is nothing to wait for.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is open, by kind and state (`idle`, `active`), with the age of the oldest.
    ///
    /// For people, not for a loop: it looks at everything that is open (100,000 connections take 4 ms), and meanwhile
    /// nothing comes or goes.
    pub(crate) fn census(&self) -> Vec<ConnectionStatus> {
        self.0.ledger.census().statuses()
    }

    /// `3 connections: 2 upgraded, 1 http2; 1 task; 2 guards`; `None` where nothing is open. At the cost of a census.
    pub(crate) fn open(&self) -> Option<String> {
        self.0.ledger.census().open(false)
    }

    /// The same with the age of the oldest, as what a drain waits for: that is something also where nothing is open.
    pub(crate) fn waits_for(&self) -> String {
        self.0.ledger.census().to_string()
    }

    pub(super) fn abort_tasks(&self) {
        // Not under the lock: a runtime that is shutting down drops an aborted task here and now.
        let handles: Vec<_> = self.tasks().handles.values().flatten().cloned().collect();
        handles.iter().for_each(AbortHandle::abort);
    }

    pub(super) fn ledger(&self) -> &Ledger {
        &self.0.ledger
    }

    /// For one who is told and let go, and has no guard of its own.
    pub(crate) fn turn(&self) -> Turn {
        self.0.watch.turn()
    }

    pub(super) fn stage(&self) -> Stage {
        self.0.stage
    }

    /// Whether nothing is left of this tracker's stage.
    pub(super) fn is_done(&self) -> bool {
        self.0.ledger.is_empty_of(self.0.stage)
    }

    pub(crate) fn watch(&self) -> &Watch {
        &self.0.watch
    }

    pub(super) fn leave(&self, account: &Account, is_noted: bool) {
        if self.0.ledger.leave(account, is_noted) {
            // Also when nothing drains: to look first would race a drain that begins between the two.
            self.0.emptied.notify_one();
        }
    }

    /// Resolves when the last guard of its stage has gone, also if that was before the first poll.
    pub(super) fn emptied(&self) -> Notified<'_> {
        self.0.emptied.notified()
    }

    /// Makes whoever waits in [`emptied`](Self::emptied) look again.
    pub(super) fn nudge(&self) {
        self.0.emptied.notify_one();
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        // Nothing panics under this lock but an allocation that fails; the map is whole either way.
        self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Tracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracker").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// A task's place in the register, given up with the task: when it is done, and when it is dropped undone.
struct Entry {
    id: u64,
    is_done: bool,
    guard: Guard,
    tracker: Tracker,
}

impl Entry {
    fn new(tracker: Tracker) -> Self {
        let mut tasks = tracker.tasks();
        let id = tasks.next;
        tasks.next += 1;
        tasks.handles.insert(id, None);
        drop(tasks);
        Self { id, is_done: false, guard: tracker.guard_of(Kind::Task), tracker }
    }

    fn complete(mut self) {
        self.is_done = true;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if !self.is_done && self.tracker.0.watch.level() == Level::Over {
            self.guard.set_outcome(Outcome::Cut(Why::Deadline));
        }
        let handle = self.tracker.tasks().handles.remove(&self.id);
        // Not under the lock: it may be the last reference to the task.
        drop(handle);
    }
}

#[cfg(test)]
impl Tracker {
    pub(super) fn registered(&self) -> usize {
        self.tasks().handles.len()
    }
}

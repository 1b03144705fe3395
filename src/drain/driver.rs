use std::{
    ops::ControlFlow,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use super::{Level, Report, Times, Tracker, Watch};
use crate::{Error, generation::Cause};

/// The owner's end of a drain: it begins, hastens and drives it.
///
/// Invariants: the level only rises; the deadline only comes nearer; the cause is the first one said.
#[derive(Clone, Debug)]
pub(crate) struct Drain {
    watch: Watch,
    tracker: Tracker,
    plan: Arc<Mutex<Plan>>,
}

#[derive(Debug, Default)]
struct Plan {
    schedule: Option<Schedule>,
    /// When the log next says what is waited for.
    next_word: Option<Instant>,
    successor_lost: bool,
    failures: Vec<Error>,
}

#[derive(Clone, Copy, Debug)]
struct Schedule {
    began: Instant,
    half_open_over: Instant,
    grace_over: Instant,
    deadline: Instant,
    /// What was cut at the deadline had time to notice.
    end: Instant,
}

/// A task that is aborted ends when it next awaits, a connection that is cut when its owner next looks at it.
const TIME_TO_NOTICE: Duration = Duration::from_secs(1);

/// Whoever waits for a drain that takes long wants to know why; one that is shorter than this needs no explanation.
const BETWEEN_WORDS: Duration = Duration::from_secs(5);

impl Drain {
    pub(crate) fn new() -> Self {
        let watch = Watch::new();
        let tracker = Tracker::new(watch.clone());
        Self { watch, tracker, plan: Arc::default() }
    }

    pub(crate) fn watch(&self) -> Watch {
        self.watch.clone()
    }

    pub(crate) fn tracker(&self) -> Tracker {
        self.tracker.clone()
    }

    /// Tells everybody. Once it has begun, only [`shorten`](Self::shorten) and [`cut`](Self::cut) change it.
    pub(crate) fn begin(&self, cause: Cause, times: &Times) {
        let mut plan = self.plan();
        if self.watch.begin(cause, times) {
            plan.schedule = Some(Schedule::new(Instant::now(), times));
            self.tracker.nudge();
        }
    }

    /// From now on at most these times.
    pub(crate) fn shorten(&self, to: &Times) {
        if let Some(schedule) = &mut self.plan().schedule {
            schedule.hasten(&Schedule::new(Instant::now(), to));
            self.watch.shorten(to);
            self.tracker.nudge();
        }
    }

    /// The deadline is now.
    pub(crate) fn cut(&self) {
        self.shorten(&Times::for_stop().deadline(Duration::ZERO));
    }

    /// The report will say so.
    pub(crate) fn successor_lost(&self) {
        self.plan().successor_lost = true;
    }

    /// A `serve` can no longer accept; the report will say so.
    pub(crate) fn failed(&self, why: Error) {
        self.plan().failures.push(why);
    }

    /// Until what is left is cut; `None` before the drain has begun.
    pub(crate) fn remaining(&self) -> Option<Duration> {
        let schedule = self.plan().schedule?;
        Some(schedule.deadline.saturating_duration_since(Instant::now()))
    }

    /// Whether nothing may be begun any more: also when there was nothing to wait for, and the drain has ended early. One
    /// atomic load before the drain has begun.
    pub(crate) fn deadline_has_come(&self) -> bool {
        self.watch.is_draining() && self.remaining().is_some_and(|left| left.is_zero())
    }

    /// When it is over, also if something is left; `None` before it has begun.
    pub(crate) fn end(&self) -> Option<Instant> {
        Some(self.plan().schedule?.end)
    }

    /// Waits for the beginning, raises the level when its time has come, and ends when nothing is left to wait for,
    /// or when what was cut at the deadline has had a second to notice.
    ///
    /// Cancel safe: it may be dropped and asked for again, and goes on where it was. One at a time.
    pub(crate) fn run(&self) -> impl Future<Output = Report> + Send + use<> {
        let drain = self.clone();
        async move {
            loop {
                match drain.step() {
                    ControlFlow::Break(report) => return report,
                    ControlFlow::Continue(None) => drain.tracker.emptied().await,
                    ControlFlow::Continue(Some(until)) => tokio::select! {
                        () = drain.tracker.emptied() => {}
                        () = sleep_until(until) => {}
                    },
                }
            }
        }
    }

    /// Does what is due. Ends with the report, or goes on at that time, or once it has begun.
    fn step(&self) -> ControlFlow<Report, Option<Instant>> {
        // Copied, not held: what is woken and aborted below may run code that asks for this very lock.
        let Some(schedule) = self.plan().schedule else { return ControlFlow::Continue(None) };
        let now = Instant::now();
        let (level, until) = schedule.at(now);
        self.watch.raise(level);
        if level == Level::Over {
            self.tracker.abort_tasks();
        }
        if self.tracker.is_empty() || now >= schedule.end {
            return ControlFlow::Break(self.report(now - schedule.began));
        }
        ControlFlow::Continue(Some(until.min(self.say(&schedule, now))))
    }

    /// What is waited for, if it is time to say so; and when it next is.
    fn say(&self, schedule: &Schedule, now: Instant) -> Instant {
        let mut plan = self.plan();
        let due = *plan.next_word.get_or_insert(schedule.began + BETWEEN_WORDS);
        if now < due {
            return due;
        }
        let next = now + BETWEEN_WORDS;
        plan.next_word = Some(next);
        // Not under the lock: the application's subscriber may ask for it.
        drop(plan);
        crate::log::info!("draining: waits for {}", self.tracker.waits_for());
        next
    }

    fn report(&self, took: Duration) -> Report {
        let plan = self.plan();
        Report {
            cause: self.watch.cause().cloned().expect("a schedule is made with the cause"),
            took,
            tallies: self.tracker.ledger().tallies(),
            successor_lost: plan.successor_lost,
            failures: plan.failures.clone(),
        }
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        // Each change is one assignment, so a panic leaves nothing half done.
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Schedule {
    fn new(began: Instant, times: &Times) -> Self {
        let deadline = later(began, times.until_deadline());
        Self {
            began,
            half_open_over: later(began, times.half_open()),
            grace_over: later(began, times.grace_within_deadline()),
            deadline,
            end: later(deadline, TIME_TO_NOTICE),
        }
    }

    /// Each time as near as the nearer of the two.
    fn hasten(&mut self, to: &Self) {
        self.half_open_over = self.half_open_over.min(to.half_open_over);
        self.grace_over = self.grace_over.min(to.grace_over);
        self.deadline = self.deadline.min(to.deadline);
        self.end = self.end.min(to.end);
    }

    /// The level at this time, and when to look again.
    fn at(&self, now: Instant) -> (Level, Instant) {
        match now {
            now if now < self.half_open_over => (Level::Draining, self.half_open_over),
            now if now < self.grace_over => (Level::HalfOpenOver, self.grace_over),
            now if now < self.deadline => (Level::GraceOver, self.deadline),
            _ => (Level::Over, self.end),
        }
    }
}

/// `Duration::MAX` is how people write "never", and `Instant + Duration::MAX` panics.
pub(crate) fn later(now: Instant, after: Duration) -> Instant {
    const A_CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    now + after.min(A_CENTURY)
}

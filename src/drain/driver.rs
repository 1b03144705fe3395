use std::{
    ops::ControlFlow,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use super::{Level, Report, Times, Tracker, Watch, account::Stage, ledger::Ledger};
use crate::{Error, generation::Cause};

/// The owner's end of a drain: it begins, hastens and drives it.
///
/// It has two stages at a stop: what is last to close (health, admin) is told only when everything else is over. When a
/// successor serves, nothing is last.
///
/// Invariants: a level only rises; a deadline only comes nearer; the cause is the first one said.
#[derive(Clone, Debug)]
pub(crate) struct Drain {
    first: Act,
    last: Act,
    plan: Arc<Mutex<Plan>>,
}

/// One stage: who is told, and who is counted.
#[derive(Clone, Debug)]
struct Act {
    watch: Watch,
    tracker: Tracker,
}

#[derive(Debug, Default)]
struct Plan {
    /// When the log next says what is waited for.
    next_word: Option<Instant>,
    /// Then nothing gets any time any more, what is last to close neither.
    is_cut: bool,
    successor_lost: bool,
    failures: Vec<Error>,
}

/// How long what is last to close may take to end.
const LAST: Duration = Duration::from_secs(1);

/// How long of that an idle connection is waited for, so that a client that asks again and again hears of the end.
const LAST_GRACE: Duration = Duration::from_millis(200);

/// Whoever waits for a drain that takes long wants to know why; one that is shorter than this needs no explanation.
const BETWEEN_WORDS: Duration = Duration::from_secs(5);

impl Drain {
    pub(crate) fn new() -> Self {
        let ledger = Arc::<Ledger>::default();
        let act = |stage| {
            let watch = Watch::new();
            Act { tracker: Tracker::new(watch.clone(), stage, ledger.clone()), watch }
        };
        Self { first: act(Stage::First), last: act(Stage::Last), plan: Arc::default() }
    }

    pub(crate) fn watch(&self) -> Watch {
        self.first.watch.clone()
    }

    pub(crate) fn tracker(&self) -> Tracker {
        self.first.tracker.clone()
    }

    /// What a stop tells only when everything else is over. Counted with all others.
    pub(crate) fn last(&self) -> (Watch, Tracker) {
        (self.last.watch.clone(), self.last.tracker.clone())
    }

    /// Tells all but the last that they should go elsewhere, although whoever comes is still served.
    pub(crate) fn begin_lame_duck(&self, cause: Cause, times: &Times) {
        self.first.watch.begin_lame_duck(cause, Instant::now(), times);
    }

    /// Accepting has ended. Once it has begun, only [`shorten`](Self::shorten) and [`cut`](Self::cut) change it.
    pub(crate) fn begin(&self, cause: Cause, times: &Times) {
        let now = Instant::now();
        if cause.is_replaced() {
            // Before the first, so that whoever sees that one drain sees this one too.
            self.last.begin(cause.clone(), now, times);
        }
        self.first.begin(cause, now, times);
    }

    /// From now on at most these times, for whatever drains.
    pub(crate) fn shorten(&self, to: &Times) {
        let now = Instant::now();
        [&self.first, &self.last].into_iter().for_each(|act| act.hasten(now, to));
    }

    /// The deadline is now.
    pub(crate) fn cut(&self) {
        self.plan().is_cut = true;
        self.shorten(&Times::for_stop().deadline(Duration::ZERO));
    }

    /// Everything else is over: what is last to close ends now, within a second.
    pub(crate) fn end_last(&self) {
        let Some(cause) = self.first.watch.cause().cloned() else { return };
        let time = if self.plan().is_cut { Duration::ZERO } else { LAST };
        self.last.begin(cause, Instant::now(), &Times::for_stop().grace(LAST_GRACE).deadline(time).at_once());
    }

    /// The report will say so.
    pub(crate) fn successor_lost(&self) {
        self.plan().successor_lost = true;
    }

    /// A `serve` can no longer accept; the report will say so.
    pub(crate) fn failed(&self, why: Error) {
        self.plan().failures.push(why);
    }

    /// Until what is left is cut, but for the last; `None` before the drain has begun.
    pub(crate) fn remaining(&self) -> Option<Duration> {
        let deadline = self.first.watch.schedule().deadline()?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }

    /// Whether nothing may be begun any more: also when there was nothing to wait for, and the drain has ended early. One
    /// atomic load before the drain has begun.
    pub(crate) fn deadline_has_come(&self) -> bool {
        self.first.watch.is_draining() && self.remaining().is_some_and(|left| left.is_zero())
    }

    /// When it is over, also if something is left; `None` before it has begun.
    pub(crate) fn end(&self) -> Option<Instant> {
        let first = self.first.watch.schedule().end()?;
        Some(self.last.watch.schedule().end().map_or(first, |last| last.max(first)))
    }

    /// Waits for the drain's beginning, raises the level when its time has come, and ends when nothing is left to wait
    /// for but what is last to close, or when what was cut at the deadline has had a second to notice.
    ///
    /// Cancel safe: it may be dropped and asked for again, and goes on where it was. One at a time.
    pub(crate) fn run(&self) -> impl Future<Output = ()> + Send + use<> {
        let drain = self.clone();
        async move {
            tokio::select! {
                biased;
                _ = async { tokio::join!(drain.first.run(), drain.no_last()) } => {}
                () = drain.say() => {}
            }
        }
    }

    /// The same for what is last to close, once [`end_last`](Self::end_last) has told it.
    ///
    /// Cancel safe, as [`run`](Self::run).
    pub(crate) fn run_last(&self) -> impl Future<Output = Report> + Send + use<> {
        let drain = self.clone();
        async move {
            drain.last.run().await;
            drain.report()
        }
    }

    /// When a successor serves, the last is like any other.
    async fn no_last(&self) {
        if self.first.watch.draining().await.is_replaced() {
            self.last.run().await;
        }
    }

    /// Says now and then what is waited for. Never ends.
    async fn say(&self) {
        self.first.watch.reached(Level::Draining).await;
        let began = self.first.watch.schedule().began().expect("the times are written before the level rises");
        loop {
            // Kept, so that a drain which is asked for again neither repeats itself nor falls silent.
            let due = *self.plan().next_word.get_or_insert(began + BETWEEN_WORDS);
            sleep_until(due).await;
            self.plan().next_word = Some(Instant::now() + BETWEEN_WORDS);
            let remaining = self.remaining().unwrap_or_default();
            crate::log::info!(waits_for = self.first.tracker.waits_for(), ?remaining, "still draining");
        }
    }

    fn report(&self) -> Report {
        let (began, plan) = (self.first.watch.schedule().began(), self.plan());
        Report {
            cause: self.first.watch.cause().cloned().expect("what has ended was told why"),
            took: began.map_or(Duration::ZERO, |began| began.elapsed()),
            tallies: self.first.tracker.ledger().tallies(),
            successor_lost: plan.successor_lost,
            failures: plan.failures.clone(),
        }
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        // Each change is one assignment, so a panic leaves nothing half done.
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Act {
    fn begin(&self, cause: Cause, now: Instant, times: &Times) {
        if self.watch.begin(cause, now, times) {
            self.tracker.nudge();
        }
    }

    fn hasten(&self, now: Instant, to: &Times) {
        self.watch.hasten(now, to);
        self.tracker.nudge();
    }

    /// Cancel safe.
    async fn run(&self) {
        loop {
            match self.step() {
                ControlFlow::Break(()) => return,
                ControlFlow::Continue(None) => self.tracker.emptied().await,
                ControlFlow::Continue(Some(until)) => tokio::select! {
                    () = self.tracker.emptied() => {}
                    () = sleep_until(until) => {}
                },
            }
        }
    }

    /// Does what is due. Ends, or goes on at that time, or once it has begun.
    fn step(&self) -> ControlFlow<(), Option<Instant>> {
        // Copied, not held: what is woken and aborted below may run code that asks for this very lock.
        let schedule = *self.watch.schedule();
        let now = Instant::now();
        let Some((level, until)) = schedule.at(now) else { return ControlFlow::Continue(None) };
        self.watch.raise(level);
        if level == Level::Over {
            self.tracker.abort_tasks();
        }
        if self.tracker.is_done() || (level == Level::Over && now >= until) {
            // Nothing is left that has a use for the grace, but maybe somebody who waits for its end, uncounted.
            self.watch.raise(Level::GraceOver);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(Some(until))
    }
}

#[cfg(test)]
impl Drain {
    /// Through both stages.
    pub(crate) fn ended(&self) -> impl Future<Output = Report> + Send + use<> {
        let drain = self.clone();
        async move {
            drain.run().await;
            drain.end_last();
            drain.run_last().await
        }
    }
}

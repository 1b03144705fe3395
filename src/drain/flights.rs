use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use super::{Level, Outcome, Tracker, Why};

/// How many requests are in flight: one number, for a lock or an account would cost each of them more than it tells.
///
/// In the lower half how many there are, in the upper half how many have ever begun. That wraps, and means something only
/// in the moment between two looks, in which 2³² cannot begin.
///
/// Each begin and end is a read-modify-write of this one number, so all of them have an order, and an end's *release*
/// lasts through whatever follows it: who loads the number (*acquire*) and sees a request ended sees all that it has done.
/// A begin publishes nothing, and is *relaxed*.
#[derive(Debug, Default)]
pub(super) struct Flights(AtomicU64);

const COUNT: u64 = u32::MAX as u64;
const ONE_MORE: u64 = COUNT + 1 + 1;

impl Flights {
    fn begin(&self) {
        self.0.fetch_add(ONE_MORE, Ordering::Relaxed);
    }

    /// Whether it was the last.
    fn end(&self) -> bool {
        self.0.fetch_sub(1, Ordering::Release) & COUNT == 1
    }

    pub(super) fn len(&self) -> usize {
        (self.0.load(Ordering::Acquire) & COUNT) as usize
    }

    /// Whether there was a moment in which there were none and this held too.
    ///
    /// Two looks in a row would not tell. A request may leave a task behind: the ledger is seen empty, then the task comes and
    /// the request goes, then there are no requests; and the other way round with a connection that goes before its request
    /// does. Here none begins in between, so there is none when `holds` looks. Where one does begin, the answer is no, and
    /// its end wakes whoever asks.
    pub(super) fn are_none_while(&self, holds: impl FnOnce() -> bool) -> bool {
        let before = self.0.load(Ordering::Acquire);
        before & COUNT == 0 && holds() && self.0.load(Ordering::Acquire) == before
    }
}

/// A request in flight, until it is dropped.
#[must_use = "it counts until it is dropped"]
pub(crate) struct Flight {
    tracker: Tracker,
    is_told: bool,
    has_ended: bool,
}

impl Flight {
    /// Whether it is time to send its client elsewhere.
    pub(crate) fn tells(&self) -> bool {
        let watch = self.tracker.watch();
        // Its turn is taken only when somebody is told: in normal service it would be a second number that all share.
        watch.is_ending() && watch.tells(watch.turn())
    }

    /// Its client knows: the response bears `connection: close`.
    pub(crate) fn is_told(&mut self) {
        self.is_told = true;
    }

    /// By itself, and not because somebody drops it in its middle.
    pub(crate) fn end(mut self) {
        self.has_ended = true;
    }
}

impl Tracker {
    /// A request that the drain waits for.
    pub(crate) fn flight(&self) -> Flight {
        self.ledger().flights().begin();
        Flight { tracker: self.clone(), is_told: false, has_ended: false }
    }

    /// How many requests are in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.ledger().flights().len()
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let level = self.tracker.watch().level();
        if level >= Level::Draining {
            // At the deadline connections are dropped, with what they were answering. Before it, one that is dropped is its
            // client's affair, or that of whoever serves it.
            let outcome = match self {
                Self { has_ended: false, .. } if level == Level::Over => Outcome::Cut(Why::Deadline),
                Self { is_told: true, .. } => Outcome::Told,
                _ => Outcome::Finished,
            };
            self.tracker.ledger().note_flight(outcome);
        }
        if self.tracker.ledger().flights().end() {
            // Also when nothing drains: to look first would race a drain that begins between the two. While nobody waits, it
            // is one compare-and-swap.
            self.tracker.nudge();
        }
    }
}

impl fmt::Debug for Flight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flight").field("is_told", &self.is_told).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::sleep;

    use super::{super::Drain, *};
    use crate::drain::{Kind, Tally, Times};

    const SECOND: Duration = Duration::from_secs(1);

    fn begun() -> Drain {
        let drain = Drain::new();
        drain.begin(crate::Cause::Stopped { by: None }, &Times::for_stop().deadline(SECOND * 20));
        drain
    }

    #[test]
    fn there_are_none_only_where_none_begins_while_one_looks() {
        let flights = Flights::default();
        assert!(flights.are_none_while(|| true));
        assert!(!flights.are_none_while(|| false));
        flights.begin();
        // Not even looked: it might leave something behind and go, just after.
        assert!(!flights.are_none_while(|| panic!("there is one")));
        assert!(flights.end());
        let passes_by = || {
            flights.begin();
            flights.end()
        };
        assert!(!flights.are_none_while(passes_by));
        assert!(flights.are_none_while(|| true));
    }

    #[test]
    fn the_number_that_have_begun_may_wrap() {
        let flights = Flights((u64::from(u32::MAX) << 32).into());
        flights.begin();
        assert_eq!((flights.len(), flights.0.load(Ordering::Relaxed) >> 32), (1, 0));
        flights.begin();
        assert_eq!((flights.end(), flights.end(), flights.len()), (false, true, 0));
    }

    #[test]
    fn flights_of_many_threads_are_all_counted_and_all_end() {
        let tracker = Drain::new().tracker();
        let kept = std::thread::scope(|scope| {
            let threads =
                [(); 8].map(|()| scope.spawn(|| (0..2_000).map(|_| tracker.flight()).skip(1_900).collect::<Vec<_>>()));
            threads.map(|thread| thread.join().unwrap())
        });
        assert_eq!((tracker.in_flight(), tracker.len(), tracker.is_empty()), (800, 800, false));
        drop(kept);
        assert_eq!((tracker.in_flight(), tracker.is_empty()), (0, true));
    }

    #[tokio::test(start_paused = true)]
    async fn the_drain_waits_for_the_last_request_and_reports_how_each_ended() {
        let drain = begun();
        let tracker = drain.tracker();
        let (finished, mut told, dropped) = (tracker.flight(), tracker.flight(), tracker.flight());
        told.is_told();
        let running = tokio::spawn(drain.ended());
        for flight in [finished, told] {
            sleep(SECOND).await;
            flight.end();
        }
        assert_eq!(tracker.waits_for(), "1 request");
        let statuses = tracker.census();
        assert_eq!(
            (statuses[0].kind.as_str(), statuses[0].state.as_str(), statuses[0].count),
            ("request", "active", 1)
        );
        sleep(SECOND).await;
        drop(dropped);
        let report = running.await.unwrap();
        let Tally { finished, told, cut, .. } = report.of(Kind::Request);
        assert_eq!((report.took(), finished, told, cut), (SECOND * 3, 3, 1, 0));
        assert!(report.is_clean());
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_deadline_a_request_that_is_dropped_in_its_middle_is_cut_and_one_that_stays_is_left_behind() {
        let drain = begun();
        let tracker = drain.tracker();
        let [cut, finished, _left] = [(); 3].map(|()| tracker.flight());
        let running = tokio::spawn(drain.ended());
        drain.watch().reached(Level::Over).await;
        drop(cut);
        finished.end();
        let tally = running.await.unwrap().of(Kind::Request);
        assert_eq!((tally.finished, tally.cut), (1, 2));
        assert_eq!((tally.cut_by(Why::Deadline), tally.cut_by(Why::LeftBehind)), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn requests_that_end_before_the_drain_begins_are_not_reported() {
        let drain = Drain::new();
        drop(drain.tracker().flight());
        drain.begin(crate::Cause::Stopped { by: None }, &Times::for_stop());
        assert_eq!(drain.ended().await.total(), Tally::default());
    }
}

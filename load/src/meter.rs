//! The book in which all clients of a load write.

use std::{
    error, fmt,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::{sync::Notify, time};

use crate::{
    Outcome, Tally, Window,
    exchange::Answer,
    failure::Failure,
    tally::{Parting, Phase},
    window::Mark,
};

/// The book in which all clients of a load write. One lock for all of it: some ten nanoseconds a request, and whoever
/// looks sees figures that belong together.
#[derive(Debug)]
pub(crate) struct Meter {
    book: Mutex<Book>,
    news: Notify,
    serial: AtomicU64,
    window: Window,
}

#[derive(Debug)]
struct Book {
    tally: Tally,
    /// The smallest number of answers that somebody waits for. Waking on every answer would cost more than counting.
    awaited: u64,
}

/// A request whose clock runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// When it was asked, or ought to have been.
    pub(crate) at: time::Instant,
    deadline: Duration,
    mark: Mark,
}

/// What was waited for did not come by the deadline. `Debug` prints what `Display` prints, so that `unwrap` in a test
/// shows the tally.
#[derive(Clone)]
pub struct Stalled {
    awaited: String,
    after: Duration,
    tally: Box<Tally>,
}

impl Asked {
    /// What is done for the request fails when its time is up.
    pub(crate) async fn within<T>(self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let late = |_| Failure::new(Outcome::TimedOut, format_args!("no whole answer within {:?}", self.deadline));
        time::timeout_at(self.at + self.deadline, work).await.map_err(late)?
    }
}

impl Meter {
    pub(crate) fn new(window: Window) -> Self {
        let book = Book { tally: Tally::starting(time::Instant::now()), awaited: u64::MAX };
        Self { book: Mutex::new(book), news: Notify::new(), serial: AtomicU64::new(0), window }
    }

    /// Numbers requests, so that their bodies differ.
    pub(crate) fn serial(&self) -> u64 {
        self.serial.fetch_add(1, Relaxed)
    }

    /// Starts the clock of a request, or has it run since then.
    pub(crate) fn ask(&self, at: time::Instant, deadline: Duration) -> Asked {
        Asked { at, deadline, mark: self.window.mark(at) }
    }

    pub(crate) fn answered(&self, asked: Asked, answer: &Answer) {
        let now = time::Instant::now();
        let took = now.saturating_duration_since(asked.at);
        let phase = if self.window.touched(asked.mark) { Phase::InRestart } else { Phase::Outside };
        let mut book = self.book();
        let generations = book.tally.generations().len();
        book.tally.record_answer(now, answer.generation, phase, took);
        if book.tally.answered() >= book.awaited || book.tally.generations().len() > generations {
            book.awaited = u64::MAX; // Whoever still waits says so again.
            drop(book);
            self.news.notify_waiters();
        }
    }

    pub(crate) fn failed(&self, failure: &Failure) {
        self.book().tally.record_failure(time::Instant::now(), failure);
    }

    pub(crate) fn reconnected(&self, after: Parting) {
        self.book().tally.record_reconnect(time::Instant::now(), after);
    }

    pub(crate) fn tally(&self) -> Tally {
        self.book().tally.clone()
    }

    /// Forgets what was counted. Nobody may wait for a number of answers meanwhile.
    pub(crate) fn begin_anew(&self) {
        self.book().tally = Tally::starting(time::Instant::now());
    }

    /// Looks at the figures without a copy.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Tally) -> T) -> T {
        look(&self.book().tally)
    }

    /// Waits until `n` more requests were answered.
    pub(crate) async fn reach(&self, n: u64, deadline: Duration) -> Result<(), Stalled> {
        let goal = self.read(Tally::answered) + n;
        let reached = self.wait(goal, |tally| (tally.answered() >= goal).then_some(()));
        let reached = time::timeout(deadline, reached).await;
        reached.map_err(|_| self.stalled(format!("{n} more answers"), deadline))
    }

    /// Waits for the first answer of a generation, and tells when it came.
    pub(crate) async fn generation(&self, number: u64, deadline: Duration) -> Result<Instant, Stalled> {
        let first = self.wait(u64::MAX, |tally| tally.generations().get(&number).map(|generation| generation.first));
        let first = time::timeout(deadline, first).await;
        first.map_err(|_| self.stalled(format!("an answer of generation {number}"), deadline))
    }

    async fn wait<T>(&self, awaited: u64, done: impl Fn(&Tally) -> Option<T>) -> T {
        loop {
            let mut news = std::pin::pin!(self.news.notified());
            // Before the look: what is written between the look and the wait would else be missed.
            news.as_mut().enable();
            {
                let mut book = self.book();
                if let Some(found) = done(&book.tally) {
                    return found;
                }
                book.awaited = book.awaited.min(awaited);
            }
            news.await;
        }
    }

    fn stalled(&self, awaited: String, after: Duration) -> Stalled {
        Stalled { awaited, after, tally: Box::new(self.tally()) }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("nothing panics while it writes in the book")
    }
}

impl fmt::Display for Stalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no {} within {:?}; until now:\n{}", self.awaited, self.after, self.tally)
    }
}

impl fmt::Debug for Stalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl error::Error for Stalled {}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn answer(meter: &Meter, generation: u64) {
        let answer = Answer { status: 200, generation: Some(generation), close: false, body: Bytes::new() };
        meter.answered(meter.ask(time::Instant::now(), Duration::MAX), &answer);
    }

    #[tokio::test(start_paused = true)]
    async fn reach_waits_for_exactly_so_many_more() {
        let meter = Meter::new(Window::default());
        answer(&meter, 0);
        let second = Duration::from_secs(1);
        let (reached, ()) = tokio::join!(meter.reach(2, second), async { (0..2).for_each(|_| answer(&meter, 0)) });
        reached.unwrap();
        let (stalled, ()) = tokio::join!(meter.reach(2, second), async { answer(&meter, 0) });
        assert!(stalled.unwrap_err().to_string().starts_with("no 2 more answers within 1s"));
    }

    #[tokio::test(start_paused = true)]
    async fn two_can_wait_for_different_numbers() {
        let meter = Meter::new(Window::default());
        let second = Duration::from_secs(1);
        let answers = async {
            for _ in 0..3 {
                answer(&meter, 0);
                tokio::task::yield_now().await;
            }
        };
        let (few, many, ()) = tokio::join!(meter.reach(1, second), meter.reach(3, second), answers);
        few.and(many).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_answer_of_a_generation_wakes_whoever_waits_for_it() {
        let meter = Meter::new(Window::default());
        answer(&meter, 0);
        let awaited = meter.generation(1, Duration::from_secs(1));
        let (first, ()) = tokio::join!(awaited, async { answer(&meter, 1) });
        assert_eq!(first.unwrap(), meter.tally().generations()[&1].first);
    }

    #[tokio::test(start_paused = true)]
    async fn who_begins_anew_has_counted_nothing() {
        let meter = Meter::new(Window::default());
        answer(&meter, 0);
        meter.reconnected(Parting::Untold);
        meter.begin_anew();
        assert_eq!((meter.tally().requests(), meter.tally().reconnects()), (0, 0));
        answer(&meter, 0);
        assert_eq!(meter.tally().outside().count(), 1);
    }

    #[test]
    fn answers_in_a_window_are_told_apart() {
        let window = Window::default();
        let meter = Meter::new(window.clone());
        answer(&meter, 0);
        let open = window.open();
        answer(&meter, 0);
        answer(&meter, 0);
        drop(open);
        let tally = meter.tally();
        assert_eq!((tally.outside().count(), tally.in_restarts().count()), (1, 2));
    }
}

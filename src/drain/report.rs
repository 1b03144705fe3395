use std::{array, cmp::Reverse, fmt, time::Duration};

use super::{Kind, Outcome, Why};
use crate::{Error, ErrorKind, generation::Cause};

/// How the drain went: `Display` for people, methods for programs.
///
/// What ended before the drain began is not in it.
///
/// # Examples
///
/// ```
/// use std::process::ExitCode;
/// use tokio_hotrestart::Graceful;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> ExitCode {
/// let graceful = Graceful::detached();
/// // …serve…
/// let report = graceful.drain().await;
/// println!("{report}"); // stopped: drained in 0.0 s, nothing was left to do
/// assert!(report.is_clean());
/// ExitCode::from(report.exit_code())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Report {
    pub(super) cause: Cause,
    pub(super) took: Duration,
    pub(super) tallies: [Tally; Kind::COUNT],
    pub(super) successor_lost: bool,
    pub(super) failures: Vec<Error>,
}

/// How many ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Ended by themselves, or idle and let go.
    pub finished: usize,
    /// Those among the finished whose client knew before: told by `connection: close` or a GOAWAY.
    pub told: usize,
    /// Let go when idle, and then a request came that nobody answered. The client saw a clean end.
    ///
    /// HTTP/2 is not among them: what comes too late there is nearly always the answer to a PING, and no request.
    pub raced: usize,
    /// Live on in the successor; their clients have noticed nothing.
    pub handed_over: usize,
    /// Cut in their middle, for whatever reason, or left behind. [`cut_by`](Self::cut_by) tells them apart.
    pub cut: usize,
    why: [usize; Why::ALL.len()],
}

impl Tally {
    /// How many of the [`cut`](Self::cut) were so for this reason.
    pub fn cut_by(&self, why: Why) -> usize {
        self.why[why as usize]
    }

    pub(super) fn count(&mut self, outcome: Outcome, count: usize) {
        match outcome {
            Outcome::Finished => self.finished += count,
            Outcome::Told => {
                self.finished += count;
                self.told += count;
            }
            Outcome::Raced => self.raced += count,
            Outcome::HandedOver => self.handed_over += count,
            Outcome::Cut(why) => {
                self.cut += count;
                self.why[why as usize] += count;
            }
        }
    }

    fn plus(self, other: &Self) -> Self {
        Self {
            finished: self.finished + other.finished,
            told: self.told + other.told,
            raced: self.raced + other.raced,
            handed_over: self.handed_over + other.handed_over,
            cut: self.cut + other.cut,
            why: array::from_fn(|why| self.why[why] + other.why[why]),
        }
    }
}

impl Report {
    /// Why this generation ended.
    pub fn cause(&self) -> &Cause {
        &self.cause
    }

    /// How long the drain took.
    pub fn took(&self) -> Duration {
        self.took
    }

    /// How those of one kind ended. A connection counts as what it was when it ended.
    pub fn of(&self, kind: Kind) -> Tally {
        self.tallies[kind as usize]
    }

    /// How everything ended.
    pub fn total(&self) -> Tally {
        self.tallies.iter().fold(Tally::default(), Tally::plus)
    }

    /// How many ended by themselves, or idle and let go.
    pub fn finished(&self) -> usize {
        self.total().finished
    }

    /// How many of the [`finished`](Self::finished) were told before.
    pub fn told(&self) -> usize {
        self.total().told
    }

    /// How many were let go when idle just as a request came.
    pub fn raced(&self) -> usize {
        self.total().raced
    }

    /// How many connections live on in the successor.
    pub fn handed_over(&self) -> usize {
        self.total().handed_over
    }

    /// How many were cut, for whatever reason, or were left behind because nothing can cut them.
    pub fn cut(&self) -> usize {
        self.total().cut
    }

    /// How many were cut for this reason.
    pub fn cut_by(&self, why: Why) -> usize {
        self.total().cut_by(why)
    }

    /// What failed on the way: a `serve` that could no longer accept, a pid file that could not be written, a hook.
    pub fn failures(&self) -> &[Error] {
        &self.failures
    }

    /// Whether the successor died while this generation drained, so that nobody serves.
    pub fn successor_lost(&self) -> bool {
        self.successor_lost
    }

    /// That is known only after all else is over.
    pub(crate) fn lose_successor(&mut self) {
        self.successor_lost = true;
    }

    /// Whether nothing was lost, and nothing failed. What a policy has closed is not lost: the application wanted it so.
    pub fn is_clean(&self) -> bool {
        let total = self.total();
        total.raced == 0 && total.cut == total.cut_by(Why::Policy) && !self.has_failed()
    }

    /// What the process should exit with: 1 where a supervisor must act (the successor was lost, a listener can never accept
    /// again, the pid file could not be written), else 0.
    ///
    /// Cut connections are no failure: where a WebSocket is open, the deadline is how every drain ends. Nor are hooks and state
    /// that failed: to start this program again would mend nothing, and its successor serves.
    pub fn exit_code(&self) -> u8 {
        let needs_action = |error: &Error| !matches!(error.kind(), ErrorKind::Hook | ErrorKind::State);
        let failed = self.failures.iter().any(needs_action) || matches!(self.cause, Cause::Failed { .. });
        u8::from(self.successor_lost || failed)
    }

    fn has_failed(&self) -> bool {
        self.successor_lost || !self.failures.is_empty() || matches!(self.cause, Cause::Failed { .. })
    }
}

/// `stopped: drained in 20.0 s, 12 finished (9 told), 3 cut at the deadline (2 upgraded, 1 http1)`, and a line for each
/// failure. What was handed over comes first, as in `60 handed over (59 http1, 1 fresh)`.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: drained in {:.1} s, ", self.cause, self.took.as_secs_f64())?;
        let ends: Vec<_> = self.ends().collect();
        f.write_str(&if ends.is_empty() { "nothing was left to do".to_owned() } else { ends.join(", ") })?;
        if self.successor_lost {
            f.write_str("\nthe successor was lost: nobody serves")?;
        }
        self.failures.iter().try_for_each(|failure| write!(f, "\nfailed: {failure}"))
    }
}

impl Report {
    /// How many ended how, in words; not how none did.
    fn ends(&self) -> impl Iterator<Item = String> {
        let Tally { finished, told, raced, .. } = self.total();
        let handed_over = self.in_words(|tally| tally.handed_over, "handed over");
        let told = if told > 0 { format!(" ({told} told)") } else { String::new() };
        let finished = (finished > 0).then(|| format!("{finished} finished{told}"));
        let raced = (raced > 0).then(|| format!("{raced} raced"));
        let cut = Why::ALL.iter().filter_map(|why| self.in_words(|tally| tally.cut_by(*why), why));
        handed_over.into_iter().chain(finished).chain(raced).chain(cut)
    }

    /// `3 cut at the deadline (2 upgraded, 1 http1)`, and where all are of one kind, `3 left behind (other)`.
    fn in_words(&self, count: impl Fn(&Tally) -> usize, end: impl fmt::Display) -> Option<String> {
        let kinds = Kind::ALL.map(|kind| (kind, count(&self.of(kind))));
        let mut kinds: Vec<_> = kinds.into_iter().filter(|(_, count)| *count > 0).collect();
        kinds.sort_by_key(|(_, count)| Reverse(*count));
        let kinds = match &kinds[..] {
            [] => return None,
            [(kind, _)] => kind.to_string(),
            several => several.iter().map(|(kind, count)| format!("{count} {kind}")).collect::<Vec<_>>().join(", "),
        };
        Some(format!("{} {end} ({kinds})", count(&self.total())))
    }
}

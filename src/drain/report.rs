use std::{fmt, time::Duration};

use super::Kind;
use crate::{Error, generation::Cause};

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
    pub raced: usize,
    /// In their middle at the deadline, or left behind.
    pub cut: usize,
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
        self.tallies.iter().fold(Tally::default(), |sum, tally| Tally {
            finished: sum.finished + tally.finished,
            told: sum.told + tally.told,
            raced: sum.raced + tally.raced,
            cut: sum.cut + tally.cut,
        })
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

    /// How many were cut at the deadline, or were left behind because nothing can cut them.
    pub fn cut(&self) -> usize {
        self.total().cut
    }

    /// What failed on the way: a `serve` that could no longer accept, a pid file that could not be written.
    pub fn failures(&self) -> &[Error] {
        &self.failures
    }

    /// Whether the successor died while this generation drained, so that nobody serves.
    pub fn successor_lost(&self) -> bool {
        self.successor_lost
    }

    /// Whether nothing was lost, and nothing failed.
    pub fn is_clean(&self) -> bool {
        let Tally { raced, cut, .. } = self.total();
        raced == 0 && cut == 0 && !self.has_failed()
    }

    /// What the process should exit with: 1 where a supervisor must act (the successor was lost, something [failed](Self::failures)),
    /// else 0.
    ///
    /// Cut connections are no failure: where a WebSocket is open, the deadline is how every drain ends.
    pub fn exit_code(&self) -> u8 {
        u8::from(self.has_failed())
    }

    fn has_failed(&self) -> bool {
        self.successor_lost || !self.failures.is_empty() || matches!(self.cause, Cause::Failed { .. })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { finished, told, raced, cut } = self.total();
        write!(f, "{}: drained in {:.1} s, ", self.cause, self.took.as_secs_f64())?;
        if finished + raced + cut == 0 {
            f.write_str("nothing was left to do")?;
        } else {
            write!(f, "{finished} finished ({told} told), {raced} raced, {cut} cut")?;
        }
        if cut > 0 {
            let kinds = Kind::ALL.map(|kind| (kind, self.of(kind).cut));
            let kinds: Vec<_> =
                kinds.iter().filter(|(_, cut)| *cut > 0).map(|(kind, cut)| format!("{cut} {kind}")).collect();
            write!(f, " ({})", kinds.join(", "))?;
        }
        if self.successor_lost {
            f.write_str("\nthe successor was lost: nobody serves")?;
        }
        self.failures.iter().try_for_each(|failure| write!(f, "\nfailed: {failure}"))
    }
}

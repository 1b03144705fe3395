use std::fmt;

/// How what the drain waited for has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// By itself, or idle and let go.
    Finished,
    /// The same, and the client knew: its last response bore `connection: close`, or it got a GOAWAY.
    Told,
    /// A request came after it had been let go: nobody answered it.
    Raced,
    /// It lives on in the successor.
    HandedOver,
    /// In its middle.
    Cut(Why),
}

/// Why a drain cut something. More may come.
///
/// # Examples
///
/// ```
/// use tokio_hotrestart::{Graceful, drain::Why};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let graceful = Graceful::detached();
/// // …serve…
/// let report = graceful.drain().await;
/// assert_eq!((report.cut(), report.cut_by(Why::Deadline)), (0, 0));
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Why {
    /// It was in its middle at the drain's deadline.
    Deadline,
    /// A policy of the application's said so.
    Policy,
    /// Its handshake, or the head of a request that it had begun, was not complete in time.
    HalfOpen,
    /// Nothing could cut it, and it was still open a second after the deadline: somebody holds its guard, or a task does
    /// not come to an await.
    LeftBehind,
    /// It was changing hands, and for all that is known here nobody serves it: the successor had not decided, or something
    /// failed that it takes to give a socket away, or to take one.
    Undecided,
}

impl Outcome {
    pub(super) const COUNT: usize = 4 + Why::ALL.len();

    const ALL: [Self; Self::COUNT] = [
        Self::Finished,
        Self::Told,
        Self::Raced,
        Self::HandedOver,
        Self::Cut(Why::Deadline),
        Self::Cut(Why::Policy),
        Self::Cut(Why::HalfOpen),
        Self::Cut(Why::LeftBehind),
        Self::Cut(Why::Undecided),
    ];

    /// Its place in the ledger, and how an account bears it.
    pub(super) const fn place(self) -> usize {
        match self {
            Self::Finished => 0,
            Self::Told => 1,
            Self::Raced => 2,
            Self::HandedOver => 3,
            Self::Cut(why) => 4 + why as usize,
        }
    }

    pub(super) const fn at(place: usize) -> Self {
        Self::ALL[place]
    }
}

impl Why {
    /// In the order in which a report lists them.
    pub(crate) const ALL: [Self; 5] = [Self::Deadline, Self::Policy, Self::HalfOpen, Self::LeftBehind, Self::Undecided];

    /// The same in all versions: figures bear it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Deadline => "deadline",
            Self::Policy => "policy",
            Self::HalfOpen => "half_open",
            Self::LeftBehind => "left_behind",
            Self::Undecided => "undecided",
        }
    }
}

/// As a report says it: `cut at the deadline`.
impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deadline => "cut at the deadline",
            Self::Policy => "closed by policy",
            Self::HalfOpen => "cut half open",
            Self::LeftBehind => "left behind",
            Self::Undecided => "undecided",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_is_found_at_its_place() {
        for (place, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!((outcome.place(), Outcome::at(place)), (place, outcome));
        }
        let all = Why::ALL.map(|why| why as usize);
        assert!(all.into_iter().eq(0..Why::ALL.len()));
    }
}

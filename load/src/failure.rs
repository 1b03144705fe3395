//! Why a request has no answer.

use std::{fmt, io};

use crate::Outcome;

/// Why a request has no answer: the bucket it goes into, and a sentence for whoever reads the tally.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) outcome: Outcome,
    why: String,
}

/// How far the exchange was when its connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Some bytes of the answer had come.
    Begun,
    /// No byte of it, on a connection that had answered before.
    Reused,
    /// No byte of it, on a new connection.
    New,
}

impl Failure {
    pub(crate) fn new(outcome: Outcome, why: impl fmt::Display) -> Self {
        Self { outcome, why: why.to_string() }
    }

    pub(crate) fn wrong(why: impl fmt::Display) -> Self {
        Self::new(Outcome::Wrong, why)
    }

    /// `connect(2)` failed.
    pub(crate) fn connect(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::new(Outcome::Refused, error),
            // A Unix socket's queue that was full until the deadline.
            io::ErrorKind::WouldBlock => Self::new(Outcome::TimedOut, error),
            _ => Self::new(Outcome::ConnectError, error),
        }
    }

    /// The connection ended under a request: an end of file has no error.
    pub(crate) fn ended(progress: Progress, error: Option<&io::Error>) -> Self {
        let how = error.map_or_else(|| "end of file".to_owned(), ToString::to_string);
        match (progress, error.map(io::Error::kind)) {
            (Progress::Reused, _) => Self::new(Outcome::Raced, format!("{how}, before any byte of the answer")),
            // Layers above the socket report its end as an error.
            (_, None | Some(io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe)) => {
                Self::new(Outcome::Cut, format!("{how}, {progress}"))
            }
            (_, Some(_)) => Self::new(Outcome::Reset, format!("{how}, {progress}")),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.outcome.name(), self.why)
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Begun => "in the middle of the answer",
            Self::Reused => "on a connection that had answered before",
            Self::New => "on a new connection",
        })
    }
}

use std::fmt;

use crate::results::Run;

/// What systems are compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Figure {
    Lost,
    Reconnects,
    /// The 99.9th percentile of what restarts have touched.
    Tail,
    Longest,
    RestartTime,
    Throughput,
}

impl Figure {
    pub(super) const ALL: [Self; 6] =
        [Self::Lost, Self::Reconnects, Self::Tail, Self::Longest, Self::RestartTime, Self::Throughput];

    /// `None`: this run does not tell.
    pub(super) fn of(self, run: &Run) -> Option<f64> {
        let in_restarts = |value| (run.in_restarts.count > 0).then_some(value);
        match self {
            Self::Lost => Some(run.lost as f64),
            Self::Reconnects => Some(run.reconnects as f64),
            Self::Tail => in_restarts(run.in_restarts.p999),
            Self::Longest => in_restarts(run.in_restarts.max),
            Self::RestartTime => median(&run.restart_ms),
            Self::Throughput => Some(run.per_second),
        }
    }

    /// Whether theirs is better than ours by more than what two runs of the same differ.
    pub(super) fn is_behind(self, ours: f64, theirs: f64) -> bool {
        match self {
            Self::Lost | Self::Reconnects => theirs < ours,
            Self::Tail | Self::Longest | Self::RestartTime => theirs < 0.8 * ours && ours - theirs > 1.0,
            Self::Throughput => theirs > 1.05 * ours,
        }
    }

    /// Whether one value is better than another.
    pub(super) fn is_better(self, one: f64, other: f64) -> bool {
        if self == Self::Throughput { one > other } else { one < other }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lost => "requests lost",
            Self::Reconnects => "reconnects",
            Self::Tail => "p99.9 in restarts, ms",
            Self::Longest => "longest in restarts, ms",
            Self::RestartTime => "restart time, ms",
            Self::Throughput => "requests a second",
        })
    }
}

pub(super) fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

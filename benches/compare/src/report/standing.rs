//! Where ours is behind another system.

use super::number::median;
use crate::results::{Percentiles, Run};

/// A figure by which systems are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    Lost,
    Reconnects,
    RestartTime,
    Throughput,
    Outside(Part),
    InRestarts(Part),
}

/// A part of the answers, the fastest ones first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    P50,
    P99,
    P999,
    Max,
}

/// Somebody else's figure that is better than ours.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Better {
    pub(crate) figure: Figure,
    pub(crate) system: String,
    pub(crate) value: f64,
}

/// Whether this is one of this crate's servers: `ours`, `ours, handover off`.
pub(super) fn is_ours(run: &Run) -> bool {
    run.system.starts_with("ours")
}

/// In which figures this run of ours is behind the best of the others in its scenario. Empty for one of the others.
pub(crate) fn behind(run: &Run, scenario: &[&Run]) -> Vec<Better> {
    if !is_ours(run) {
        return Vec::new();
    }
    Figure::ALL.into_iter().filter_map(|figure| figure.behind(run, scenario)).collect()
}

impl Figure {
    /// Times and rates that are no further apart are called equal: a second run of the same system is as far away.
    pub(super) const TOLERANCE: f64 = 0.05;

    /// In the order of the tables' columns.
    pub(super) const ALL: [Self; 12] = [
        Self::Lost,
        Self::Reconnects,
        Self::RestartTime,
        Self::Throughput,
        Self::Outside(Part::P50),
        Self::Outside(Part::P99),
        Self::Outside(Part::P999),
        Self::Outside(Part::Max),
        Self::InRestarts(Part::P50),
        Self::InRestarts(Part::P99),
        Self::InRestarts(Part::P999),
        Self::InRestarts(Part::Max),
    ];

    /// As the heads of tables have it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Reconnects => "reopened",
            Self::RestartTime => "restart ms",
            Self::Throughput => "answers/s",
            Self::Outside(part) | Self::InRestarts(part) => part.name(),
        }
    }

    /// `None` where there is no such figure: of no answers there are no percentiles.
    pub(super) fn of(self, run: &Run) -> Option<f64> {
        match self {
            Self::Lost => Some(run.lost as f64),
            Self::Reconnects => Some(run.reconnects as f64),
            Self::RestartTime => median(&run.restart_ms),
            Self::Throughput => Some(run.per_second),
            Self::Outside(part) => part.of(&run.outside),
            Self::InRestarts(part) => part.of(&run.in_restarts),
        }
    }

    fn behind(self, ours: &Run, scenario: &[&Run]) -> Option<Better> {
        let own = self.of(ours)?;
        let others = scenario.iter().filter(|run| !is_ours(run));
        let values = others.filter_map(|run| Some((run, self.of(run)?)));
        let (best, value) = values.reduce(|best, other| if self.is_better(other.1, best.1) { other } else { best })?;
        let beyond = match self {
            // A count is exact.
            Self::Lost | Self::Reconnects => own > value,
            Self::Throughput => own < value * (1.0 - Self::TOLERANCE),
            Self::RestartTime | Self::Outside(_) | Self::InRestarts(_) => own > value * (1.0 + Self::TOLERANCE),
        };
        beyond.then(|| Better { figure: self, system: best.system.clone(), value })
    }

    fn is_better(self, one: f64, other: f64) -> bool {
        if self == Self::Throughput { one > other } else { one < other }
    }
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P99 => "p99",
            Self::P999 => "p99.9",
            Self::Max => "max",
        }
    }

    fn of(self, latency: &Percentiles) -> Option<f64> {
        let value = match self {
            Self::P50 => latency.p50,
            Self::P99 => latency.p99,
            Self::P999 => latency.p999,
            Self::Max => latency.max,
        };
        (latency.count > 0).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(system: &str) -> Run {
        let latency = Percentiles { count: 10, p50: 1.0, p99: 2.0, p999: 3.0, max: 4.0, curve: Vec::new() };
        let (outside, in_restarts) = (latency.clone(), latency);
        Run {
            system: system.into(),
            per_second: 1_000.0,
            restart_ms: vec![9.0],
            outside,
            in_restarts,
            ..Run::default()
        }
    }

    fn figures(ours: &Run, others: &[&Run]) -> Vec<Figure> {
        behind(ours, others).into_iter().map(|better| better.figure).collect()
    }

    #[test]
    fn equals_are_not_behind() {
        let mut nearly = run("other");
        (nearly.per_second, nearly.outside.p50) = (1_040.0, 0.96);
        assert_eq!(behind(&run("ours"), &[&run("ours"), &nearly]), []);
    }

    #[test]
    fn the_best_of_the_others_is_named() {
        let (mut ours, good, mut better) = (run("ours"), run("good"), run("better"));
        (ours.per_second, better.per_second) = (500.0, 2_000.0);
        let expected = Better { figure: Figure::Throughput, system: "better".into(), value: 2_000.0 };
        assert_eq!(behind(&ours, &[&good, &better, &ours]), [expected]);
    }

    #[test]
    fn one_lost_request_is_one_too_many() {
        let mut ours = run("ours");
        (ours.lost, ours.reconnects) = (1, 1);
        assert_eq!(figures(&ours, &[&run("other")]), [Figure::Lost, Figure::Reconnects]);
    }

    #[test]
    fn each_time_is_compared() {
        let mut slow = run("ours");
        slow.restart_ms = vec![10.0];
        slow.outside.max = 5.0;
        slow.in_restarts.p999 = 4.0;
        let expected = [Figure::RestartTime, Figure::Outside(Part::Max), Figure::InRestarts(Part::P999)];
        assert_eq!(figures(&slow, &[&run("other")]), expected);
    }

    #[test]
    fn who_answered_nothing_is_ahead_of_nobody() {
        let mut none = run("other");
        (none.outside, none.in_restarts, none.restart_ms) = Default::default();
        none.per_second = 0.0;
        assert_eq!(behind(&run("ours"), &[&none]), []);
    }

    #[test]
    fn only_ours_is_behind_and_only_others() {
        let mut slow = run("other");
        slow.per_second = 1.0;
        assert_eq!(behind(&slow, &[&run("ours")]), []);
        slow.system = "ours, handover off".into();
        assert_eq!(behind(&slow, &[&run("ours")]), []);
        assert_eq!(figures(&slow, &[&run("other")]), [Figure::Throughput]);
    }
}

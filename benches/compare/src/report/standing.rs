//! Where ours is behind another system.

use std::fmt;

use super::number::{count, median, milliseconds};
use crate::results::{Percentiles, Run};

/// A figure by which systems are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    Lost,
    Reconnects,
    RestartTime,
    Throughput,
    Cpu,
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
    pub(super) proof: Proof,
}

/// Whether it is better in each round, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    Decided,
    /// There were too few rounds to tell.
    Undecided,
}

/// Whether this is one of this crate's servers: `ours`, `ours, handover off`.
pub(super) fn is_ours(run: &Run) -> bool {
    run.system.starts_with("ours")
}

/// In which figures this run of ours is behind the best of the others in its scenario. Empty for one of the others.
pub(crate) fn behind(run: &Run, scenario: &[&Run]) -> Vec<Better> {
    all(run, scenario, Proof::Decided)
}

/// In which figures it would be behind, had there been enough rounds to tell.
pub(crate) fn undecided(run: &Run, scenario: &[&Run]) -> Vec<Better> {
    all(run, scenario, Proof::Undecided)
}

fn all(run: &Run, scenario: &[&Run], proof: Proof) -> Vec<Better> {
    if !is_ours(run) {
        return Vec::new();
    }
    let better = Figure::ALL.into_iter().filter_map(|figure| figure.behind(run, scenario));
    better.filter(|better| better.proof == proof).collect()
}

impl Figure {
    /// Times and rates that are no further apart are called equal.
    pub(super) const TOLERANCE: f64 = 0.05;

    /// So many rounds tell a difference from what varies by itself.
    pub(super) const ROUNDS: usize = 3;

    /// So many answers have a p99.9 that is more than a few of them.
    pub(super) const MANY: u64 = 10_000;

    /// In the order of the tables' columns.
    pub(super) const ALL: [Self; 13] = [
        Self::Lost,
        Self::Reconnects,
        Self::RestartTime,
        Self::Throughput,
        Self::Cpu,
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
            Self::Cpu => "CPU µs/answer",
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
            Self::Cpu => run.cpu_us,
            Self::Outside(part) => part.of(&run.outside),
            Self::InRestarts(part) => part.of(&run.in_restarts),
        }
    }

    /// Times that are no further apart, in milliseconds, are equal to any client. Of rates there is no such thing.
    pub(super) const fn floor(self) -> f64 {
        match self {
            Self::Outside(Part::P50 | Part::P99) | Self::InRestarts(Part::P50 | Part::P99) => 0.1,
            Self::Outside(Part::P999) | Self::InRestarts(Part::P999) => 0.5,
            Self::Outside(Part::Max) | Self::InRestarts(Part::Max) | Self::RestartTime => 2.0,
            Self::Lost | Self::Reconnects | Self::Throughput | Self::Cpu => 0.0,
        }
    }

    fn behind(self, ours: &Run, scenario: &[&Run]) -> Option<Better> {
        let own = self.of(ours)?;
        let others = scenario.iter().filter(|run| !is_ours(run) && self.is_earned(run));
        let values = others.filter_map(|run| Some((run, self.of(run)?)));
        let (best, value) = values.reduce(|best, other| if self.is_better(other.1, best.1) { other } else { best })?;
        let better = |proof| Better { figure: self, system: best.system.clone(), value, proof };
        // A count is exact.
        if matches!(self, Self::Lost | Self::Reconnects) {
            return (own > value).then(|| better(Proof::Decided));
        }
        let beyond = self.is_better(value, own)
            && (own - value).abs() > Self::TOLERANCE * value
            && (own - value).abs() > self.floor()
            && self.rests_on_many(ours)
            && self.rests_on_many(best);
        if !beyond {
            return None;
        }
        let rounds = |run: &Run| run.rounds.iter().filter_map(|round| self.of(round)).collect::<Vec<_>>();
        let (ours, theirs) = (rounds(ours), rounds(best));
        if ours.len().min(theirs.len()) < Self::ROUNDS {
            return Some(better(Proof::Undecided));
        }
        let always = theirs.iter().all(|theirs| ours.iter().all(|ours| self.is_better(*theirs, *ours)));
        always.then(|| better(Proof::Decided))
    }

    /// Who loses the slow requests looks fast, and who does not restart opens nothing again.
    fn is_earned(self, run: &Run) -> bool {
        match self {
            Self::Reconnects | Self::InRestarts(_) | Self::Outside(Part::Max) => {
                run.lost == 0 && run.failed_restarts <= run.expected_failures
            }
            _ => true,
        }
    }

    fn rests_on_many(self, run: &Run) -> bool {
        match self {
            Self::Outside(Part::P999) => run.outside.count >= Self::MANY,
            Self::InRestarts(Part::P999) => run.in_restarts.count >= Self::MANY,
            _ => true,
        }
    }

    fn is_better(self, one: f64, other: f64) -> bool {
        if self == Self::Throughput { one > other } else { one < other }
    }
}

impl Better {
    /// `p50 in restarts`
    pub(crate) fn what(&self) -> String {
        let name = self.figure.name();
        match self.figure {
            Figure::Throughput => "throughput".to_owned(),
            Figure::Cpu => "processor time".to_owned(),
            Figure::RestartTime => "restart time".to_owned(),
            Figure::InRestarts(_) => format!("{name} in restarts"),
            Figure::Outside(_) => format!("{name} without a restart"),
            Figure::Lost | Figure::Reconnects => name.to_owned(),
        }
    }
}

impl fmt::Display for Better {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = match self.figure {
            Figure::Lost | Figure::Reconnects => count(self.value as u64),
            Figure::Throughput => format!("{}/s", count(self.value as u64)),
            Figure::Cpu => format!("{} µs", milliseconds(self.value)),
            _ => format!("{} ms", milliseconds(self.value)),
        };
        write!(f, "{} ({}: {value})", self.what(), self.system)
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
        let latency = Percentiles { count: 10_000, p50: 10.0, p99: 20.0, p999: 30.0, max: 40.0, curve: Vec::new() };
        let (outside, in_restarts) = (latency.clone(), latency);
        let (system, per_second, restart_ms) = (system.into(), 1_000.0, vec![90.0]);
        Run { system, per_second, restart_ms, outside, in_restarts, ..Run::default() }
    }

    /// The same in each round.
    fn thrice(run: Run) -> Run {
        Run { rounds: vec![run.clone(); 3], ..run }
    }

    fn figures(ours: &Run, others: &[&Run]) -> Vec<Figure> {
        behind(ours, others).into_iter().map(|better| better.figure).collect()
    }

    #[test]
    fn equals_are_not_behind() {
        let mut nearly = run("other");
        (nearly.per_second, nearly.outside.p50) = (1_040.0, 9.6);
        assert_eq!(behind(&thrice(run("ours")), &[&thrice(run("ours")), &thrice(nearly)]), []);
    }

    #[test]
    fn what_no_client_notices_is_no_difference() {
        let (mut slow, mut fast) = (run("ours"), run("other"));
        (slow.outside.p50, fast.outside.p50) = (0.15, 0.06);
        (slow.outside.max, fast.outside.max) = (3.0, 1.5);
        (slow.restart_ms, fast.restart_ms) = (vec![3.0], vec![1.5]);
        assert_eq!(figures(&thrice(slow), &[&thrice(fast)]), []);
    }

    #[test]
    fn a_tail_of_few_answers_says_nothing() {
        let (mut slow, mut few) = (run("ours"), run("other"));
        (slow.outside.p999, few.outside.count) = (60.0, 9_999);
        assert_eq!(figures(&thrice(slow.clone()), &[&thrice(few)]), []);
        assert_eq!(figures(&thrice(slow), &[&thrice(run("other"))]), [Figure::Outside(Part::P999)]);
    }

    #[test]
    fn the_best_of_the_others_is_named() {
        let (mut ours, good, mut better) = (run("ours"), thrice(run("good")), run("better"));
        (ours.per_second, better.per_second) = (500.0, 2_000.0);
        let (ours, better) = (thrice(ours), thrice(better));
        let (figure, system, proof) = (Figure::Throughput, "better".into(), Proof::Decided);
        assert_eq!(behind(&ours, &[&good, &better, &ours]), [Better { figure, system, value: 2_000.0, proof }]);
    }

    #[test]
    fn who_is_better_in_some_rounds_only_is_not_better() {
        let (mut ours, mut other) = (thrice(run("ours")), thrice(run("other")));
        other.per_second = 2_000.0;
        other.rounds[0].per_second = 2_000.0;
        other.rounds[1].per_second = 2_100.0;
        ours.rounds[2].per_second = 1_100.0;
        assert_eq!((behind(&ours, &[&other]), undecided(&ours, &[&other])), (vec![], vec![]));
        other.rounds[2].per_second = 1_200.0;
        assert_eq!(figures(&ours, &[&other]), [Figure::Throughput]);
        ours.rounds.truncate(2);
        assert_eq!((behind(&ours, &[&other]), undecided(&ours, &[&other]).len()), (vec![], 1));
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
        slow.restart_ms = vec![100.0];
        slow.outside.max = 50.0;
        slow.in_restarts.p999 = 40.0;
        let expected = [Figure::RestartTime, Figure::Outside(Part::Max), Figure::InRestarts(Part::P999)];
        assert_eq!(figures(&thrice(slow), &[&thrice(run("other"))]), expected);
    }

    #[test]
    fn who_loses_or_does_not_restart_is_not_ahead_where_that_helps() {
        let (mut slow, mut loses) = (run("ours"), run("other"));
        (slow.reconnects, slow.outside.max, slow.in_restarts.p50, slow.outside.p50) = (9, 90.0, 90.0, 90.0);
        loses.lost = 1;
        assert_eq!(figures(&thrice(slow.clone()), &[&thrice(loses)]), [Figure::Outside(Part::P50)]);
        let mut stays = run("other");
        stays.failed_restarts = 1;
        assert_eq!(figures(&thrice(slow.clone()), &[&thrice(stays.clone())]), [Figure::Outside(Part::P50)]);
        stays.expected_failures = 1;
        assert_eq!(figures(&thrice(slow), &[&thrice(stays)]).len(), 4);
    }

    #[test]
    fn who_answered_nothing_is_ahead_of_nobody() {
        let mut none = run("other");
        (none.outside, none.in_restarts, none.restart_ms) = Default::default();
        none.per_second = 0.0;
        assert_eq!(behind(&thrice(run("ours")), &[&thrice(none)]), []);
    }

    #[test]
    fn only_ours_is_behind_and_only_others() {
        let mut slow = run("other");
        slow.per_second = 1.0;
        assert_eq!(behind(&thrice(slow.clone()), &[&thrice(run("ours"))]), []);
        slow.system = "ours, handover off".into();
        assert_eq!(behind(&thrice(slow.clone()), &[&thrice(run("ours"))]), []);
        assert_eq!(figures(&thrice(slow), &[&thrice(run("other"))]), [Figure::Throughput]);
    }
}

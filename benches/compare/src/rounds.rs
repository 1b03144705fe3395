//! What was measured several times, as one.

use crate::{
    report::median,
    results::{Percentiles, Run, Slot},
};

/// All rounds of one system in one scenario; `None` of none.
pub(crate) fn together(rounds: Vec<Run>) -> Option<Run> {
    let first = rounds.first()?.clone();
    let sum = |of: fn(&Run) -> u64| rounds.iter().map(of).sum::<u64>();
    let all = Run {
        restart_ms: rounds.iter().flat_map(|run| run.restart_ms.iter().copied()).collect(),
        failed_restarts: rounds.iter().map(|run| run.failed_restarts).sum(),
        expected_failures: rounds.iter().map(|run| run.expected_failures).sum(),
        lost: sum(|run| run.lost),
        reconnects: sum(|run| run.reconnects),
        per_second: middle(rounds.iter().map(|run| run.per_second)),
        cpu_us: median(&rounds.iter().filter_map(|run| run.cpu_us).collect::<Vec<_>>()),
        outside: percentiles(&rounds, |run| &run.outside),
        in_restarts: percentiles(&rounds, |run| &run.in_restarts),
        ..first
    };
    Some(merge_the_rest(all, rounds))
}

/// What has names, and the rounds themselves.
fn merge_the_rest(mut all: Run, rounds: Vec<Run>) -> Run {
    for run in &rounds[1..] {
        for (name, count) in &run.outcomes {
            *all.outcomes.entry(name.clone()).or_default() += count;
        }
        let new: Vec<_> = run.notes.iter().filter(|note| !all.notes.contains(note)).cloned().collect();
        all.notes.extend(new);
    }
    // One may be had in some rounds only: when an old process had ended that was there for too long in another.
    for name in rounds.iter().flat_map(|run| run.figures.keys()) {
        let value = middle(rounds.iter().filter_map(|run| run.figures.get(name).copied()));
        all.figures.insert(name.clone(), value);
    }
    let bare = |mut run: Run| {
        run.timeline = Vec::<Slot>::new();
        (run.outside.curve, run.in_restarts.curve) = Default::default();
        run
    };
    all.rounds = rounds.into_iter().map(bare).collect();
    all
}

/// Of rounds without an answer there is no latency.
fn percentiles(rounds: &[Run], of: fn(&Run) -> &Percentiles) -> Percentiles {
    let some: Vec<&Percentiles> = rounds.iter().map(of).filter(|latency| latency.count > 0).collect();
    let Some(first) = some.first() else { return Percentiles::default() };
    let middle = |of: fn(&Percentiles) -> f64| middle(some.iter().map(|latency| of(latency)));
    Percentiles {
        count: some.iter().map(|latency| latency.count).sum(),
        p50: middle(|latency| latency.p50),
        p99: middle(|latency| latency.p99),
        p999: middle(|latency| latency.p999),
        max: middle(|latency| latency.max),
        curve: first.curve.clone(),
    }
}

fn middle(values: impl Iterator<Item = f64>) -> f64 {
    median(&values.collect::<Vec<_>>()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_medians_and_counts_are_sums() {
        let round = |ms: f64, lost| {
            let outside = Percentiles { count: 10, p50: ms, max: 2.0 * ms, ..Percentiles::default() };
            let notes = vec!["the same".to_owned()];
            let outcomes = [("raced".to_owned(), lost)].into();
            Run {
                lost,
                restart_ms: vec![ms],
                per_second: ms,
                cpu_us: Some(ms),
                outside,
                notes,
                outcomes,
                ..Run::default()
            }
        };
        let all = together(vec![round(9.0, 1), round(1.0, 0), round(2.0, 4)]).unwrap();
        assert_eq!((all.lost, all.outcomes["raced"], all.per_second, all.cpu_us), (5, 5, 2.0, Some(2.0)));
        assert_eq!((all.outside.count, all.outside.p50, all.outside.max), (30, 2.0, 4.0));
        assert_eq!((all.restart_ms, all.notes.len(), all.rounds.len()), (vec![9.0, 1.0, 2.0], 1, 3));
        assert_eq!(all.in_restarts.count, 0);
        assert_eq!(together(Vec::new()), None);
    }
}

//! The runs of one scenario, and what their pictures have in common.

use super::scale::{Scale, Unit};
use crate::{
    measure::LATE,
    results::{Results, Run},
};

/// The runs of one scenario, in the order in which they were measured.
#[derive(Clone, Debug)]
pub(super) struct Scenario<'a> {
    pub(super) name: &'a str,
    pub(super) runs: Vec<&'a Run>,
}

/// The axes of all timelines of a scenario: pictures side by side are compared by eye.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axes {
    pub(super) seconds: Scale,
    pub(super) requests: Scale,
    pub(super) latency: Scale,
    pub(super) from: From,
}

/// From when time counts in a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    Load,
    FirstRestart,
}

impl<'a> Scenario<'a> {
    /// The one whose picture README shows.
    const MAIN: &'static str = "busy keep-alive";

    /// All of them, in the order in which they were begun.
    pub(super) fn all(results: &'a Results) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for run in &results.runs {
            match all.iter_mut().find(|scenario| scenario.name == run.scenario) {
                Some(scenario) => scenario.runs.push(run),
                None => all.push(Self { name: &run.scenario, runs: vec![run] }),
            }
        }
        all
    }

    /// The one that is shown first: the first with restarts, where the main one was not measured.
    pub(super) fn main(all: &[Self]) -> Option<&Self> {
        let restarts = |scenario: &&Self| scenario.runs.iter().any(|run| !run.restarts.is_empty());
        all.iter().filter(restarts).find(|scenario| scenario.name == Self::MAIN).or_else(|| all.iter().find(restarts))
    }

    pub(super) fn axes(&self) -> Axes {
        let slots = || self.runs.iter().flat_map(|run| &run.timeline);
        let seconds = self.runs.iter().map(|run| run.seconds.max(run.timeline_seconds())).fold(0.0, f64::max);
        let requests = slots().map(|slot| f64::from(slot.answered)).fold(0.0, f64::max);
        Axes {
            seconds: Scale::even(seconds, Unit::Seconds),
            requests: Scale::even(requests * 1.1, Unit::Count),
            latency: Scale::times(slots().map(|slot| f64::from(slot.max_ms))),
            from: From::Load,
        }
    }

    /// The same for the time around the first restart of each run: long enough for half as much again as the slowest one,
    /// and no longer than to the second. `None` where there are no restarts.
    pub(super) fn close_up(&self) -> Option<Axes> {
        const BEFORE: f64 = 0.1;
        let restarted = || self.runs.iter().filter(|run| !run.restarts.is_empty());
        restarted().next()?;
        let slowest = restarted().flat_map(|run| &run.restart_ms).map(|ms| ms / 1e3).fold(0.0, f64::max);
        let gaps = restarted().filter_map(|run| run.restarts.get(1).map(|second| second - run.restarts[0]));
        let after = (slowest * 1.5).clamp(0.3, 2.0).min(gaps.fold(f64::INFINITY, f64::min));
        Some(Axes { seconds: Scale::around(BEFORE, after), from: From::FirstRestart, ..self.axes() })
    }

    /// The axis of all curves of a scenario, of requests that met a restart and of others.
    pub(super) fn curve_axis(&self) -> Scale {
        let curves = self.runs.iter().flat_map(|run| [&run.outside, &run.in_restarts]);
        let shown = curves.flat_map(|latency| &latency.curve).filter(|(percent, _)| *percent >= 50.0);
        Scale::times(shown.map(|(_, ms)| *ms))
    }
}

impl From {
    /// When that was in a run, in seconds since its load began.
    pub(super) fn of(self, run: &Run) -> f64 {
        match self {
            Self::Load => 0.0,
            Self::FirstRestart => run.restarts.first().copied().unwrap_or(0.0),
        }
    }
}

impl Run {
    pub(super) fn timeline_seconds(&self) -> f64 {
        self.timeline.len() as f64 * self.slot_ms / 1e3
    }

    /// How many restarts there were, in all rounds.
    pub(super) fn all_restarts(&self) -> usize {
        match &self.rounds[..] {
            [] => self.restarts.len(),
            rounds => rounds.iter().map(|round| round.restarts.len()).sum(),
        }
    }

    /// Of one restart on average. `None` where there was none.
    pub(super) fn per_restart(&self, count: u64) -> Option<f64> {
        let restarts = self.all_restarts();
        (restarts > 0).then(|| count as f64 / restarts as f64)
    }

    /// How the lost ones were lost: `raced 62, reset 2`.
    pub(super) fn losses(&self) -> String {
        // What is no loss by the protocol stands among the outcomes under these names.
        const NO_LOSS: [&str; 4] = ["answered", LATE, "unanswered after close", "unprocessed by HTTP/2"];
        let kinds = self.outcomes.iter().filter(|(name, count)| **count > 0 && !NO_LOSS.contains(&name.as_str()));
        kinds.map(|(name, count)| format!("{name} {}", super::number::count(*count))).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{report::sample, results::Slot};

    #[test]
    fn runs_are_grouped_by_scenario_in_their_order() {
        let results = sample::nasty();
        let names: Vec<_> = Scenario::all(&results).iter().map(|scenario| scenario.name).collect();
        assert_eq!(names, ["a <b> & \"c\"", "no restart", "busy keep-alive"]);
        assert_eq!(Scenario::main(&Scenario::all(&results)).unwrap().name, "busy keep-alive");
    }

    #[test]
    fn without_a_restart_there_is_no_main_picture() {
        let results = sample::nasty();
        let all = Scenario::all(&results);
        assert!(Scenario::main(&all[1..2]).is_none() && Scenario::main(&[]).is_none());
    }

    #[test]
    fn all_timelines_fit_on_the_common_axes() {
        let slot = |answered, max_ms| Slot { answered, max_ms, ..Slot::default() };
        let short = Run { seconds: 0.01, slot_ms: 10.0, timeline: vec![slot(10, 0.2)], ..Run::default() };
        let long = Run { slot_ms: 500.0, timeline: vec![slot(1, 70.0); 4], ..Run::default() };
        let axes = Scenario { name: "", runs: vec![&short, &long] }.axes();
        assert_eq!((axes.seconds.range(), axes.requests.range()), (0.0..2.0, 0.0..11.0));
        assert_eq!(axes.latency.range(), 0.1..100.0);
    }

    #[test]
    fn a_close_up_shows_the_slowest_restart_and_no_second_one() {
        let run = |restarts: &[f64], took| Run { restarts: restarts.into(), restart_ms: vec![took], ..Run::default() };
        let (slow, dense, none) = (run(&[1.0], 800.0), run(&[1.5, 2.0], 3.0), run(&[], 0.0));
        let after = |runs: &[&Run]| {
            let axes = Scenario { name: "", runs: runs.into() }.close_up()?;
            Some(axes.seconds.range().end)
        };
        assert_eq!(after(&[&slow, &none]).map(|end| (end * 10.0).round()), Some(12.0));
        assert_eq!(after(&[&slow, &dense]), Some(0.5));
        assert_eq!((after(&[&run(&[1.0], 1.0)]), after(&[&none])), (Some(0.3), None));
        assert_eq!((From::FirstRestart.of(&dense), From::Load.of(&dense)), (1.5, 0.0));
    }

    #[test]
    fn only_losses_are_named_as_such() {
        let outcomes = [("answered", 9), ("raced", 62), ("reset", 0), ("cut", 2), ("unanswered after close", 5)];
        let outcomes = outcomes.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
        assert_eq!(Run { outcomes, ..Run::default() }.losses(), "cut 2, raced 62");
        assert_eq!(Run::default().per_restart(7), None);
        let two = Run { restarts: vec![1.0, 2.0], ..Run::default() };
        assert_eq!(two.per_restart(7), Some(3.5));
        assert_eq!(Run { rounds: vec![two.clone(), two.clone()], ..two }.per_restart(7), Some(1.75));
    }
}

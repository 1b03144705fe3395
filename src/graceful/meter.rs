//! What the loop counts and measures for the facade `metrics`. Without the feature of that name nothing of it is left.
//!
//! A recorder is the application's code, as a subscriber is: a panic of it must not decide about a restart.

use std::time::Duration;

use facade::{add, describe, observe, set};

use crate::{
    Error, ErrorKind, Report, State,
    drain::{Kind, Why},
    log::unharmed,
    status::ConnectionStatus,
};

/// Whether anything is measured: for what would be collected only for that.
pub(super) const IS_ON: bool = cfg!(feature = "metrics");

const RESTARTS: &str = "hotrestart_restarts_total";
const RESTART_DURATION: &str = "hotrestart_restart_duration_seconds";
const CONNECTIONS: &str = "hotrestart_connections";
const CUT: &str = "hotrestart_connections_cut_total";
const GENERATION: &str = "hotrestart_generation";
const DRAINING: &str = "hotrestart_draining_generations";
const STATE: &str = "hotrestart_state";

/// A part of a restart that succeeds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    /// Until the successor's process is there, or has been welcomed.
    Spawn,
    /// From there until it was ready.
    Ready,
    /// From there to the point of no return.
    Probation,
    /// All of it.
    Total,
}

/// Once, at the loop's beginning.
pub(super) fn begin(generation: u64) {
    unharmed(|| {
        describe();
        set(GENERATION, &[], generation as f64);
    });
    state(State::Starting, State::Starting);
}

pub(super) fn state(was: State, now: State) {
    unharmed(|| {
        set(STATE, &[("state", &was.to_string())], 0.0);
        set(STATE, &[("state", &now.to_string())], 1.0);
    });
}

/// By success, failure, or refusal.
pub(super) fn restart_ended<T>(outcome: &Result<T, Error>) {
    let result = outcome.as_ref().err().map_or_else(|| "ok".to_owned(), |error| label(error.kind()));
    unharmed(|| add(RESTARTS, &[("result", &result)], 1));
}

pub(super) fn restart_took(part: Part, elapsed: Duration) {
    let phase = match part {
        Part::Spawn => "spawn",
        Part::Ready => "ready",
        Part::Probation => "probation",
        Part::Total => "total",
    };
    unharmed(|| observe(RESTART_DURATION, &[("phase", phase)], elapsed.as_secs_f64()));
}

/// Also what there is none of: a figure that nobody writes any more stays as it was.
pub(super) fn connections(census: &[ConnectionStatus]) {
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Serve).map(|kind| kind.to_string()) {
        for state in ["idle", "active"] {
            let found = census.iter().find(|it| it.kind == kind && it.state == state);
            let count = found.map_or(0, |it| it.count);
            unharmed(|| set(CONNECTIONS, &[("kind", &kind), ("state", state)], count as f64));
        }
    }
}

/// How many earlier generations still drain.
pub(super) fn draining(count: usize) {
    unharmed(|| set(DRAINING, &[], count as f64));
}

/// How this generation's drain went.
pub(super) fn drained(report: &Report) {
    connections(&[]);
    for why in Why::ALL {
        unharmed(|| add(CUT, &[("reason", why.name())], report.cut_by(why) as u64));
    }
}

/// `NotAProgram` is `not_a_program`.
fn label(kind: ErrorKind) -> String {
    let mut label = String::new();
    for letter in format!("{kind:?}").chars() {
        if letter.is_uppercase() && !label.is_empty() {
            label.push('_');
        }
        label.extend(letter.to_lowercase());
    }
    label
}

#[cfg(feature = "metrics")]
mod facade {
    use metrics::{Label, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

    use super::{CONNECTIONS, CUT, DRAINING, GENERATION, RESTART_DURATION, RESTARTS, STATE};

    pub(super) fn describe() {
        describe_counter!(RESTARTS, Unit::Count, "Restarts that have ended, by result: ok, or the kind of the error");
        describe_histogram!(RESTART_DURATION, Unit::Seconds, "How long the parts of a successful restart took");
        describe_gauge!(CONNECTIONS, Unit::Count, "What is open, by kind and state");
        describe_counter!(CUT, Unit::Count, "What a drain has cut, by reason");
        describe_gauge!(GENERATION, "The number of this process in the chain of generations");
        describe_gauge!(DRAINING, Unit::Count, "Earlier generations that still drain");
        describe_gauge!(STATE, "1 for the state that this generation is in");
    }

    pub(super) fn set(name: &'static str, labels: &[(&'static str, &str)], value: f64) {
        gauge!(name, owned(labels)).set(value);
    }

    pub(super) fn add(name: &'static str, labels: &[(&'static str, &str)], count: u64) {
        counter!(name, owned(labels)).increment(count);
    }

    pub(super) fn observe(name: &'static str, labels: &[(&'static str, &str)], value: f64) {
        histogram!(name, owned(labels)).record(value);
    }

    fn owned(labels: &[(&'static str, &str)]) -> Vec<Label> {
        labels.iter().map(|(key, value)| Label::new(*key, (*value).to_owned())).collect()
    }
}

#[cfg(not(feature = "metrics"))]
mod facade {
    pub(super) fn describe() {}
    pub(super) fn set(_: &'static str, _: &[(&'static str, &str)], _: f64) {}
    pub(super) fn add(_: &'static str, _: &[(&'static str, &str)], _: u64) {}
    pub(super) fn observe(_: &'static str, _: &[(&'static str, &str)], _: f64) {}
}

#[cfg(all(test, feature = "metrics"))]
mod tests {
    use std::collections::BTreeMap;

    use metrics::{
        Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit, with_local_recorder,
    };
    use metrics_util::debugging::{DebugValue, DebuggingRecorder};

    use super::*;
    use crate::drain::{Drain, Times};

    /// What was written, as `name{label=value,…}`, and how much.
    fn recorded(write: impl FnOnce()) -> BTreeMap<String, DebugValue> {
        let recorder = DebuggingRecorder::new();
        with_local_recorder(&recorder, write);
        let all = recorder.snapshotter().snapshot().into_vec();
        all.into_iter()
            .map(|(key, _, _, value)| {
                let labels: Vec<_> =
                    key.key().labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
                (format!("{}{{{}}}", key.key().name(), labels.join(",")), value)
            })
            .collect()
    }

    fn gauge(value: f64) -> DebugValue {
        DebugValue::Gauge(value.into())
    }

    #[test]
    fn a_restart_is_counted_by_its_result_and_timed_by_its_parts() {
        let written = recorded(|| {
            restart_ended(&Ok(()));
            restart_ended(&Ok(()));
            restart_ended::<()>(&Err(Error::new(ErrorKind::NotAProgram, "no")));
            restart_took(Part::Probation, Duration::from_millis(500));
            restart_took(Part::Total, Duration::from_secs(2));
        });
        let expected = [
            ("hotrestart_restarts_total{result=ok}", DebugValue::Counter(2)),
            ("hotrestart_restarts_total{result=not_a_program}", DebugValue::Counter(1)),
            ("hotrestart_restart_duration_seconds{phase=probation}", DebugValue::Histogram(vec![0.5.into()])),
            ("hotrestart_restart_duration_seconds{phase=total}", DebugValue::Histogram(vec![2.0.into()])),
        ];
        assert_eq!(written, expected.map(|(key, value)| (key.to_owned(), value)).into());
    }

    #[tokio::test]
    async fn connections_are_shown_by_kind_and_state_and_again_as_none_when_they_have_gone() {
        let tracker = Drain::new().tracker();
        let guards = [Kind::Http1, Kind::Http1, Kind::Upgraded, Kind::Serve].map(|kind| tracker.guard_of(kind));
        let of = |written: &BTreeMap<String, DebugValue>, labels: &str, value| {
            assert_eq!(written.get(&format!("hotrestart_connections{{{labels}}}")), Some(&gauge(value)), "{labels}");
        };
        let written = recorded(|| connections(&tracker.census()));
        of(&written, "kind=http1,state=idle", 2.0);
        of(&written, "kind=http1,state=active", 0.0);
        of(&written, "kind=upgraded,state=active", 1.0);
        assert!(!written.keys().any(|key| key.contains("accepting")), "a `serve` is no connection");
        drop(guards);
        of(&recorded(|| connections(&tracker.census())), "kind=http1,state=idle", 0.0);
    }

    #[test]
    fn of_all_states_only_the_present_one_is_1() {
        let written = recorded(|| {
            begin(3);
            state(State::Starting, State::Ready);
            draining(2);
        });
        let expected = [
            ("hotrestart_generation{}", 3.0),
            ("hotrestart_state{state=starting}", 0.0),
            ("hotrestart_state{state=ready}", 1.0),
            ("hotrestart_draining_generations{}", 2.0),
        ];
        assert_eq!(written, expected.map(|(key, value)| (key.to_owned(), gauge(value))).into());
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_counts_what_it_has_cut_by_reason() {
        let drain = Drain::new();
        let _guard = drain.tracker().guard();
        drain.begin(crate::Cause::Stopped { by: None }, &Times::for_stop());
        let report = drain.ended().await;
        let written = recorded(|| drained(&report));
        let of = |reason: &str| written.get(&format!("hotrestart_connections_cut_total{{reason={reason}}}"));
        assert_eq!(of("left_behind"), Some(&DebugValue::Counter(1)));
        for none in ["deadline", "policy", "half_open"] {
            assert_eq!(of(none), Some(&DebugValue::Counter(0)), "{none}");
        }
    }

    #[test]
    fn everything_is_described() {
        let recorder = DebuggingRecorder::new();
        with_local_recorder(&recorder, || {
            begin(0);
            restart_ended(&Ok(()));
            restart_took(Part::Total, Duration::ZERO);
            connections(&[]);
            draining(0);
            add(CUT, &[], 1);
        });
        let all = recorder.snapshotter().snapshot().into_vec();
        let undescribed = all.iter().filter(|(_, _, description, _)| description.is_none());
        assert_eq!(undescribed.map(|(key, ..)| key.key().name()).collect::<Vec<_>>(), [""; 0]);
    }

    struct Panics;

    impl Recorder for Panics {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {
            panic!("no counter");
        }

        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {
            panic!("no gauge");
        }

        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {
            panic!("no histogram");
        }

        fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
            panic!("no counter");
        }

        fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
            panic!("no gauge");
        }

        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            panic!("no histogram");
        }
    }

    #[test]
    fn a_recorder_that_panics_harms_nobody() {
        with_local_recorder(&Panics, || {
            begin(0);
            state(State::Starting, State::Ready);
            restart_ended(&Ok(()));
            restart_took(Part::Spawn, Duration::ZERO);
            connections(&[]);
            draining(1);
        });
    }
}

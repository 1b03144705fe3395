//! Results that are hard to draw.

use crate::results::{LeftOut, Machine, Percentiles, Results, Run, Slot};

/// A run without answers, one of a single slot, names with what HTML means something by, no restarts, and an hour's latency.
pub(super) fn nasty() -> Results {
    let machine =
        Machine { date: "2026-11-30 <12:00>".into(), command: "compare --a 'b & c'".into(), ..Machine::default() };
    let evil = "a <b> & \"c\"";
    let hour = Percentiles {
        count: 3,
        p50: 0.001,
        p99: 1.0,
        p999: 3.6e6,
        max: 3.6e6,
        curve: vec![(50.0, 0.001), (100.0, 3.6e6)],
    };
    let slot = Slot { answered: 1, lost: 1, reconnects: 1, max_ms: 3.6e6 };
    let run = |scenario: &str, system: &str| Run {
        scenario: scenario.into(),
        system: system.into(),
        seconds: 1.0,
        slot_ms: 10.0,
        ..Run::default()
    };
    let runs = vec![
        run(evil, evil),
        Run { timeline: vec![slot], restarts: vec![0.5], in_restarts: hour.clone(), lost: 1, ..run(evil, "ours") },
        Run { timeline: vec![slot; 10_000], outside: hour.clone(), ..run("no restart", "ours") },
        Run {
            lost: u64::MAX,
            reconnects: 7,
            restarts: vec![0.1, 9.0],
            restart_ms: vec![f64::MAX],
            per_second: f64::MAX,
            in_restarts: hour,
            outcomes: [("raced <script>".to_owned(), u64::MAX)].into(),
            notes: vec!["<i>not</i> italic".into()],
            figures: [("µs per <socket>".to_owned(), 2.5)].into(),
            ..run("busy keep-alive", &"a very long name ".repeat(9))
        },
        run("busy keep-alive", "ours"),
    ];
    let left_out = vec![
        LeftOut { system: evil.into(), scenario: None, why: "not <installed>".into() },
        LeftOut { system: "nginx".into(), scenario: Some("HTTP/2".into()), why: "its workers & streams".into() },
    ];
    Results { machine, runs, left_out }
}

//! What a comparison has found: what is measured on one side of it, and drawn on the other.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// All of it: the file `results.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    /// In the order in which they were measured; those of one scenario together.
    pub(crate) runs: Vec<Run>,
    pub(crate) left_out: Vec<LeftOut>,
}

/// Where, when and how it was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// `2026-11-30 12:00 UTC`
    pub(crate) date: String,
    pub(crate) kernel: String,
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_gib: f64,
    /// Whether connections in the queue of a socket that is closed go to another with the same port.
    #[serde(default)]
    pub(crate) tcp_migrate_req: String,
    /// What reproduces it.
    pub(crate) command: String,
    /// `nginx` → `1.22.1`
    pub(crate) versions: BTreeMap<String, String>,
}

/// A system or a scenario of one that was not measured, never silently.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LeftOut {
    pub(crate) system: String,
    /// `None`: all of them.
    pub(crate) scenario: Option<String>,
    /// `not installed: apt-get install nginx`
    pub(crate) why: String,
}

/// One system in one scenario.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) scenario: String,
    pub(crate) system: String,
    /// How long the load was on.
    pub(crate) seconds: f64,
    /// When restarts were asked for, in seconds since the load began.
    pub(crate) restarts: Vec<f64>,
    /// From asking to the first answer of the successor, where that can be seen, or to its predecessor's word.
    pub(crate) restart_ms: Vec<f64>,
    /// How many restarts did not succeed: in one scenario that is what is asked for.
    pub(crate) failed_restarts: usize,
    /// How many requests ended how: `answered`, `refused`, `raced`, …
    pub(crate) outcomes: BTreeMap<String, u64>,
    pub(crate) lost: u64,
    pub(crate) reconnects: u64,
    pub(crate) per_second: f64,
    /// The processor time of an answer, of all of a server's processes, in a time without restarts.
    #[serde(default)]
    pub(crate) cpu_us: Option<f64>,
    /// Of requests that met no restart, and of those that did.
    pub(crate) outside: Percentiles,
    pub(crate) in_restarts: Percentiles,
    /// The whole run, slot by slot.
    pub(crate) slot_ms: f64,
    pub(crate) timeline: Vec<Slot>,
    /// Other figures of this scenario: `µs per socket`, `longest stall in ms`.
    pub(crate) figures: BTreeMap<String, f64>,
    /// What a reader must know: why it is behind, what did not work.
    pub(crate) notes: Vec<String>,
    /// How many restarts this scenario wants to fail.
    #[serde(default)]
    pub(crate) expected_failures: usize,
    /// Where it was measured several times, each of them, without timelines and curves. The other figures are then of all:
    /// medians of times and rates, sums of counts; restarts, timeline and curves are the first round's.
    #[serde(default)]
    pub(crate) rounds: Vec<Self>,
}

/// In milliseconds, from when a request was due.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Percentiles {
    pub(crate) count: u64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
    /// The curve: (per cent, milliseconds), rising.
    pub(crate) curve: Vec<(f64, f64)>,
}

/// What ended within ten milliseconds or so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Slot {
    pub(crate) answered: u32,
    pub(crate) lost: u32,
    pub(crate) reconnects: u32,
    /// The longest latency of an answer.
    pub(crate) max_ms: f32,
}

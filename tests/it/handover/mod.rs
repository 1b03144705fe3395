//! Live connections at a restart: they go to the successor between two requests, and no client learns of it.

mod chain;
mod heir;
mod killed;
mod moves;
mod predecessor;
mod shortage;
mod stays;

use std::collections::BTreeMap;

use crate::support::{Fleet, Line, Setup, crowd::Fate};

/// A server that tells everybody at once who is its to tell, and lets nobody go for idling, however slow the machine is.
fn server() -> Setup {
    Setup::new().with("GRACE_MS", "60000").with("STOP_DEADLINE_MS", "120000").with("AT_ONCE", "1")
}

/// Restarts generation `from`, and waits for its end. The successor's pid, and what the predecessor said last.
#[track_caller]
fn replace(fleet: &mut Fleet, from: u64, pid: i32) -> (i32, Line) {
    let successor = fleet.restart(from, pid);
    let done = fleet.until(&format!("done generation={from}"));
    assert_eq!(["raced", "cut", "code"].map(|count| done.number(count)), [0; 3], "{done:?}\n{}", fleet.log());
    (successor, done)
}

/// The same with generation 0.
#[track_caller]
fn replace_first(fleet: &mut Fleet) -> (i32, Line) {
    let first = fleet.first();
    replace(fleet, 0, first)
}

fn all(fate: Fate, many: usize) -> BTreeMap<Fate, usize> {
    BTreeMap::from([(fate, many)])
}

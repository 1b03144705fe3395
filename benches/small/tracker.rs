//! The tracker, of which every connection and every request has a guard, while others take and give up theirs.

use std::sync::LazyLock;

use divan::Bencher;
use tokio::runtime::{self, Runtime};
use tokio_hotrestart::{Graceful, Tracker};

const THREADS: [usize; 3] = [1, 2, 4];

/// The runtime is only where the graceful's own task lives.
static TRACKER: LazyLock<(Tracker, Runtime)> = LazyLock::new(|| {
    let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let tracker = runtime.block_on(async { Graceful::detached().tracker().clone() });
    (tracker, runtime)
});

/// Taken and given up.
#[divan::bench(threads = THREADS)]
fn guard(bencher: Bencher<'_, '_>) {
    let tracker = &TRACKER.0;
    bencher.bench(|| drop(tracker.guard()));
}

/// The same among 10,000 that stay.
#[divan::bench(threads = THREADS)]
fn guard_among_10000(bencher: Bencher<'_, '_>) {
    let tracker = &TRACKER.0;
    let _stay: Vec<_> = (0..10_000).map(|_| tracker.guard()).collect();
    bencher.bench(|| drop(tracker.guard()));
}

/// A connection's wrapper, put on and taken off.
#[divan::bench(threads = THREADS)]
fn track(bencher: Bencher<'_, '_>) {
    let tracker = &TRACKER.0;
    bencher.bench(|| drop(tracker.track(tokio::io::empty())));
}

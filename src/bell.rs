//! Waking many, so that nobody else waits behind them.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{runtime::Handle, sync::Notify, task::yield_now};

/// Wakes all who wait, some at a time.
///
/// Woken at once, ten thousand connections or a thousand listeners would have their turns in one stretch, and a client that is
/// busy meanwhile would wait behind all of them: some 15 ms on a runtime of one thread. So they wait in lanes, and between
/// two portions everybody else has a turn. On the runtime of whoever rings: those of another one that idles come in one
/// stretch there.
#[derive(Debug)]
pub(crate) struct Bell {
    lanes: Arc<[Arc<Notify>]>,
    /// How many have come.
    came: AtomicUsize,
}

/// So many that a lane of ten thousand has no more than twice as many as come one after another.
const LANES: usize = 128;

/// How many are woken before everybody else has a turn, by whole lanes: of followers, which have their lane twice, 64, which is
/// some 0.5 ms, or a lane that has more. Where there are no more, all are woken before [`Bell::ring`] returns.
const PORTION: usize = 128;

/// How many who come one after another share a lane: their memory and the kernel's lies side by side, so they are to have
/// their turns together. With each in the next lane, ten thousand connections cost their process a third to a half more.
const NEIGHBOURS: usize = 64;

impl Bell {
    pub(crate) fn new() -> Self {
        Self { lanes: (0..LANES).map(|_| Arc::default()).collect(), came: AtomicUsize::new(0) }
    }

    /// Where somebody waits from now on, always in the same lane: in another one it would be woken by one ring twice.
    pub(crate) fn lane(&self) -> Arc<Notify> {
        Arc::clone(&self.lanes[self.came.fetch_add(1, Ordering::Relaxed) / NEIGHBOURS % LANES])
    }

    /// Wakes all who wait now: the first portion before it returns, the others in a task of its own. Who begins to wait
    /// before that one has come to its lane is woken for nothing.
    pub(crate) fn ring(&self) {
        let mut rest = Rest { lanes: Arc::clone(&self.lanes), rung: 0 };
        if rest.ring_some() {
            return;
        }
        // Outside of a runtime nobody waits for a turn behind those who are woken.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                yield_now().await;
                while !rest.ring_some() {
                    yield_now().await;
                }
            });
        }
    }
}

/// Who has not been woken yet. If it is dropped before its end, all are: the runtime that was to ring ends, and whoever
/// waits in another one would never hear of this.
struct Rest {
    lanes: Arc<[Arc<Notify>]>,
    rung: usize,
}

impl Rest {
    /// Wakes a portion, lane by lane. Whether that was the last.
    fn ring_some(&mut self) -> bool {
        let mut woken = 0;
        while woken < PORTION {
            let Some(lane) = self.lanes.get(self.rung) else { break };
            // Whoever waits in it has it, so there are no more.
            woken += Arc::strong_count(lane) - 1;
            lane.notify_waiters();
            self.rung += 1;
        }
        self.rung == self.lanes.len()
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        self.lanes[self.rung..].iter().for_each(|lane| lane.notify_waiters());
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering::Relaxed},
        time::Duration,
    };

    use futures_util::FutureExt;
    use tokio::task::JoinSet;

    use super::*;

    /// How many, at most, have had their turns between two of whoever asks, until all have.
    pub(crate) async fn longest_stretch(woken: &AtomicUsize, all: usize) -> usize {
        let (mut before, mut most) = (0, 0);
        while before < all {
            yield_now().await;
            let now = woken.load(Relaxed);
            most = most.max(now - before);
            before = now;
        }
        most
    }

    /// So many that wait, each in its lane, and how many of them have been woken.
    fn waiting(bell: &Bell, count: usize) -> (JoinSet<()>, Arc<AtomicUsize>) {
        let (mut tasks, woken) = (JoinSet::new(), Arc::new(AtomicUsize::new(0)));
        for _ in 0..count {
            // Made here: so it is woken by the next ring although nobody has polled it.
            let (changed, woken) = (bell.lane().notified_owned(), Arc::clone(&woken));
            tasks.spawn(async move {
                changed.await;
                woken.fetch_add(1, Relaxed);
            });
        }
        (tasks, woken)
    }

    #[tokio::test(start_paused = true)]
    async fn between_two_portions_everybody_else_has_a_turn() {
        const MANY: usize = 10_000;
        let bell = Bell::new();
        let (tasks, woken) = waiting(&bell, MANY);
        tokio::time::sleep(Duration::from_millis(1)).await; // time passes when nobody has a turn: all are asleep
        bell.ring();
        let most = longest_stretch(&woken, MANY).await;
        assert!(most <= 3 * PORTION, "{most} had their turns in one stretch");
        tasks.join_all().await;
    }

    fn are_woken(bell: &Bell, count: usize) -> bool {
        let lanes: Vec<_> = (0..count).map(|_| bell.lane()).collect();
        let waiting: Vec<_> = lanes.iter().map(|lane| lane.notified()).collect();
        bell.ring();
        waiting.into_iter().all(|woken| woken.now_or_never().is_some())
    }

    #[tokio::test]
    async fn few_are_woken_before_the_ring_returns() {
        assert!(are_woken(&Bell::new(), PORTION - 1));
        assert!(!are_woken(&Bell::new(), 100 * PORTION));
    }

    #[test]
    fn who_come_one_after_another_have_their_turns_together() {
        let bell = Bell::new();
        let lanes: Vec<_> = (0..2 * NEIGHBOURS).map(|_| bell.lane()).collect();
        let (first, second) = lanes.split_at(NEIGHBOURS);
        assert!(first.iter().all(|lane| Arc::ptr_eq(lane, &first[0])));
        assert!(second.iter().all(|lane| Arc::ptr_eq(lane, &second[0]) && !Arc::ptr_eq(lane, &first[0])));
    }

    #[test]
    fn a_runtime_that_ends_meanwhile_costs_nobody_its_wake_up() {
        let bell = Bell::new();
        let lanes: Vec<_> = (0..100 * PORTION).map(|_| bell.lane()).collect();
        let waiting: Vec<_> = lanes.iter().map(|lane| lane.notified()).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async { bell.ring() });
        drop(runtime);
        assert!(waiting.into_iter().all(|woken| woken.now_or_never().is_some()));
    }

    #[test]
    fn outside_of_a_runtime_all_are_woken_at_once() {
        assert!(are_woken(&Bell::new(), 100 * PORTION));
    }
}

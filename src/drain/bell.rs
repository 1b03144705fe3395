use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{runtime::Handle, sync::Notify, task::yield_now};

/// Wakes all who wait, some at a time.
///
/// Woken at once, ten thousand connections would have their turns in one stretch, and a client that is busy meanwhile would
/// wait behind all of them: some 15 ms on a runtime of one thread. So they wait in lanes, and between two portions everybody
/// else has a turn.
#[derive(Debug)]
pub(super) struct Bell {
    lanes: Arc<[Arc<Notify>]>,
    /// Where the next one waits.
    next: AtomicUsize,
}

/// So many that a lane of ten thousand is no more than a portion.
const LANES: usize = 128;

/// How many are woken before everybody else has a turn, which is some 0.2 ms later. Where there are no more, all are woken
/// before [`Bell::ring`] returns.
const PORTION: usize = 128;

impl Bell {
    pub(super) fn new() -> Self {
        Self { lanes: (0..LANES).map(|_| Arc::default()).collect(), next: AtomicUsize::new(0) }
    }

    /// Where somebody waits from now on, always in the same lane: in another one it would be woken by one ring twice.
    pub(super) fn lane(&self) -> Arc<Notify> {
        Arc::clone(&self.lanes[self.next.fetch_add(1, Ordering::Relaxed) % LANES])
    }

    /// Wakes all who wait now: the first portion before it returns, the others in a task of its own. Who begins to wait
    /// before that one has come to its lane is woken for nothing.
    pub(super) fn ring(&self) {
        let (lanes, mut rung) = (Arc::clone(&self.lanes), ring_some(&self.lanes));
        match Handle::try_current() {
            _ if rung == lanes.len() => {}
            Ok(runtime) => {
                runtime.spawn(async move {
                    while rung < lanes.len() {
                        yield_now().await;
                        rung += ring_some(&lanes[rung..]);
                    }
                });
            }
            // Nobody has a turn in this thread, so nobody waits for one behind those who are woken.
            Err(_) => lanes[rung..].iter().for_each(|lane| lane.notify_waiters()),
        }
    }
}

/// Wakes a portion, lane by lane, and tells how many lanes that were.
fn ring_some(lanes: &[Arc<Notify>]) -> usize {
    let mut woken = 0;
    let rung = lanes.iter().take_while(|lane| {
        let goes_on = woken < PORTION;
        if goes_on {
            // Whoever waits in it has it, and some have it twice: there are no more.
            woken += Arc::strong_count(lane) - 1;
            lane.notify_waiters();
        }
        goes_on
    });
    rung.count()
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering::Relaxed},
        time::Duration,
    };

    use futures_util::FutureExt;
    use tokio::task::JoinSet;

    use super::*;

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
        let (mut before, mut most) = (0, 0);
        while before < MANY {
            yield_now().await;
            let now = woken.load(Relaxed);
            most = most.max(now - before);
            before = now;
        }
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
    fn outside_of_a_runtime_all_are_woken_at_once() {
        assert!(are_woken(&Bell::new(), 100 * PORTION));
    }
}

use std::{
    fmt,
    future::poll_fn,
    pin::pin,
    sync::Arc,
    task::{Poll, ready},
};

use tokio::sync::{Notify, watch};

use super::Gate;
use crate::bell::Bell;

/// Moves the gate, and tells everybody who stands at it: some at a time, for a thousand listeners that come into the reactor,
/// or are closed, in one stretch would keep every client waiting meanwhile.
#[derive(Debug)]
pub(crate) struct Gatekeeper {
    gate: watch::Sender<Gate>,
    bell: Bell,
}

/// The gate, as one sees it who stands there.
pub(crate) struct AtGate {
    gate: watch::Receiver<Gate>,
    lane: Arc<Notify>,
}

impl Gatekeeper {
    pub(crate) fn new(gate: Gate) -> Self {
        Self { gate: watch::Sender::new(gate), bell: Bell::new() }
    }

    pub(crate) fn at_gate(&self) -> AtGate {
        AtGate { gate: self.gate.subscribe(), lane: self.bell.lane() }
    }

    /// From now on whoever looks sees it so.
    pub(crate) fn set(&self, gate: Gate) {
        self.gate.send_replace(gate);
        self.bell.ring();
    }

    /// Those that were to accept until the very end are at it.
    pub(crate) fn end_last(&self) {
        let is_moved = self.gate.send_if_modified(|gate| match gate {
            Gate::EndedButForTheLast(ending) => {
                *gate = Gate::Ended(ending.clone());
                true
            }
            Gate::Shut | Gate::Open | Gate::Ended(_) => false,
        });
        if is_moved {
            self.bell.ring();
        }
    }
}

impl AtGate {
    /// As it is now. Under its lock: not for long, and not beside another one.
    pub(super) fn look(&mut self) -> watch::Ref<'_, Gate> {
        self.gate.borrow_and_update()
    }

    /// Whether it has moved since it was last looked at.
    fn has_moved(&self) -> bool {
        // With the keeper gone, that is an error whatever has been seen.
        self.gate.has_changed().unwrap_or_else(|_gone| self.gate.borrow().has_changed())
    }

    /// Resolves when the gate has moved since it was last looked at.
    ///
    /// Cancel safe.
    pub(super) async fn moved(&self) {
        // Made before the gate is looked at: a move in between wakes it although it was never polled.
        let mut rung = pin!(self.lane.notified());
        poll_fn(|context| {
            // In each poll: who is woken by something else before its lane is rung must not go by the gate as it was.
            while !self.has_moved() {
                ready!(rung.as_mut().poll(context));
                rung.set(self.lane.notified());
            }
            Poll::Ready(())
        })
        .await;
    }

    /// What comes of this, or `None` if the gate moves first, which is looked at first in each poll: what is the successor's
    /// is not to be taken from it. Where something is there already, nobody's lane is touched.
    ///
    /// Cancel safe if that is.
    pub(super) async fn unless_moved<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let (mut work, mut moved) = (pin!(work), pin!(self.moved()));
        poll_fn(|context| {
            if self.has_moved() {
                return Poll::Ready(None);
            }
            match work.as_mut().poll(context) {
                Poll::Ready(done) => Poll::Ready(Some(done)),
                Poll::Pending => moved.as_mut().poll(context).map(|()| None),
            }
        })
        .await
    }
}

impl fmt::Debug for AtGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AtGate").field(&*self.gate.borrow()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::Relaxed},
        },
        time::Duration,
    };

    use futures_util::FutureExt;
    use tokio::task::JoinSet;

    use super::*;
    use crate::{accept::Ending, bell::tests::longest_stretch};

    #[tokio::test(start_paused = true)]
    async fn between_a_thousand_listeners_everybody_else_has_turns() {
        const MANY: usize = 1_000;
        let (keeper, told, mut tasks) = (Gatekeeper::new(Gate::Shut), Arc::new(AtomicUsize::new(0)), JoinSet::new());
        for _ in 0..MANY {
            let (mut at_gate, told) = (keeper.at_gate(), Arc::clone(&told));
            tasks.spawn(async move {
                at_gate.moved().await;
                assert!(matches!(*at_gate.look(), Gate::Open));
                told.fetch_add(1, Relaxed);
            });
        }
        tokio::time::sleep(Duration::from_millis(1)).await; // time passes when nobody has a turn: all stand at the gate
        keeper.set(Gate::Open);
        let most = longest_stretch(&told, MANY).await;
        assert!(most < MANY / 2, "{most} had their turns in one stretch");
        tasks.join_all().await;
    }

    #[tokio::test]
    async fn a_move_is_told_once() {
        let keeper = Gatekeeper::new(Gate::Shut);
        let mut at_gate = keeper.at_gate();
        assert_eq!(at_gate.moved().now_or_never(), None);
        keeper.set(Gate::Open);
        assert_eq!(at_gate.moved().now_or_never(), Some(()), "until it is looked at");
        assert!(matches!(*at_gate.look(), Gate::Open));
        assert_eq!(at_gate.moved().now_or_never(), None);
    }

    #[tokio::test]
    async fn a_move_is_seen_by_whoever_looks_before_it_is_told() {
        let keeper = Gatekeeper::new(Gate::Open);
        let all: Vec<_> = (0..1_000).map(|_| keeper.at_gate()).collect();
        keeper.set(Gate::Shut);
        for mut at_gate in all {
            assert_eq!(at_gate.moved().now_or_never(), Some(()));
            assert!(matches!(*at_gate.look(), Gate::Shut));
        }
    }

    /// A client that comes meanwhile wakes one that stands at the gate: it must not be accepted.
    #[tokio::test]
    async fn who_stands_at_the_gate_and_is_not_told_yet_goes_by_it_all_the_same() {
        let keeper = Gatekeeper::new(Gate::Open);
        let all: Vec<_> = (0..1_000).map(|_| keeper.at_gate()).collect();
        let mut waiting: Vec<_> =
            all.iter().map(|it| Box::pin(it.unless_moved(poll_fn(|_| Poll::Pending::<()>)))).collect();
        assert!(waiting.iter_mut().all(|it| it.now_or_never().is_none()));
        keeper.set(Gate::Shut);
        assert!(waiting.iter_mut().all(|it| it.now_or_never() == Some(None)), "no turn was in between");
    }

    #[tokio::test]
    async fn the_gate_comes_before_what_is_there() {
        let keeper = Gatekeeper::new(Gate::Open);
        let at_gate = keeper.at_gate();
        assert_eq!(at_gate.unless_moved(async { 1 }).await, Some(1));
        keeper.set(Gate::Shut);
        assert_eq!(at_gate.unless_moved(async { 2 }).await, None);
    }

    #[tokio::test]
    async fn the_last_move_is_seen_though_the_keeper_is_gone() {
        let keeper = Gatekeeper::new(Gate::Open);
        let mut at_gate = keeper.at_gate();
        keeper.set(Gate::Ended(Ending::Emptied));
        drop(keeper);
        assert_eq!(at_gate.moved().now_or_never(), Some(()));
        assert!(matches!(*at_gate.look(), Gate::Ended(Ending::Emptied)));
        assert_eq!(at_gate.moved().now_or_never(), None);
    }

    #[tokio::test]
    async fn only_the_last_end_twice() {
        let keeper = Gatekeeper::new(Gate::EndedButForTheLast(Ending::Emptied));
        let mut at_gate = keeper.at_gate();
        keeper.end_last();
        assert_eq!(at_gate.moved().now_or_never(), Some(()));
        assert!(matches!(*at_gate.look(), Gate::Ended(Ending::Emptied)));
        keeper.end_last();
        assert_eq!(at_gate.moved().now_or_never(), None);
    }

    #[tokio::test]
    async fn a_gate_whose_keeper_is_gone_stays_as_it_is() {
        let keeper = Gatekeeper::new(Gate::Open);
        let mut at_gate = keeper.at_gate();
        drop(keeper);
        assert_eq!(at_gate.moved().now_or_never(), None);
        assert!(matches!(*at_gate.look(), Gate::Open));
    }
}

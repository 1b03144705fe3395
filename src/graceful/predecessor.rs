//! What the predecessor says, beside what `phase` hears of it: its final state, visitors, and how its drain goes.

use tokio::time::Instant;

use super::life::{Life, MOST_QUEUED, NEWS_OF_A_DRAIN};
use crate::{control::Visitor, phase::Event, process::Predecessor};

impl Life {
    /// Before a stop: with LET GO unread, nobody would own what both generations had, and systemd would take this for the
    /// end of another process than the main one.
    pub(super) fn hear_predecessor_out(&mut self) {
        for _ in 0..MOST_QUEUED {
            let Some(event) = self.predecessor.as_mut().and_then(Predecessor::next_now) else { break };
            if let Some(event) = self.heard_of_predecessor(Some(event)) {
                self.live(event);
            }
        }
        // What came meanwhile is noted, and nobody else would look.
        self.receive_final_state();
        self.receive_forwarded();
        self.receive_offers();
    }

    /// What the predecessor said or did that is no event: somebody to receive, or news of the drain.
    pub(super) fn heard_of_predecessor(&mut self, event: Option<Event>) -> Option<Event> {
        if matches!(event, Some(Event::PredecessorGone)) {
            let number = self.shared.generation;
            let its_place = self.ancestors.iter().position(|(who, _)| who.generation + 1 == number);
            self.departing = its_place.map(|at| self.ancestors.remove(at).1);
            self.after_predecessor();
        }
        if event.is_none() {
            // Most likely of what its drain waits for, which the status tells in our turn.
            self.news = self.news.min(Instant::now() + NEWS_OF_A_DRAIN);
        }
        self.receive_final_state();
        self.receive_forwarded();
        self.receive_offers();
        event
    }

    fn receive_final_state(&mut self) {
        let Some(states) = self.predecessor.as_mut().and_then(Predecessor::final_state) else {
            return;
        };
        if let Some(expected) = self.expected.take() {
            expected.settle(states);
        }
        self.expecting = None;
        self.take_final_state();
    }

    fn receive_forwarded(&mut self) {
        while let Some((want, socket)) = self.predecessor.as_mut().and_then(Predecessor::forwarded) {
            match Visitor::forwarded(want, socket) {
                Ok(visitor) => {
                    if let Some(event) = self.receive(visitor) {
                        self.live(event);
                    }
                }
                Err(error) => crate::log::warn!(%error, "a visitor that the predecessor passed on"),
            }
        }
    }
}

//! Live connections on their way: from this generation to the next, and from the one before to this one.

use std::iter;

use tokio::time::Instant;

use super::{
    life::{Life, MOST_QUEUED},
    waits::deadline,
};
use crate::{
    drain::{Level, Watch},
    handover::{Arrivals, Departing, Departures},
    phase::Event,
    process::{Delivery, Reply, Successor},
};

/// What there is to do about them.
#[derive(Debug)]
pub(super) enum Moving {
    /// They are to be offered.
    Leaving(Departing),
    /// Somebody asks for what was offered, or nobody has in time.
    Asked,
    /// The successor says nothing of what it was offered.
    Stalled,
    /// The drain ends soon: who has not gone by now is to be told.
    LastCall,
    /// The drain's deadline.
    Over,
}

/// Cancel safe.
pub(super) async fn moving(departures: &mut Departures, arrivals: &mut Arrivals, watch: &Watch) -> Moving {
    let (unclaimed, stalls, is_empty) = (arrivals.next_deadline(), departures.stalls_at(), departures.is_empty());
    // Nobody takes the schedule's lock while nobody leaves.
    let last_call = departures.is_open().then(|| watch.last_call()).flatten();
    tokio::select! {
        biased;
        () = watch.reached(Level::Over), if !is_empty => Moving::Over,
        departing = departures.next() => Moving::Leaving(departing),
        () = arrivals.changed() => Moving::Asked,
        () = deadline(unclaimed) => Moving::Asked,
        () = deadline(stalls) => Moving::Stalled,
        () = deadline(last_call) => Moving::LastCall,
    }
}

impl Life {
    pub(super) fn move_on(&mut self, moving: Moving) {
        if matches!(moving, Moving::Stalled | Moving::Over) {
            for event in self.hear_successor_out() {
                self.live(event);
            }
        }
        match moving {
            Moving::Leaving(departing) => self.offer(departing),
            Moving::Asked => self.answer_offers(),
            // It has answered in the last moment.
            Moving::Stalled if self.departures.stalls_at().is_none_or(|at| at > Instant::now()) => {}
            // What it was offered it may still take: it is only offered nothing more.
            Moving::Stalled => {
                crate::log::warn!(
                    "the successor does not answer the offer of connections: the others are drained here"
                );
                self.departures.close("the successor does not answer");
            }
            Moving::LastCall => self.departures.close("the drain ends soon"),
            Moving::Over => self.departures.deadline(),
        }
    }

    /// Before anybody is told of the drain: who may go over to the successor is not to be sent away.
    pub(super) fn expect_departures(&mut self) {
        match &self.successor {
            Some(successor) if successor.takes_connections() => self.departures.expect(),
            _ => self.departures.close("the successor does not take connections"),
        }
    }

    /// A stop: this generation gives its connections to nobody, and takes none.
    pub(super) fn decline_connections(&mut self) {
        self.departures.close("this generation stops");
        self.shared.entrances.close("this generation stops");
    }

    fn offer(&mut self, departing: Departing) {
        let Departing { number, message, descriptors } = departing;
        crate::log::debug!(number, connections = descriptors.len(), "OFFER is said");
        match &mut self.successor {
            Some(successor) if successor.takes_connections() => successor.offer(number, &message, descriptors),
            _ => self.departures.left_out(number),
        }
        crate::log::debug!(number, "OFFER was said");
        self.hear_replies();
    }

    /// What lies in the channel counts, although its deadline has come: a TAKEN that the kernel has accepted is one.
    pub(super) fn hear_successor_out(&mut self) -> Vec<Event> {
        let said = iter::from_fn(|| self.successor.as_mut().and_then(Successor::next_now));
        let events = said.take(MOST_QUEUED).collect();
        self.hear_replies();
        events
    }

    /// What the successor has said of connections that it was offered. Before any was, what becomes of one that fails
    /// concerns none: the next one is offered them.
    pub(super) fn hear_replies(&mut self) {
        let Some(successor) = &mut self.successor else { return };
        let replies = successor.replies();
        if !self.departures.was_expected() {
            return;
        }
        for reply in replies {
            crate::log::debug!(?reply, "heard of connections that were offered");
            match reply {
                Reply::Taken(ids) => self.departures.taken(&ids),
                Reply::Declined(those) => self.departures.declined(those),
                Reply::LeftOut(number) => self.departures.left_out(number),
                Reply::Garbled => self.departures.garbled(),
                Reply::Mute => self.departures.mute(),
                Reply::Ended => self.departures.channel_ended(),
            }
        }
    }

    /// What the predecessor offers, and what has become of the answers.
    pub(super) fn receive_offers(&mut self) {
        self.note_deliveries();
        self.answer_offers();
    }

    fn note_deliveries(&mut self) {
        let Some(predecessor) = &mut self.predecessor else { return };
        for delivery in predecessor.deliveries() {
            match delivery {
                Delivery::Offered(offers) => {
                    crate::log::debug!(connections = offers.len(), "OFFER was heard");
                    self.arrivals.offered(offers);
                }
                Delivery::WentOut(number) => {
                    self.arrivals.went_out(number);
                    crate::log::debug!(number, "an answer to OFFER has gone out");
                }
                Delivery::Unsaid(number) => self.arrivals.unsaid(number),
                Delivery::Gone => self.arrivals.predecessor_gone(),
                Delivery::HungUp => self.arrivals.hung_up(),
            }
        }
    }

    fn answer_offers(&mut self) {
        let said = self.arrivals.say();
        if let Some(predecessor) = &mut self.predecessor {
            for (number, message) in said {
                crate::log::debug!(number, what = message.name(), "an answer to OFFER is said");
                predecessor.answer(number, &message);
            }
        }
        // The kernel has them already, mostly.
        self.note_deliveries();
    }
}

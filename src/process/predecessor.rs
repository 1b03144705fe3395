//! The generation before this one, as this process sees it, until it ends.

use std::{
    collections::VecDeque,
    iter, mem,
    os::fd::OwnedFd,
    sync::{Arc, Weak},
};

use super::{Delivery, refuser::Refuser};
use crate::{
    Error, ErrorKind,
    channel::{Channel, Settled, Step},
    name::Name,
    phase::Event,
    state::PassedState,
    status::Draining,
    wire::{Gathered, Message, Offer, Piece, Want},
};

/// How many visitors that the predecessor has passed on may wait here. Each is a descriptor.
const MOST_FORWARDED: usize = 64;

/// The generation before this one, until it ends.
#[derive(Debug)]
pub(crate) struct Predecessor {
    channel: Option<Channel>,
    /// It has said ABORT: it serves on, and its channel's end is no death.
    took_back: bool,
    /// It lives, as far as anybody knows, and is not heard any more.
    hung_up: bool,
    draining: Vec<Draining>,
    forwarded: VecDeque<(Want, OwnedFd)>,
    final_state: FinalState,
    deliveries: Vec<Delivery>,
    /// Until READY: after that there is nothing left to refuse.
    refuser: Option<Arc<Refuser>>,
}

/// How far its final state has come.
#[derive(Debug)]
enum FinalState {
    Coming(Gathered),
    /// Something was wrong with it: what was whole until then is all that there is.
    Garbled(Gathered),
    Settled(Vec<PassedState>),
    Given,
}

impl Predecessor {
    /// At the other end of the channel, which has been told ACCEPTED.
    pub(super) fn new(channel: Channel) -> Self {
        let refuser = Refuser::new(&channel).map(Arc::new);
        Self {
            channel: Some(channel),
            took_back: false,
            hung_up: false,
            draining: Vec::new(),
            forwarded: VecDeque::new(),
            final_state: FinalState::Coming(Gathered::default()),
            deliveries: Vec::new(),
            refuser,
        }
    }

    /// What it does next. `None`: something was noted, for `draining`, `forwarded`, `final_state` or `deliveries`.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost: what has been read stays in the channel, or has been noted.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        let Some(channel) = &mut self.channel else {
            return std::future::pending().await;
        };
        let step = channel.step().await;
        self.hear(step)
    }

    /// What it has said by now: what is about to be decided must not overtake that. Notes are taken on the way.
    pub(crate) fn next_now(&mut self) -> Option<Event> {
        let mut left = self.channel.as_ref()?.unread();
        while let Some(channel) = &mut self.channel {
            let step = channel.next_of(&mut left)?.map(Step::from);
            if let Some(event) = self.hear(step) {
                return Some(event);
            }
        }
        None
    }

    /// It has ended, or can't be heard any more, and has not taken the restart back before.
    pub(crate) fn is_gone(&self) -> bool {
        self.channel.is_none() && !self.took_back
    }

    /// Whether it may still say who owns what both have: this generation by LET GO, or itself by ABORT.
    pub(crate) fn may_let_go(&self) -> bool {
        self.channel.is_some() && !self.took_back
    }

    /// What it last said that it and those before it still wait for.
    pub(crate) fn draining(&self) -> &[Draining] {
        &self.draining
    }

    /// The first of those who have come to it, and want something of this generation.
    pub(crate) fn forwarded(&mut self) -> Option<(Want, OwnedFd)> {
        self.forwarded.pop_front()
    }

    /// Its final state, once: when it has said that this is all, or will say nothing more.
    pub(crate) fn final_state(&mut self) -> Option<Vec<PassedState>> {
        match mem::replace(&mut self.final_state, FinalState::Given) {
            FinalState::Settled(states) => Some(states),
            other => {
                self.final_state = other;
                None
            }
        }
    }

    /// Says what becomes of connections that it has offered; a delivery of this number says when that is so.
    pub(crate) fn answer(&mut self, number: u64, message: &Message) {
        match &mut self.channel {
            Some(channel) => {
                channel.say_numbered(number, message, Vec::new());
                self.note_settled();
            }
            None if self.hung_up => self.deliveries.push(Delivery::Unsaid(number)),
            None => self.deliveries.push(Delivery::WentOut(number)),
        }
    }

    /// What it has offered, and what has become of the answers, since this was last asked.
    pub(crate) fn deliveries(&mut self) -> Vec<Delivery> {
        mem::take(&mut self.deliveries)
    }

    /// By which it can be refused from elsewhere, as long as it waits for READY and is heard.
    pub(crate) fn refuser(&self) -> Weak<Refuser> {
        self.refuser.as_ref().map(Arc::downgrade).unwrap_or_default()
    }

    fn hear(&mut self, step: Result<Step, Error>) -> Option<Event> {
        let (message, descriptors) = match step {
            Ok(Step::Heard(received)) => received,
            Ok(Step::Settled) => {
                self.note_settled();
                return None;
            }
            Ok(Step::End) => return self.gone(Delivery::Gone),
            // It died in the middle of a message.
            Err(error) if error.kind() == ErrorKind::Torn => {
                crate::log::warn!(%error, "the predecessor");
                return self.gone(Delivery::Gone);
            }
            // A predecessor that talks nonsense can't be relied on to decide, and must not be left in doubt.
            Err(error) => {
                crate::log::warn!(%error, "the predecessor");
                return self.gone(Delivery::HungUp);
            }
        };
        match message {
            Message::Commit => return Some(Event::Confirmed),
            Message::Abort { why } => {
                crate::log::warn!(why, "the predecessor took the restart back: this generation ends");
                self.took_back = true;
                self.settle_final_state();
                return Some(Event::TakenBack(why));
            }
            Message::LetGo => return Some(Event::PredecessorLetGo),
            Message::Draining(those) => self.draining = those,
            Message::FinalState(piece) => self.note_final_state(&piece),
            Message::FinalEnd { failed } => self.end_final_state(&failed),
            Message::Forward(want) => self.note(want, descriptors),
            Message::Offer(offers) => self.note_offers(offers, descriptors),
            unexpected => {
                crate::log::warn!(said = unexpected.name(), "the predecessor said what it must not say now: ignored");
            }
        }
        None
    }

    /// The last of the descriptors may be missing.
    fn note_offers(&mut self, offers: Vec<Offer>, descriptors: Vec<OwnedFd>) {
        let descriptors = descriptors.into_iter().map(Some).chain(iter::repeat_with(|| None));
        self.deliveries.push(Delivery::Offered(offers.into_iter().zip(descriptors).collect()));
    }

    fn note_settled(&mut self) {
        let settled = self.channel.as_mut().map(Channel::settled).unwrap_or_default();
        let took_back = self.took_back;
        self.deliveries.extend(settled.into_iter().map(|(number, settled)| match settled {
            // One that has taken the restart back lives, though its channel has ended.
            Settled::PeerGone if took_back => Delivery::Unsaid(number),
            // It is dead: nobody else will ever have what this process said that it takes.
            Settled::Accepted | Settled::PeerGone => Delivery::WentOut(number),
            Settled::LeftOut | Settled::Unsaid => Delivery::Unsaid(number),
        }));
    }

    /// The descriptors of a visitor that nobody takes are closed, and it sees its connection's end.
    fn note(&mut self, want: Want, descriptors: Vec<OwnedFd>) {
        if self.forwarded.len() >= MOST_FORWARDED {
            crate::log::warn!(?want, "too many have been passed on by the predecessor: one was turned away");
            return;
        }
        self.forwarded.extend(descriptors.into_iter().map(|descriptor| (want, descriptor)));
    }

    fn note_final_state(&mut self, piece: &Piece) {
        let FinalState::Coming(gathered) = &mut self.final_state else {
            return;
        };
        if let Err(why) = gathered.add(piece) {
            crate::log::error!(%why, "the predecessor passes what is no final state: the rest of it is ignored");
            self.final_state = FinalState::Garbled(mem::take(gathered));
        }
    }

    /// It hears that it may end also where something was wrong: it can't mend that any more.
    fn end_final_state(&mut self, failed: &[(Name, String)]) {
        for (name, why) in failed {
            crate::log::error!(%name, why, "the predecessor failed to take its final state");
        }
        crate::log::debug!("FINAL END was heard");
        self.settle_final_state();
        self.say(&Message::FinalTaken);
    }

    fn settle_final_state(&mut self) {
        let (FinalState::Coming(gathered) | FinalState::Garbled(gathered)) = &mut self.final_state else {
            return;
        };
        let (states, missing) = mem::take(gathered).whole();
        if let Some(why) = missing {
            crate::log::error!(%why, "the predecessor's final state is incomplete");
        }
        self.final_state = FinalState::Settled(states);
    }

    /// What those before it wait for is not told by anybody from here on: better unknown than outdated.
    fn gone(&mut self, how: Delivery) -> Option<Event> {
        self.note_settled();
        // One that has taken the restart back lives, and what it has offered since, against all order, is its own.
        self.hung_up = self.took_back || matches!(how, Delivery::HungUp);
        self.deliveries.push(if self.hung_up { Delivery::HungUp } else { how });
        if let Some(channel) = self.channel.take() {
            // It hears that this process hangs up also where a helper of this one's holds the same end open.
            channel.shut_writing();
            channel.shut_reading();
        }
        self.refuser = None;
        self.draining.clear();
        self.settle_final_state();
        (!self.took_back).then_some(Event::PredecessorGone)
    }

    pub(crate) fn say(&mut self, message: &Message) {
        if matches!(message, Message::Ready { .. }) {
            self.refuser = None;
        }
        if let Some(channel) = &mut self.channel {
            channel.say(message, Vec::new());
        }
    }
}

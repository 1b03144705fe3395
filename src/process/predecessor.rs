//! The generation before this one, as this process sees it, until it ends.

use std::{
    collections::VecDeque,
    mem,
    os::fd::OwnedFd,
    sync::{Arc, Weak},
};

use super::refuser::Refuser;
use crate::{
    Error,
    channel::{Channel, Received},
    name::Name,
    phase::Event,
    state::PassedState,
    status::Draining,
    wire::{Gathered, Message, Piece, Want},
};

/// How many visitors that the predecessor has passed on may wait here. Each is a descriptor.
const MOST_FORWARDED: usize = 64;

/// The generation before this one, until it ends.
#[derive(Debug)]
pub(crate) struct Predecessor {
    channel: Option<Channel>,
    /// It has said ABORT: it serves on, and its channel's end is no death.
    took_back: bool,
    draining: Vec<Draining>,
    forwarded: VecDeque<(Want, OwnedFd)>,
    final_state: FinalState,
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
            draining: Vec::new(),
            forwarded: VecDeque::new(),
            final_state: FinalState::Coming(Gathered::default()),
            refuser,
        }
    }

    /// What it does next. `None`: something was noted, for `draining`, `forwarded` or `final_state`.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost: what has been read stays in the channel, or has been noted.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        let Some(channel) = &mut self.channel else {
            return std::future::pending().await;
        };
        let received = channel.next().await;
        self.hear(received)
    }

    /// What it has said by now: what is about to be decided must not overtake that. Notes are taken on the way.
    pub(crate) fn next_now(&mut self) -> Option<Event> {
        while let Some(channel) = &mut self.channel {
            let received = channel.next_now()?;
            if let Some(event) = self.hear(received) {
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

    /// By which it can be refused from elsewhere, as long as it waits for READY and is heard.
    pub(crate) fn refuser(&self) -> Weak<Refuser> {
        self.refuser.as_ref().map(Arc::downgrade).unwrap_or_default()
    }

    fn hear(&mut self, received: Result<Option<Received>, Error>) -> Option<Event> {
        match received {
            Ok(Some((Message::Commit, _))) => Some(Event::Confirmed),
            Ok(Some((Message::Abort { why }, _))) => {
                crate::log::warn!(why, "the predecessor took the restart back: this generation ends");
                self.took_back = true;
                self.settle_final_state();
                Some(Event::TakenBack(why))
            }
            Ok(Some((Message::LetGo, _))) => Some(Event::PredecessorLetGo),
            Ok(Some((Message::Draining(those), _))) => {
                self.draining = those;
                None
            }
            Ok(Some((Message::FinalState(piece), _))) => {
                self.note_final_state(&piece);
                None
            }
            Ok(Some((Message::FinalEnd { failed }, _))) => {
                self.end_final_state(&failed);
                None
            }
            Ok(Some((Message::Forward(want), descriptors))) => {
                self.note(want, descriptors);
                None
            }
            Ok(Some((unexpected, _))) => {
                crate::log::warn!(said = unexpected.name(), "the predecessor said what it must not say now: ignored");
                None
            }
            Ok(None) => self.gone(),
            // A predecessor that talks nonsense can't be relied on to decide, and must not be left in doubt.
            Err(error) => {
                crate::log::warn!(%error, "the predecessor");
                self.gone()
            }
        }
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
    fn gone(&mut self) -> Option<Event> {
        self.channel = None;
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

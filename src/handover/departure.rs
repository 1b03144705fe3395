use std::{fmt, io, os::fd::OwnedFd, sync::Arc, time::Duration};

use tokio::sync::oneshot;

use super::{Fate, Parcel, Permit};
use crate::{
    transfer::{
        Giving,
        giving::{Action, Event},
    },
    wire,
};

/// A connection on its way out, until its fate is known.
pub(super) struct Departure {
    giving: Giving,
    to: wire::Destination,
    /// Shared with the channel, until the frame that bears it has gone out.
    socket: Arc<OwnedFd>,
    read: Vec<u8>,
    state: Vec<u8>,
    waited: Duration,
    answer: oneshot::Sender<Fate>,
    permit: Permit,
}

impl Departure {
    pub(super) fn new(parcel: Parcel, permit: Permit, answer: oneshot::Sender<Fate>) -> Self {
        let Parcel { to, socket, read, state, waited } = parcel;
        Self { giving: Giving::first(), to, socket: Arc::new(socket), read, state, waited, answer, permit }
    }

    /// Whether a successor that is well has no reason to wait. Those of a protocol it may hold until somebody asks for it.
    pub(super) fn is_answered_at_once(&self) -> bool {
        matches!(self.to, wire::Destination::Serve { .. })
    }

    /// What comes with the socket, in bytes.
    pub(super) fn length(&self) -> usize {
        self.read.len() + self.state.len()
    }

    /// As it is offered. The bytes stay here too, for it may come back.
    pub(super) fn offer(&mut self, id: u64) -> (wire::Offer, Arc<OwnedFd>) {
        (self.giving, _) = self.giving.on(Event::Offered);
        let offer = wire::Offer {
            id,
            to: self.to.clone(),
            waited_milliseconds: self.waited.as_millis().try_into().unwrap_or(u64::MAX),
            read: self.read.clone(),
            state: self.state.clone(),
        };
        (offer, Arc::clone(&self.socket))
    }

    /// It never left: nobody else has seen it.
    pub(super) fn stay(self, why: &str) {
        let stayed = self.on(Event::LeftOut, why);
        debug_assert!(stayed.is_none(), "one that was offered nowhere is this process's own");
    }

    /// What happens to it. `None`: that was its fate, and its owner knows. A reason is for one that comes back.
    pub(super) fn on(mut self, event: Event, why: &str) -> Option<Self> {
        let (giving, action) = self.giving.on(event);
        self.giving = giving;
        match action {
            Action::Nothing => return Some(self),
            Action::LetGo => self.go(Fate::Taken),
            Action::GiveUp => self.go(Fate::Undecided),
            Action::TakeBack => self.come_back(why),
        }
        None
    }

    /// Closed here, and then said to be.
    fn go(self, fate: Fate) {
        let Self { socket, answer, permit, .. } = self;
        drop(socket);
        tell(answer, fate, permit);
    }

    fn come_back(self, why: &str) {
        let Self { to, socket, read, state, waited, answer, permit, .. } = self;
        let fate = match owned(socket) {
            Ok(socket) => Fate::Back(Parcel { to, socket, read, state, waited }, why.to_owned()),
            Err(error) => {
                crate::log::warn!(%error, "a connection has come back, and there is no descriptor for it: lost");
                Fate::Undecided
            }
        };
        tell(answer, fate, permit);
    }
}

/// Whoever does not wait for its connection any more has given it up: what comes back is ended. Only then is there room
/// for another.
fn tell(owner: oneshot::Sender<Fate>, fate: Fate, permit: Permit) {
    if let Err(Fate::Back(parcel, _)) = owner.send(fate) {
        parcel.end();
    }
    drop(permit);
}

/// The socket itself where nobody else has it, or another descriptor of it while the channel still has it in a frame that
/// never goes out.
fn owned(socket: Arc<OwnedFd>) -> io::Result<OwnedFd> {
    Arc::try_unwrap(socket).or_else(|shared| shared.try_clone())
}

/// Without the bytes.
impl fmt::Debug for Departure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Departure").field("giving", &self.giving).field("to", &self.to).finish_non_exhaustive()
    }
}

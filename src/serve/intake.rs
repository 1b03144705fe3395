use std::{convert::Infallible, os::fd::BorrowedFd, sync::Arc};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::{link, server::Wiring, slots::Slots};
use crate::{
    Tracker,
    drain::{Kind, Level, Watch},
    handover::{self, Door, Entrance, Entrances, Parcel, Place, socket::shut_down},
    wire::{Begun, Destination, Offer},
};

/// How many may wait until the server gets to them: several frames of a predecessor's. The next ones are held, undecided, so
/// that the predecessor offers no more; without this a make-service that is not ready would get them all, and nobody served
/// them.
const READY_FOR: usize = 256;

/// By which connections of a predecessor come into a `serve`, from its call on: they may be offered before it is polled.
pub(super) struct Intake {
    /// Cloned into each connection: when the last is gone, so is the last connection.
    pub(super) family: mpsc::Sender<Infallible>,
    pub(super) last: mpsc::Receiver<Infallible>,
    pub(super) arrivals: mpsc::UnboundedReceiver<Arrival>,
    arrives: mpsc::UnboundedSender<Arrival>,
    takes: fn(BorrowedFd<'_>) -> bool,
    /// Of which each holds one that was admitted, until the server has it.
    ready: Arc<Semaphore>,
    /// Keeps the entrance open.
    ticket: Option<handover::Ticket>,
    is_barred: bool,
}

impl Intake {
    pub(super) fn new(takes: fn(BorrowedFd<'_>) -> bool) -> Self {
        let (family, last) = mpsc::channel(1);
        let (arrives, arrivals) = mpsc::unbounded_channel();
        Self {
            family,
            last,
            arrivals,
            arrives,
            takes,
            ready: Arc::new(Semaphore::new(READY_FOR)),
            ticket: None,
            is_barred: false,
        }
    }

    /// Where the listener has a name. Opened again, it is as the settings are now.
    pub(super) fn open(&mut self, wiring: &Wiring, slots: &Slots) {
        let Some(name) = wiring.name.clone().filter(|_| !self.is_barred) else { return };
        let entry = Entry {
            takes: self.takes,
            watch: wiring.watch.clone(),
            tracker: wiring.tracker.clone(),
            places: slots.places().clone(),
            ready: self.ready.clone(),
            entrances: wiring.entrances.clone(),
            family: self.family.downgrade(),
            arrives: self.arrives.clone(),
        };
        self.ticket = Some(wiring.entrances.open(Door::Serve(name), Arc::new(entry)));
    }

    pub(super) fn close(&mut self) {
        self.ticket = None;
    }

    /// For good: what speaks TLS can't change hands.
    pub(super) fn bar(&mut self) {
        self.close();
        self.is_barred = true;
    }

    /// Accepting has ended. Who comes by handover is still admitted while anybody is left, and the ticket is held.
    pub(super) fn end(
        self,
    ) -> (mpsc::UnboundedReceiver<Arrival>, mpsc::Receiver<Infallible>, Option<handover::Ticket>) {
        let Self { last, arrivals, ticket, .. } = self;
        (arrivals, last, ticket)
    }

    pub(super) fn is_open(&self) -> bool {
        self.ticket.is_some()
    }
}

/// Decides about each that is offered.
struct Entry {
    takes: fn(BorrowedFd<'_>) -> bool,
    watch: Watch,
    tracker: Tracker,
    places: Arc<Semaphore>,
    ready: Arc<Semaphore>,
    entrances: Entrances,
    /// Of a `serve` whose last connection is gone nobody is left to take one.
    family: mpsc::WeakSender<Infallible>,
    arrives: mpsc::UnboundedSender<Arrival>,
}

impl Entrance for Entry {
    fn admit(&self, offer: &Offer, socket: BorrowedFd<'_>) -> Result<Place, String> {
        let begun = match offer.to {
            Destination::Serve { begun, .. } => begun,
            Destination::Protocol(_) | Destination::Other(_) => Begun::Other(0),
        };
        let kind = match begun {
            Begun::Fresh => Kind::Fresh,
            Begun::Http1 => Kind::Http1,
            Begun::Other(_) => return Err("it has begun in a way that is not known here".to_owned()),
        };
        if !(self.takes)(socket) {
            return Err("the listener is of another kind than the connection".to_owned());
        }
        if self.watch.level() == Level::Over {
            return Err("the drain is over".to_owned());
        }
        let Some(family) = self.family.upgrade() else { return Err("the server has ended".to_owned()) };
        let Ok(slot) = self.places.clone().try_acquire_owned() else {
            return Err("no place among max_connections".to_owned());
        };
        // Where there is none, it has nowhere to wait: its predecessor is gone, and nobody else would serve it.
        let turn = Turn { permit: self.ready.clone().try_acquire_owned().ok(), entrances: self.entrances.clone() };
        let ticket = link::Ticket { guard: self.tracker.guard_of(kind), slot: Some(slot), family: Some(family) };
        let arrives = self.arrives.clone();
        Ok(Box::new(move |parcel| {
            let arrival = Arrival(Some(Box::new(Arrived { parcel, begun, ticket, turn })));
            if arrives.send(arrival).is_err() {
                crate::log::debug!("a connection was handed over to a server that was dropped meanwhile: closed");
            }
        }))
    }

    fn is_full(&self) -> bool {
        self.ready.available_permits() == 0
    }
}

/// A connection that is this process's own, and not served yet. Boxed, because a channel allocates room for 32 as soon as it is
/// made, and there may be thousands of listeners.
pub(super) struct Arrival(Option<Box<Arrived>>);

pub(super) struct Arrived {
    pub(super) parcel: Parcel,
    pub(super) begun: Begun,
    pub(super) ticket: link::Ticket,
    #[allow(dead_code)] // held, and never read
    turn: Turn,
}

/// One of those that may wait. Who is held because there are too many is asked again when there is room for it.
struct Turn {
    permit: Option<OwnedSemaphorePermit>,
    entrances: Entrances,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let was_full = self.permit.as_ref().is_some_and(|permit| permit.semaphore().available_permits() == 0);
        self.permit = None;
        if was_full {
            self.entrances.moves_on();
        }
    }
}

impl Arrival {
    pub(super) fn into_inner(mut self) -> Arrived {
        *self.0.take().expect("it leaves once")
    }
}

/// Nobody serves it: see `Link::close`.
impl Drop for Arrival {
    fn drop(&mut self) {
        if let Some(arrived) = &self.0 {
            shut_down(&arrived.parcel.socket);
        }
    }
}

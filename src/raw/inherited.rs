use std::{
    fmt,
    future::poll_fn,
    os::fd::BorrowedFd,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::Arrival;
use crate::{
    Tracker,
    drain::Level,
    handover::{Door, Entrance, Entrances, Parcel, Place, Ticket},
    name::Name,
    wire,
};

/// The connections of one protocol that the predecessor hands over, by `Graceful::inherited`.
///
/// It ends when the predecessor has none left to give: it has ended, or there was none. Also a `Stream`, for those who have
/// combinators.
///
/// While it lives, what is offered is taken, and waits here: up to 64 connections, each with up to 1 MiB of state. More are
/// held as those that nobody has asked for, and go back if none is fetched within the
/// `unclaimed_deadline` of the builder. Dropped, it takes nothing more, and what waits in it is shut
/// down: that can't go back.
///
/// A generation that is replaced while its own predecessor still drains goes on receiving, and hands on what it receives:
/// so this ends no sooner than that predecessor, which may take its whole drain. The drain should not wait for a task that
/// does nothing but wait for the next one, as one of `Graceful::spawn` would make it.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tokio_hotrestart::Error> {
/// let graceful = tokio_hotrestart::Graceful::detached();
/// let mut inherited = graceful.inherited("chat")?;
/// graceful.ready().await?;
/// assert!(inherited.next().await.is_none(), "nobody was here before");
/// # Ok(()) }
/// ```
#[must_use = "what arrives in it is shut down when it is dropped"]
pub struct Inherited {
    // First, so that it is dropped first: nothing more is to be taken for one who does not listen.
    ticket: Ticket,
    protocol: Name,
    arrivals: mpsc::UnboundedReceiver<Waiting>,
}

/// How many may wait here. They can't go back any more, and each bears what the predecessor has told of it.
const MOST_WAITING: usize = 64;

type Waiting = (Arrival, Option<OwnedSemaphorePermit>);

impl Inherited {
    pub(crate) fn new(entrances: &Entrances, tracker: Tracker, protocol: Name) -> Self {
        let (arrived, arrivals) = mpsc::unbounded_channel();
        // The list of entrances has the only sender, but for those of connections on their way: when it drops it, because
        // nothing can come any more, the receiver comes to its end.
        let room = Arc::new(Semaphore::new(MOST_WAITING));
        let entrance = Arc::new(Hall { protocol: protocol.clone(), tracker, room, arrived });
        Self { ticket: entrances.open(Door::Protocol(protocol.clone()), entrance), protocol, arrivals }
    }

    /// The next one; `None` when there are no more.
    ///
    /// # Cancel safety
    ///
    /// No connection is lost.
    pub async fn next(&mut self) -> Option<Arrival> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Arrival>> {
        let Some((arrival, place)) = ready!(self.arrivals.poll_recv(cx)) else { return Poll::Ready(None) };
        drop(place);
        self.ticket.moves_on();
        Poll::Ready(Some(arrival))
    }
}

impl futures_core::Stream for Inherited {
    type Item = Arrival;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Arrival>> {
        self.poll_recv(cx)
    }
}

/// Without what waits in it.
impl fmt::Debug for Inherited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inherited").field("protocol", &self.protocol).finish_non_exhaustive()
    }
}

/// Where they come in.
#[derive(Debug)]
struct Hall {
    protocol: Name,
    tracker: Tracker,
    room: Arc<Semaphore>,
    arrived: mpsc::UnboundedSender<Waiting>,
}

impl Entrance for Hall {
    fn admit(&self, offer: &wire::Offer, _: BorrowedFd<'_>) -> Result<Place, String> {
        if !offer.read.is_empty() {
            return Err("bytes that were read ahead belong to the state of a protocol of the application's".into());
        }
        if self.tracker.watch().level() == Level::Over {
            return Err("the drain is over".to_owned());
        }
        // None where the predecessor has gone, for then nobody else can have it.
        let place = Arc::clone(&self.room).try_acquire_owned().ok();
        let (guard, watch) = (self.tracker.guard(), self.tracker.watch().clone());
        let (protocol, arrived) = (self.protocol.clone(), self.arrived.clone());
        Ok(Box::new(move |parcel: Parcel| match Arrival::new(parcel, watch, guard) {
            // Nobody listens any more: it is shut down, by being dropped.
            Ok(arrival) => drop(arrived.send((arrival, place))),
            Err(error) => crate::log::error!(%protocol, %error, "a connection was taken and could not be registered"),
        }))
    }
    fn is_full(&self) -> bool {
        self.room.available_permits() == 0
    }
}

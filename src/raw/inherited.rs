use std::{
    fmt,
    os::fd::BorrowedFd,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::sync::mpsc;

use super::Arrival;
use crate::{
    Tracker,
    handover::{Door, Entrance, Entrances, Parcel, Place, Ticket},
    name::Name,
    wire,
};

/// The connections of one protocol that the predecessor hands over, by `Graceful::inherited`.
///
/// It ends when the predecessor has none left to give: it has ended, or there was none. Also a `Stream`, for those who have
/// combinators.
///
/// While it lives, what is offered is taken, and waits here. Dropped, it takes nothing more, and what waits in it is shut down:
/// it can't go back.
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
    _ticket: Ticket,
    protocol: Name,
    arrivals: mpsc::UnboundedReceiver<Arrival>,
}

impl Inherited {
    pub(crate) fn new(entrances: &Entrances, tracker: Tracker, protocol: Name) -> Self {
        let (arrived, arrivals) = mpsc::unbounded_channel();
        // The list of entrances has the only sender, but for those of connections on their way: when it drops it, because
        // nothing can come any more, the receiver comes to its end.
        let entrance = Arc::new(Hall { protocol: protocol.clone(), tracker, arrived });
        Self { _ticket: entrances.open(Door::Protocol(protocol.clone()), entrance), protocol, arrivals }
    }

    /// The next one; `None` when there are no more.
    ///
    /// # Cancel safety
    ///
    /// No connection is lost.
    pub async fn next(&mut self) -> Option<Arrival> {
        self.arrivals.recv().await
    }
}

impl futures_core::Stream for Inherited {
    type Item = Arrival;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Arrival>> {
        self.arrivals.poll_recv(cx)
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
    arrived: mpsc::UnboundedSender<Arrival>,
}

impl Entrance for Hall {
    fn admit(&self, offer: &wire::Offer, _: BorrowedFd<'_>) -> Result<Place, String> {
        if !offer.read.is_empty() {
            return Err("bytes that were read ahead belong to the state of a protocol of the application's".into());
        }
        let (guard, watch) = (self.tracker.guard(), self.tracker.watch().clone());
        let (protocol, arrived) = (self.protocol.clone(), self.arrived.clone());
        Ok(Box::new(move |parcel: Parcel| match Arrival::new(parcel, watch, guard) {
            // Nobody listens any more: it is shut down, by being dropped.
            Ok(arrival) => drop(arrived.send(arrival)),
            Err(error) => crate::log::error!(%protocol, %error, "a connection was taken and could not be registered"),
        }))
    }
}

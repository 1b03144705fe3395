use std::{
    fmt,
    pin::Pin,
    sync::{Arc, LazyLock},
    task::{Context, Poll, ready},
};

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio_util::sync::PollSemaphore;

use super::{Parcel, departure::Departure, inbox::Inbox};

/// The way out of this process, for those who own connections.
#[derive(Clone)]
pub(crate) struct Exit(pub(super) Arc<Inbox>);

/// Whose connections: each lane has a share of those that may be undecided at a time, so that one for which nobody asks
/// in the successor does not block the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Those of `serve`.
    Serve,
    /// Those of the application.
    Raw,
}

/// What became of a connection that has left.
#[derive(Debug)]
pub(crate) enum Fate {
    /// The successor serves it.
    Taken,
    /// This process's again, whole, and why.
    Back(Parcel, String),
    /// This process's drain deadline came, or nothing that the successor says can be believed any more: it may still take
    /// it. Here it is closed. So is one that has come back when there was no descriptor for it.
    Undecided,
}

impl Exit {
    /// One that never opens: the same for all.
    pub(crate) fn closed() -> Self {
        static CLOSED: LazyLock<Exit> = LazyLock::new(|| {
            let inbox = Inbox::default();
            inbox.close("this generation has no successor");
            Exit(Arc::new(inbox))
        });
        CLOSED.clone()
    }

    /// Whether a successor takes connections, or will when the final state has gone: whoever may leave is not told to go.
    /// One atomic load.
    pub(crate) fn is_open(&self) -> bool {
        self.0.is_open()
    }

    /// Room for one more that is undecided, first come, first served. Small, and of no cost until it is polled.
    pub(crate) fn room(&self, lane: Lane) -> Room {
        Room(PollSemaphore::new(Arc::clone(self.0.lane(lane))))
    }

    /// At once, or not.
    pub(crate) fn try_room(&self, lane: Lane) -> Option<Permit> {
        Arc::clone(self.0.lane(lane)).try_acquire_owned().ok().map(Permit::new)
    }

    /// Gives the connection away. If the exit was closed meanwhile, or the connection bears more than
    /// [`Parcel::LONGEST`], it is back at once.
    pub(crate) fn leave(&self, permit: Permit, parcel: Parcel) -> Leaving {
        let (answer, leaving) = oneshot::channel();
        let length = parcel.length();
        crate::log::debug!(length, "a connection was taken apart");
        let departure = Departure::new(parcel, permit, answer);
        if length > Parcel::LONGEST {
            let (bears, limit) = (length, Parcel::LONGEST);
            departure.stay(&format!("it bears {bears} bytes, and at most {limit} are handed over"));
        } else {
            self.0.put(departure);
        }
        Leaving(leaving)
    }

    /// Why nobody leaves. Of an exit that is open, what it would be if it were not.
    pub(crate) fn why_closed(&self) -> String {
        self.0.why_closed()
    }
}

/// A turn in a lane. One that was given and is not fetched blocks the lane, so whoever has something else to do first
/// drops the room.
pub(crate) struct Room(PollSemaphore);

impl Room {
    /// `None`: the exit is closed, for ever. The task is woken when there is room, or the exit is closed.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Permit>> {
        self.0.poll_acquire(cx).map(|permit| permit.map(Permit::new))
    }
}

/// Held from before a connection is taken apart until its fate is known.
#[derive(Debug)]
pub(crate) struct Permit {
    _held: OwnedSemaphorePermit,
}

impl Permit {
    fn new(held: OwnedSemaphorePermit) -> Self {
        Self { _held: held }
    }
}

/// A connection that is away: resolves to its [`Fate`], always.
///
/// # Cancel safety
///
/// Dropped before, the connection goes where it goes: this process's copy is closed when the successor has decided, and
/// the connection itself if it comes back.
#[derive(Debug)]
pub(crate) struct Leaving(oneshot::Receiver<Fate>);

impl Future for Leaving {
    type Output = Fate;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Fate> {
        // Every departure is settled by a word. If one were not, nothing would be known of it.
        Poll::Ready(ready!(Pin::new(&mut self.0).poll(cx)).unwrap_or(Fate::Undecided))
    }
}

/// One that has come back, and that its owner has not fetched, is ended as one that comes later.
impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.close();
        if let Ok(Fate::Back(parcel, _)) = self.0.try_recv() {
            parcel.end();
        }
    }
}

impl fmt::Debug for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exit").field("is_open", &self.is_open()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").finish_non_exhaustive()
    }
}

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    os::fd::BorrowedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::Parcel;
use crate::{
    name::Name,
    wire::{Begun, Destination, Offer},
};

/// Who takes connections from a predecessor.
pub(crate) trait Entrance: Send + Sync + 'static {
    /// A place for it, in which it counts from here on; or why there is none. The socket is looked at, and not touched: it
    /// is the predecessor's still.
    fn admit(&self, offer: &Offer, socket: BorrowedFd<'_>) -> Result<Place, String>;

    /// Whether so many wait behind it that the next one had better wait before it, from where it can go back. When that
    /// changes, [`Ticket::moves_on`].
    fn is_full(&self) -> bool {
        false
    }
}

/// Puts the connection there. Called only when it is this process's own; else it is dropped.
pub(crate) type Place = Box<dyn FnOnce(Parcel) + Send>;

/// For which connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Door {
    /// Those of the socket of this name.
    Serve(Name),
    /// Those of this protocol of the application's.
    Protocol(Name),
}

impl Door {
    /// Where an offer goes, or why nowhere.
    pub(super) fn of(to: &Destination) -> Result<Self, String> {
        match to {
            Destination::Serve { begun: Begun::Other(code), .. } => {
                Err(format!("connections that have begun in way {code} are not known here"))
            }
            Destination::Serve { socket, .. } => Ok(Self::Serve(socket.clone())),
            Destination::Protocol(name) => Ok(Self::Protocol(name.clone())),
            Destination::Other(code) => Err(format!("destinations of kind {code} are not known here")),
        }
    }
}

/// All the entrances of this process.
#[derive(Clone, Default)]
pub(crate) struct Entrances(Arc<Shared>);

#[derive(Default)]
struct Shared {
    registry: Mutex<Registry>,
    changed: Notify,
}

#[derive(Default)]
struct Registry {
    closed: Option<String>,
    last: u64,
    open: HashMap<Door, VecDeque<Registered>>,
}

struct Registered {
    number: u64,
    entrance: Arc<dyn Entrance>,
}

/// Whether there is a place.
pub(super) enum Admission {
    Place(Place),
    /// Nobody has that door open.
    Nobody,
    /// Those who have are full.
    Full,
    No(String),
}

impl Entrances {
    /// Registered until the ticket is dropped. Several of one door are asked in turn. Once closed, it is dropped at once.
    pub(crate) fn open(&self, to: Door, entrance: Arc<dyn Entrance>) -> Ticket {
        let mut registry = self.0.registry();
        registry.last += 1;
        let number = registry.last;
        if registry.closed.is_none() {
            registry.open.entry(to.clone()).or_default().push_back(Registered { number, entrance });
        }
        drop(registry);
        self.0.changed.notify_one();
        Ticket { entrances: self.clone(), door: to, number }
    }

    /// Nobody comes any more: everything is declined from now on. The entrances themselves are dropped, by which those who
    /// wait behind one learn of it. The first reason stays.
    pub(crate) fn close(&self, why: &str) {
        let mut registry = self.0.registry();
        // Told once: whoever is told looks, and may find that there is nobody to take anything for, and close again.
        if registry.closed.is_some() {
            return;
        }
        registry.closed = Some(why.to_owned());
        let open = std::mem::take(&mut registry.open);
        drop(registry);
        // Not under the lock: what an entrance holds may drop a ticket.
        drop(open);
        self.0.changed.notify_one();
    }

    /// Asks those who have the door open, one after the other, and whoever was asked first comes last the next time. Who is
    /// full is not asked, if the connection can wait.
    pub(super) fn admit(&self, door: &Door, offer: &Offer, socket: BorrowedFd<'_>, can_wait: bool) -> Admission {
        let asked: Vec<_> = {
            let mut registry = self.0.registry();
            if let Some(why) = &registry.closed {
                return Admission::No(why.clone());
            }
            let Some(open) = registry.open.get_mut(door) else { return Admission::Nobody };
            let asked = open.iter().map(|it| Arc::clone(&it.entrance)).collect();
            open.rotate_left(1);
            asked
        };
        let mut refusal = Admission::Nobody;
        for entrance in asked {
            if can_wait && entrance.is_full() {
                refusal = Admission::Full;
                continue;
            }
            match entrance.admit(offer, socket) {
                Ok(place) => return Admission::Place(place),
                Err(why) if !matches!(refusal, Admission::Full) => refusal = Admission::No(why),
                Err(_) => {}
            }
        }
        refusal
    }

    /// Behind an entrance that was full there is room again.
    pub(crate) fn moves_on(&self) {
        self.0.changed.notify_one();
    }

    /// An entrance was opened, or has room again, or all were closed, since this was last asked for. For one who waits; cancel safe.
    pub(super) async fn changed(&self) {
        self.0.changed.notified().await;
    }
}

impl Shared {
    fn registry(&self) -> MutexGuard<'_, Registry> {
        // Each change is one assignment, so a panic leaves nothing half done.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps an entrance open.
pub(crate) struct Ticket {
    entrances: Entrances,
    door: Door,
    number: u64,
}

impl Ticket {
    /// Somebody who waited behind the entrance has been fetched.
    pub(crate) fn moves_on(&self) {
        self.entrances.moves_on();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut registry = self.entrances.0.registry();
        let Some(open) = registry.open.get_mut(&self.door) else { return };
        let found = open.iter().position(|it| it.number == self.number);
        let removed = found.and_then(|at| open.remove(at));
        if open.is_empty() {
            registry.open.remove(&self.door);
        }
        drop(registry);
        // Not under the lock, as above.
        drop(removed);
    }
}

impl fmt::Debug for Entrances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let registry = self.0.registry();
        let open: Vec<_> = registry.open.keys().collect();
        f.debug_struct("Entrances").field("open", &open).field("closed", &registry.closed).finish()
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("door", &self.door).finish_non_exhaustive()
    }
}

//! What is told at once, and of which connection.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;

use crate::{Outcome, failure::Failure, tally::Parting};

/// Something that befell a client, told when it happens: who kills servers learns so which connection lost what.
#[derive(Clone, Debug)]
pub struct Incident {
    /// What happened.
    pub what: Befallen,
    /// The connection that it befell; of a reconnect, the one before. `None` before the client's first, and where a connect
    /// failed.
    pub connection: Option<Opened>,
}

/// What befell a client.
#[derive(Clone, Debug)]
pub enum Befallen {
    /// A request was lost.
    Lost {
        /// How.
        outcome: Outcome,
        /// The same in words.
        why: String,
    },
    /// It had to open another connection.
    Reconnected {
        /// Whether the server had said that it would end the one before.
        told: bool,
    },
}

/// A client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The client's own end; `None` of a Unix socket.
    pub local: Option<SocketAddr>,
    /// When it was asked for.
    pub asked: Instant,
}

/// Whoever listens, and the connection that its client has.
#[derive(Default)]
pub(crate) struct Witness {
    listener: Option<Listener>,
    /// Behind a lock, because the streams of one HTTP/2 connection share it.
    current: Mutex<Place>,
}

/// Where a client is.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// The connection that it has, or that it has asked for.
    at: Option<Opened>,
    /// The last one that it had.
    had: Option<Opened>,
}

/// Who is told.
#[derive(Clone)]
pub(crate) struct Listener(pub(crate) Arc<dyn Fn(Incident) + Send + Sync>);

impl Witness {
    pub(crate) fn new(listener: Option<Listener>) -> Self {
        Self { listener, current: Mutex::default() }
    }

    /// A connection has been asked for.
    pub(crate) fn asked(&self, opened: Opened) {
        self.place().at = Some(opened);
    }

    /// It has come.
    pub(crate) fn opened(&self, opened: Opened) {
        *self.place() = Place { at: Some(opened), had: Some(opened) };
    }

    /// The last one that this client had.
    pub(crate) fn had(&self) -> Option<Opened> {
        self.place().had
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn failed(&self, failure: &Failure) {
        if failure.outcome.is_loss() {
            self.tell(Befallen::Lost { outcome: failure.outcome, why: failure.to_string() }, self.place().at);
        }
    }

    pub(crate) fn reconnected(&self, parting: Parting, before: Option<Opened>) {
        self.tell(Befallen::Reconnected { told: parting == Parting::Told }, before);
    }

    fn tell(&self, what: Befallen, connection: Option<Opened>) {
        if let Some(Listener(tell)) = &self.listener {
            tell(Incident { what, connection });
        }
    }
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Witness").field("place", &*self.place()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").finish_non_exhaustive()
    }
}

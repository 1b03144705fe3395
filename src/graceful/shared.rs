//! What handle and loop have in common.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    Cause, Error, State, Successor,
    accept::Gatekeeper,
    drain::{Drain, Report, Tracker},
    estate::{Inherited, Providers},
    handover::{Entrances, Exit},
    hooks::Hooks,
    name::Name,
    process::Refuser,
    sockets::Registry,
};

/// Made by the loop's beginning, held by both.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) generation: u64,
    pub(super) is_successor: bool,
    pub(super) asks: mpsc::UnboundedSender<Ask>,
    pub(super) failed: mpsc::UnboundedSender<Error>,
    pub(super) state: watch::Sender<State>,
    pub(super) cause: watch::Sender<Option<Cause>>,
    pub(super) report: watch::Sender<Option<Report>>,
    pub(super) registry: Mutex<Registry>,
    pub(super) hooks: Mutex<Hooks>,
    /// Of the listeners that are accepted from until the very end.
    pub(super) last_names: Arc<Mutex<HashSet<Name>>>,
    pub(super) gate: Gatekeeper,
    pub(super) drain: Drain,
    pub(super) tracker: Tracker,
    pub(super) token: CancellationToken,
    /// Of what a successor gets before it is ready.
    pub(super) providers: Providers,
    /// Of what it gets after the point of no return.
    pub(super) final_providers: Providers,
    pub(super) inherited: Inherited,
    /// For live connections, to the successor.
    pub(super) exit: Exit,
    /// And from the predecessor.
    pub(super) entrances: Entrances,
    /// The predecessor that waits for READY, if one does.
    pub(super) refuser: Weak<Refuser>,
}

/// What the handle asks of the loop.
#[derive(Debug)]
pub(super) enum Ask {
    Ready(oneshot::Sender<Result<(), Error>>),
    Time(Duration),
    /// What has a name has changed.
    Registered,
    /// A hook was registered.
    Hooked,
    Restart(oneshot::Sender<Result<Successor, Error>>),
    Stop,
    /// A stop, unless the drain has begun.
    Drain,
    #[cfg(test)]
    Panic,
}

impl Shared {
    /// Everything else is over: what is last to close ends too.
    pub(super) fn end_last(&self) {
        self.gate.end_last();
        self.drain.end_last();
    }

    pub(super) fn registry(&self) -> MutexGuard<'_, Registry> {
        // No code of the user runs under the lock but `options`; a panic there leaves the lists whole.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn hooks(&self) -> MutexGuard<'_, Hooks> {
        // Nothing panics under it but an allocation that fails; the list is whole either way.
        self.hooks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn last_names(&self) -> HashSet<Name> {
        self.last_names.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

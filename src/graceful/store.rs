//! What systemd keeps of this service's sockets, for the time after a crash.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::OwnedFd,
    sync::Arc,
};

use crate::{
    name::Name,
    sys::{self, Identity},
    systemd::Notifier,
};

/// As far as it is known here: an earlier generation may have stored what this one has dropped.
#[derive(Debug, Default)]
pub(super) struct Store {
    stored: BTreeMap<Name, Identity>,
    /// Under these something may lie there that this process has not stored.
    maybe: BTreeSet<Name>,
}

impl Store {
    pub(super) fn is_also_of(&mut self, names: Vec<Name>) {
        self.maybe.extend(names);
    }

    /// What is gone, or is another socket now under its name, must not come back after a crash: it is removed first, for
    /// systemd removes all of a name.
    pub(super) fn become_what_is(&mut self, now: Vec<(Name, Arc<OwnedFd>)>, notifier: &mut Notifier) {
        let identity = |socket: &Arc<OwnedFd>| sys::identity(socket.as_ref()).ok();
        let known: BTreeMap<_, _> = now.iter().filter_map(|(name, socket)| Some((name, identity(socket)?))).collect();
        let gone = self.stored.iter().filter(|(name, was)| known.get(name) != Some(was)).map(|(name, _)| name.clone());
        let gone: BTreeSet<_> = gone.chain(std::mem::take(&mut self.maybe)).collect();
        for name in gone {
            notifier.remove(&name);
            self.stored.remove(&name);
        }
        for (name, socket) in &now {
            let Some(identity) = known.get(name) else { continue };
            if self.stored.insert(name.clone(), *identity).is_none() {
                notifier.store(name, Arc::clone(socket));
            }
        }
    }

    /// Nothing is to be kept any more.
    pub(super) fn empty(&mut self, notifier: &mut Notifier) {
        let stored = std::mem::take(&mut self.stored).into_keys();
        let names: BTreeSet<_> = stored.chain(std::mem::take(&mut self.maybe)).collect();
        names.iter().for_each(|name| notifier.remove(name));
    }
}

//! What came to this process and nobody has asked for yet.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsString,
    os::fd::{AsFd, OwnedFd},
};

use socket2::SockRef;

use super::{
    address::{Bound, actual},
    kind::Kind,
};
use crate::{
    name::Name,
    wire::{self, Origin},
};

/// What systemd calls a descriptor to which nobody has given a name: many may bear one of these, and it tells nothing.
const NAMELESS: [&str; 2] = ["unknown", "stored"];

/// Sockets by all that they are found by, so that thousands of them are not searched for each that is asked for.
#[derive(Debug, Default)]
pub(super) struct Unclaimed {
    /// In the order in which they came.
    all: BTreeMap<usize, Came>,
    /// From a predecessor: each name once.
    inherited: HashMap<Name, usize>,
    /// From systemd and the like, where several may share a name. What was claimed meanwhile is still listed.
    activated: HashMap<Name, Vec<usize>>,
    activated_at: HashMap<OsString, Vec<usize>>,
}

#[derive(Debug)]
pub(super) struct Came {
    /// Among those that a predecessor has passed; `None`: activated.
    pub(super) place: Option<u32>,
    /// Its kind has been looked at: an inherited one was verified, an activated one recognised.
    pub(super) socket: wire::Socket,
    pub(super) descriptor: OwnedFd,
}

impl Unclaimed {
    pub(super) fn inherit(&mut self, passed: Vec<(wire::Socket, OwnedFd)>) {
        for (place, (socket, descriptor)) in passed.into_iter().enumerate() {
            let name = socket.name.clone();
            let index = self.add(Came { place: Some(place as u32), socket, descriptor });
            self.inherited.insert(name, index);
        }
    }

    pub(super) fn activate(&mut self, activated: Vec<(String, OwnedFd)>) {
        for (name, descriptor) in activated {
            let came = Came::activated(&name, descriptor);
            let (name, at) = (came.socket.name.clone(), came.socket.actual.clone());
            let index = self.add(came);
            if !NAMELESS.contains(&name.as_str()) {
                self.activated.entry(name).or_default().push(index);
            }
            if !at.is_empty() {
                self.activated_at.entry(at).or_default().push(index);
            }
        }
    }

    fn add(&mut self, came: Came) -> usize {
        let index = self.all.last_key_value().map_or(0, |(last, _)| last + 1);
        self.all.insert(index, came);
        index
    }

    /// The socket under a name, of whatever kind; of several that were activated under it, the first of this kind.
    pub(super) fn named(&self, name: &Name, kind: &Kind) -> Option<(usize, &Came)> {
        if let Some(found) = self.inherited(name) {
            return Some(found);
        }
        let takes = |(_, came): &(usize, &Came)| kind.takes(came.socket.kind);
        let named = || self.those(self.activated.get(name));
        named().find(takes).or_else(|| named().next())
    }

    /// The socket that is asked for by name, kind and address: inherited, else activated. An activated one is the
    /// operator's to place, so under its name it is taken wherever it is bound, and where it is bound under any name.
    pub(super) fn asked(&self, name: &Name, kind: &Kind, asked: &[Bound]) -> Option<usize> {
        let fits = |(_, came): &(usize, &Came)| came.socket.kind == kind.code;
        let is_there = |(_, came): &(usize, &Came)| asked.iter().any(|bound| bound.is(&came.socket));
        let named = || self.those(self.activated.get(name)).filter(fits);
        let there = || asked.iter().flat_map(|bound| self.those(self.activated_at.get(&bound.text()))).find(fits);
        let found = self.inherited(name).filter(fits).filter(is_there);
        found.or_else(|| named().find(is_there)).or_else(|| named().next()).or_else(there).map(|(index, _)| index)
    }

    /// What a predecessor has passed under a name.
    pub(super) fn inherited(&self, name: &Name) -> Option<(usize, &Came)> {
        let index = *self.inherited.get(name)?;
        self.all.get(&index).map(|came| (index, came))
    }

    pub(super) fn get(&self, index: usize) -> Option<&Came> {
        self.all.get(&index)
    }

    pub(super) fn take(&mut self, index: usize) -> Option<Came> {
        self.all.remove(&index)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = Name> + '_ {
        self.all.values().map(|came| came.socket.name.clone())
    }

    /// All that are left, in the order in which they came.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Came> + use<> {
        std::mem::take(self).all.into_values()
    }

    fn those<'a>(&'a self, listed: Option<&'a Vec<usize>>) -> impl Iterator<Item = (usize, &'a Came)> + 'a {
        listed.into_iter().flatten().filter_map(|index| Some((*index, self.all.get(index)?)))
    }
}

impl Came {
    fn activated(name: &str, descriptor: OwnedFd) -> Self {
        // Who passes descriptors through an exec leaves them open for the next one too.
        if let Err(error) = SockRef::from(&descriptor).set_cloexec(true) {
            crate::log::warn!(socket = name, %error, "an activated descriptor is not what it seems");
        }
        let name = Name::passed(name).or_else(|_| Name::passed(NAMELESS[0])).expect("systemd's word is a name");
        let kind = Kind::inspect(descriptor.as_fd());
        // What has no address is found by its name only.
        let at = actual(descriptor.as_fd()).unwrap_or_default();
        let socket = wire::Socket {
            name,
            kind: kind.code,
            origin: Origin::Activated,
            requested: at.clone(),
            actual: at,
            path: (0, 0),
        };
        Self { place: None, socket, descriptor }
    }
}

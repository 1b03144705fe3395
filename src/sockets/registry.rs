//! The sockets of this generation, by name: those that it may still claim, and those that it passes on.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ffi::OsString,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    sync::Arc,
};

use super::{
    Address, Socket,
    address::{Bound, absolute, actual, shown},
    adopt::share,
    fresh::{self, Fault, Options},
    kind::Kind,
    path,
    unclaimed::{Came, Unclaimed},
    verify::Verified,
};
use crate::{
    Error, ErrorKind,
    name::Name,
    status::{Leftover, SocketStatus},
    sys::{self, Identity},
    wire::{self, Origin, SocketKind},
};

/// Everything under a name. Each socket here is a duplicate, out of every reactor: users hold plain tokio sockets, and so
/// this is what can be passed on.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    unclaimed: Unclaimed,
    /// In the order in which they came.
    entries: BTreeMap<u64, Entry>,
    names: HashMap<Name, u64>,
    next: u64,
    /// The names of open files, also of those that were entries when accepting ended. The application's own listeners
    /// outlive our duplicates, and one of them that is asked for its name only then must still be known: as a stranger
    /// it would be emptied, and its clients taken from the generation that holds the same socket.
    known: HashMap<Identity, Name>,
    /// Inherited and released: not passed on, but the predecessor's too, until it lets go.
    released: Vec<Name>,
    leftovers: Vec<Leftover>,
    /// Under which names something came that has another name here, or none any more.
    renounced: Vec<Name>,
    /// Closed when they were the predecessor's, too.
    not_owned: Vec<wire::Socket>,
    /// Accepting has ended: what is bound now would be passed to nobody and closed by nobody.
    closed: bool,
}

#[derive(Debug)]
struct Entry {
    /// Among those that a predecessor has passed; `None`: of this generation.
    place: Option<u32>,
    socket: wire::Socket,
    identity: Identity,
    descriptor: Arc<OwnedFd>,
}

impl Registry {
    /// Of what a predecessor has passed, in its order.
    pub(crate) fn inherit(passed: Verified) -> Self {
        let mut registry = Self::default();
        registry.unclaimed.inherit(passed.0);
        registry
    }

    /// What systemd or another has activated, with its names: these may be missing or repeat.
    pub(crate) fn activate(&mut self, activated: Vec<(String, OwnedFd)>) {
        self.unclaimed.activate(activated);
    }

    /// The socket that was passed under this name, if it is of this kind.
    pub(crate) fn claim<S: Socket>(&mut self, name: &Name) -> Result<Option<S>, Error> {
        self.admit(name)?;
        let Some((index, came)) = self.unclaimed.named(name, S::KIND) else {
            return Ok(None);
        };
        if !S::KIND.takes(came.socket.kind) {
            let found = Kind::of(came.socket.kind).map_or("of a kind that this version does not know", |it| it.name);
            let what = format!("the inherited socket {name:?} is {found}, not {}", S::KIND.name);
            return Err(Error::new(ErrorKind::Socket, what));
        }
        self.take(name, index, None).map(Some)
    }

    /// The inherited socket if it is what is asked for, else an activated one, else a fresh one. A name whose address has
    /// changed leaves the inherited one unclaimed: it is closed at ready here, and emptied by the predecessor.
    pub(crate) fn listen<S: Address<A>, A>(
        &mut self,
        name: &Name,
        asked: &[Bound],
        options: &mut Options<'_>,
    ) -> Result<S, Error> {
        self.admit(name)?;
        if let Some(index) = self.unclaimed.asked(name, S::KIND, asked) {
            return self.take(name, index, asked.first());
        }
        if let Some((_, left)) = self.unclaimed.inherited(name) {
            let (was, now) = (shown(&left.socket.requested), asked.first().map(Bound::text).unwrap_or_default());
            crate::log::info!(socket = name.as_str(), %was, now = %shown(&now), "the address has changed: binding anew");
        }
        self.bind(name, asked, options)
    }

    /// A duplicate of a socket that the application has opened, under a name to be claimed by.
    pub(crate) fn offer(&mut self, name: &Name, socket: BorrowedFd<'_>) -> Result<(), Error> {
        self.admit(name)?;
        let failed = |error| Error::io(ErrorKind::Socket, format!("offer {name:?}"), error);
        let descriptor = socket.try_clone_to_owned().map_err(failed)?;
        let kind = Kind::inspect(descriptor.as_fd());
        let actual = match actual(descriptor.as_fd()) {
            // What is no socket has no address.
            Err(_) if !kind.has_address() => OsString::new(),
            actual => actual.map_err(failed)?,
        };
        // Bound to a relative path, it is asked for by the absolute one.
        let requested =
            if kind.is_unix() && !actual.is_empty() { absolute(&actual).map_err(failed)? } else { actual.clone() };
        // No inode of a path: the application has made that, so it is not ours to remove.
        let (name, origin, path) = (name.clone(), Origin::Offered, (0, 0));
        self.insert(None, wire::Socket { name, kind: kind.code, origin, requested, actual, path }, descriptor)
    }

    /// Lets a name go: our duplicate is closed and passed to nobody. What the application holds stays open.
    pub(crate) fn release(&mut self, name: &Name) {
        if let Some(entry) = self.names.remove(name).and_then(|at| self.entries.remove(&at)) {
            crate::log::debug!(socket = name.as_str(), "released");
            if entry.place.is_some() || entry.socket.origin == Origin::Activated {
                self.renounced.push(name.clone());
            }
            match entry.place {
                Some(_) => self.released.push(name.clone()),
                // Nobody else has it, so its queue is nobody else's.
                None => drop(self.known.remove(&entry.identity)),
            }
            return;
        }
        while let Some(came) = self.unclaimed.named(name, OwnedFd::KIND).map(|(index, _)| index) {
            let came = self.unclaimed.take(came).expect("it was found there just now");
            self.leave(came);
        }
    }

    /// Adopts what came to this process and makes it an entry; on failure it stays to be claimed.
    fn take<S: Socket>(&mut self, name: &Name, index: usize, asked: Option<&Bound>) -> Result<S, Error> {
        let came = self.unclaimed.get(index).expect("it was found there just now");
        let taken = share::<S>(&came.descriptor, Some(came.socket.kind), format_args!("claim {name:?}"))?;
        let Came { place, mut socket, descriptor } = self.unclaimed.take(index).expect("it is there still");
        if place.is_none() {
            // It is found again by what it was asked for as, whatever systemd calls it and wherever systemd has put it.
            let called = std::mem::replace(&mut socket.name, name.clone());
            self.renounced.extend((called != *name).then_some(called));
            socket.requested = asked.map_or_else(|| socket.actual.clone(), Bound::text);
        }
        crate::log::debug!(socket = name.as_str(), address = %shown(&socket.actual), "claimed");
        self.insert(place, socket, descriptor)?;
        Ok(taken)
    }

    fn bind<S: Address<A>, A>(&mut self, name: &Name, asked: &[Bound], options: &mut Options<'_>) -> Result<S, Error> {
        let mut last = Error::new(ErrorKind::Socket, format!("bind {name:?}: the address resolves to nothing"));
        for bound in asked {
            let requested = bound.text();
            let (descriptor, path) = match fresh::open(S::KIND, bound, options) {
                Ok(opened) => opened,
                Err(Fault { during, error }) => {
                    let colon = if during.is_empty() { "" } else { ": " };
                    let what = format!("bind {name:?} to {}{colon}{during}", shown(&requested));
                    last = Error::io(ErrorKind::Socket, what, error);
                    continue;
                }
            };
            let entered = self.enter(name, requested.clone(), descriptor, path);
            if entered.is_err() && path != (0, 0) {
                // Nobody answers there, and nobody else would remove it.
                path::remove(Path::new(&requested), path);
            }
            return entered;
        }
        Err(last)
    }

    /// A fresh socket as tokio's, with an entry.
    fn enter<S: Socket>(
        &mut self,
        name: &Name,
        requested: OsString,
        descriptor: OwnedFd,
        path: (u64, u64),
    ) -> Result<S, Error> {
        let failed = |error| failed("bind", name, error);
        let actual = actual(descriptor.as_fd()).map_err(failed)?;
        let socket = share::<S>(&descriptor, Some(S::KIND.code), format_args!("bind {name:?}"))?;
        let (name, origin) = (name.clone(), Origin::Bound);
        self.insert(None, wire::Socket { name, kind: S::KIND.code, origin, requested, actual, path }, descriptor)?;
        Ok(socket)
    }

    fn insert(&mut self, place: Option<u32>, socket: wire::Socket, descriptor: OwnedFd) -> Result<(), Error> {
        let name = socket.name.clone();
        let identity = sys::identity(&descriptor).map_err(|error| failed("look at", &name, error))?;
        // What bore the name before was released, and a listener that is still accepted from is not this one.
        if let Some(at) = self.released.iter().position(|released| *released == name) {
            self.released.swap_remove(at);
            self.known.retain(|_, known| *known != name);
        }
        self.known.insert(identity, name.clone());
        self.names.insert(name, self.next);
        self.entries.insert(self.next, Entry { place, socket, identity, descriptor: Arc::new(descriptor) });
        self.next += 1;
        Ok(())
    }

    fn admit(&self, name: &Name) -> Result<(), Error> {
        if self.closed {
            return Err(Error::new(ErrorKind::Ending, format!("bind {name:?}: this generation accepts no more")));
        }
        if self.names.contains_key(name) {
            return Err(Error::new(
                ErrorKind::Name,
                format!("the socket name {name:?} is taken: each name is used once"),
            ));
        }
        Ok(())
    }

    /// The name of a socket that a user holds: the open file is the same, so two sockets on one address are told apart.
    pub(crate) fn name_of(&self, socket: BorrowedFd<'_>) -> Option<Name> {
        self.known.get(&sys::identity(socket).ok()?).cloned()
    }

    /// Everything to pass on, and nothing that an earlier generation passed and nobody claimed.
    pub(crate) fn to_pass(&self) -> Vec<(wire::Socket, Arc<OwnedFd>)> {
        self.entries.values().map(|entry| (entry.as_it_is(), Arc::clone(&entry.descriptor))).collect()
    }

    /// What systemd's descriptor store is to keep, under these names: what clients wait at. A pipe or a memfd in there
    /// would outlive whoever knows what it is for.
    pub(crate) fn stored(&self) -> Vec<(Name, Arc<OwnedFd>)> {
        let is_kept = |entry: &&Entry| {
            let code = entry.socket.kind;
            !entry.is_control() && Kind::of(code).is_some_and(Kind::has_address)
        };
        let kept = self.entries.values().filter(is_kept);
        kept.map(|entry| (entry.socket.name.clone(), Arc::clone(&entry.descriptor))).collect()
    }

    /// The sockets in the order in which they are passed on, and those that this generation was passed and closed.
    pub(crate) fn status(&self) -> (Vec<SocketStatus>, Vec<Leftover>) {
        (self.entries.values().map(Entry::status).collect(), self.leftovers.clone())
    }

    /// Under which names something was passed that is not served under them.
    pub(crate) fn dropped(&self) -> Vec<Name> {
        let left = self.leftovers.iter().filter_map(|left| Name::passed(&left.name).ok());
        left.chain(self.renounced.iter().cloned()).collect()
    }

    /// Under which names something is here or was passed, served or not: systemd may keep it.
    pub(crate) fn all_names(&self) -> Vec<Name> {
        self.names.keys().cloned().chain(self.dropped()).chain(self.unclaimed.names()).collect()
    }

    /// The places of the inherited sockets that were claimed, for READY.
    pub(crate) fn claimed(&self) -> Vec<u32> {
        self.entries.values().filter_map(|entry| entry.place).collect()
    }

    /// Closes what was passed and not claimed: left open, it would swallow connections that nobody serves.
    pub(crate) fn close_leftovers(&mut self) {
        for came in self.unclaimed.drain() {
            self.leave(came);
        }
    }

    fn leave(&mut self, came: Came) {
        let Came { place, socket, descriptor } = came;
        let has_moved = place.is_some() && self.names.contains_key(&socket.name);
        let why = if has_moved { "the address has changed" } else { "not claimed" };
        let address = shown(&socket.actual).to_string();
        crate::log::info!(socket = socket.name.as_str(), address, why, "passed and not served: closed");
        self.leftovers.push(Leftover { name: socket.name.to_string(), address, why: why.to_owned() });
        drop(descriptor);
    }

    /// Lets all duplicates go but the control path's and those of the `last` to close, and removes the paths of those that
    /// are this generation's alone: not those that a successor has `claimed`, nor, before it `owns` what it inherited, those
    /// of its predecessor.
    pub(crate) fn close(&mut self, claimed: &HashSet<Name>, owns: bool, last: &HashSet<Name>) {
        self.closed = true;
        self.unclaimed.drain().for_each(drop);
        self.names.clear();
        let stays = |entry: &Entry| entry.is_control() || last.contains(&entry.socket.name);
        let (staying, others): (BTreeMap<_, _>, _) =
            std::mem::take(&mut self.entries).into_iter().partition(|(_, entry)| stays(entry));
        self.entries = staying;
        self.not_owned.extend(others.into_values().filter_map(|entry| entry.close(claimed, owns)));
    }

    /// The same for the control path, at which a generation can be asked until its end.
    pub(crate) fn close_control(&mut self, claimed: &HashSet<Name>, owns: bool) {
        let entries = std::mem::take(&mut self.entries);
        self.not_owned.extend(entries.into_values().filter_map(|entry| entry.close(claimed, owns)));
    }

    /// The paths of what was closed before they were this generation's to remove.
    pub(crate) fn clear_away(&mut self) {
        self.not_owned.drain(..).for_each(|socket| path::remove(Path::new(&socket.actual), socket.path));
    }

    /// All names that this generation and its predecessor share, and those that it passes on.
    pub(crate) fn names(&self) -> impl Iterator<Item = Name> + '_ {
        self.entries.values().map(|entry| &entry.socket.name).chain(&self.released).cloned()
    }
}

impl Entry {
    fn is_control(&self) -> bool {
        self.socket.kind == SocketKind::Control
    }

    /// `Some`: its path may have to be removed yet.
    fn close(self, claimed: &HashSet<Name>, owns: bool) -> Option<wire::Socket> {
        // Only what was bound by us has the inode of a path.
        let Self { place, socket, .. } = self;
        if socket.path == (0, 0) || claimed.contains(&socket.name) {
            return None;
        }
        if !owns && place.is_some() {
            return Some(socket);
        }
        path::remove(Path::new(&socket.actual), socket.path);
        None
    }

    /// What the manifest says of it. A UDP socket that the application has connected is bound to another address since;
    /// a listener stays where it is, and asking thousands of them takes time.
    fn as_it_is(&self) -> wire::Socket {
        let mut socket = self.socket.clone();
        if Kind::of(socket.kind).is_some_and(Kind::is_datagram) {
            match actual(self.descriptor.as_fd()) {
                Ok(actual) => socket.actual = actual,
                Err(error) => crate::log::warn!(socket = socket.name.as_str(), %error, "look at its address"),
            }
        }
        socket
    }

    fn status(&self) -> SocketStatus {
        let wire::Socket { name, kind, origin, actual, .. } = self.as_it_is();
        let kind = Kind::of(kind).map_or("unknown", |kind| kind.name.trim_start_matches("a "));
        let origin = match origin {
            Origin::Bound => "bound",
            Origin::Offered => "offered",
            Origin::Activated => "activated",
            Origin::Other(_) => "unknown",
        };
        let (name, kind, origin) = (name.to_string(), kind.to_owned(), origin.to_owned());
        SocketStatus { name, kind, address: shown(&actual).to_string(), origin }
    }
}

fn failed(what: &str, name: &Name, error: std::io::Error) -> Error {
    Error::io(ErrorKind::Socket, format!("{what} {name:?}"), error)
}

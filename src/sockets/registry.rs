//! The sockets of this generation, by name: those that it may still claim, and those that it passes on.

use std::{
    ffi::{OsStr, OsString},
    fmt, fs,
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::Path,
    sync::Arc,
};

use socket2::SockRef;
use tokio::net::{TcpListener, UnixListener};

use super::{
    Address, Socket, adopt,
    fresh::Options,
    kind::{self, Bound},
};
use crate::{
    Error, ErrorKind,
    name::Name,
    sys::{self, Identity},
    wire::{self, Origin, SocketKind},
};

/// Everything under a name. Each socket here is a duplicate, out of every reactor: users hold plain tokio listeners, and
/// so this is what can be passed on.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    leftovers: Vec<Leftover>,
    entries: Vec<Entry>,
    /// What was an entry when accepting ended. The application's own listeners outlive our duplicates, and one of them that
    /// is asked for its name only then must still be known: as a stranger it would be emptied, and its clients taken from
    /// the generation that holds the same socket.
    ended: Vec<(Identity, Name)>,
    /// Accepting has ended: what is bound now would be passed to nobody and closed by nobody.
    closed: bool,
}

/// Passed and not yet claimed.
#[derive(Debug)]
struct Leftover {
    place: u32,
    socket: wire::Socket,
    descriptor: OwnedFd,
}

#[derive(Debug)]
struct Entry {
    /// Among those that were passed; `None`: bound by this generation.
    place: Option<u32>,
    socket: wire::Socket,
    identity: Identity,
    descriptor: Arc<OwnedFd>,
}

impl Registry {
    /// Of what a predecessor has passed, in its order.
    pub(crate) fn inherit(passed: Vec<(wire::Socket, OwnedFd)>) -> Self {
        let leftover = |(place, (socket, descriptor))| Leftover { place: place as u32, socket, descriptor };
        Self { leftovers: passed.into_iter().enumerate().map(leftover).collect(), ..Self::default() }
    }

    /// The inherited socket of this name, if it is of this kind.
    pub(crate) fn claim<S: Socket>(&mut self, name: &Name) -> Result<Option<S>, Error> {
        self.claim_if(name, |_| true)
    }

    /// The inherited socket if it is what is asked for, else a fresh one. A name whose address has changed leaves the
    /// inherited one unclaimed: it is closed at ready here, and emptied by the predecessor.
    pub(crate) fn listen<S: Address<A>, A>(
        &mut self,
        name: &Name,
        asked: &[Bound],
        options: &mut Options<'_>,
    ) -> Result<S, Error> {
        let same = |socket: &wire::Socket| {
            socket.kind == S::KIND.code && asked.iter().any(|bound| bound.is(&socket.requested, &socket.actual))
        };
        if let Some(socket) = self.claim_if::<S>(name, same)? {
            return Ok(socket);
        }
        if let Some(left) = self.leftovers.iter().find(|left| left.socket.name == *name) {
            let (was, now) = (shown(&left.socket.requested), asked.first().map(Bound::text).unwrap_or_default());
            crate::log::info!(socket = name.as_str(), %was, now = %shown(&now), "the address has changed: binding anew");
        }
        self.bind(name, asked, options)
    }

    fn claim_if<S: Socket>(
        &mut self,
        name: &Name,
        wanted: impl FnOnce(&wire::Socket) -> bool,
    ) -> Result<Option<S>, Error> {
        self.admit(name)?;
        let Some(index) = self.leftovers.iter().position(|left| left.socket.name == *name) else {
            return Ok(None);
        };
        let left = &self.leftovers[index];
        if !wanted(&left.socket) {
            return Ok(None);
        }
        if left.socket.kind != S::KIND.code {
            let what =
                format!("the inherited socket {name:?} is {}, not {}", kind_name(left.socket.kind), S::KIND.name);
            return Err(Error::new(ErrorKind::Socket, what));
        }
        let failed = |error| failed("claim", name, error);
        let identity = sys::identity(&left.descriptor).map_err(failed)?;
        let socket = adopt::<S>(left.descriptor.try_clone().map_err(failed)?)?;
        let Leftover { place, socket: entry, descriptor } = self.leftovers.remove(index);
        crate::log::debug!(socket = name.as_str(), address = %shown(&entry.actual), "claimed");
        self.entries.push(Entry { place: Some(place), socket: entry, identity, descriptor: Arc::new(descriptor) });
        Ok(Some(socket))
    }

    fn bind<S: Address<A>, A>(&mut self, name: &Name, asked: &[Bound], options: &mut Options<'_>) -> Result<S, Error> {
        let mut last = Error::new(ErrorKind::Socket, format!("bind {name:?}: the address resolves to nothing"));
        for bound in asked {
            let address = bound.text();
            let what = || format!("bind {name:?} to {}", shown(&address));
            let opened = (S::KIND.fresh)(bound, options)
                .and_then(|descriptor| kind::describe(&descriptor, bound).map(|described| (descriptor, described)));
            match opened {
                Ok((descriptor, (actual, path))) => {
                    let failed = |error| failed("bind", name, error);
                    let identity = sys::identity(&descriptor).map_err(failed)?;
                    let socket = adopt::<S>(descriptor.try_clone().map_err(failed)?)?;
                    let requested = bound.text();
                    let (name, origin) = (name.clone(), Origin::Bound);
                    let entry = wire::Socket { name, kind: S::KIND.code, origin, requested, actual, path };
                    self.entries.push(Entry { place: None, socket: entry, identity, descriptor: Arc::new(descriptor) });
                    return Ok(socket);
                }
                Err(error) => last = Error::io(ErrorKind::Socket, what(), error),
            }
        }
        Err(last)
    }

    fn admit(&self, name: &Name) -> Result<(), Error> {
        if self.closed {
            return Err(Error::new(ErrorKind::Ending, format!("bind {name:?}: this generation accepts no more")));
        }
        if self.entries.iter().any(|entry| entry.socket.name == *name) {
            return Err(Error::new(
                ErrorKind::Name,
                format!("the socket name {name:?} is taken: each name is used once"),
            ));
        }
        Ok(())
    }

    /// The name of a listener that a user holds: the open file is the same, so two sockets on one address are told apart.
    pub(crate) fn name_of(&self, socket: BorrowedFd<'_>) -> Option<Name> {
        let identity = sys::identity(socket).ok()?;
        let entries = self.entries.iter().map(|entry| (&entry.identity, &entry.socket.name));
        let ended = self.ended.iter().map(|(identity, name)| (identity, name));
        entries.chain(ended).find(|(it, _)| **it == identity).map(|(_, name)| name.clone())
    }

    /// Everything to pass on, and nothing that an earlier generation passed and nobody claimed.
    pub(crate) fn to_pass(&self) -> Vec<(wire::Socket, Arc<OwnedFd>)> {
        self.entries.iter().map(|entry| (entry.socket.clone(), Arc::clone(&entry.descriptor))).collect()
    }

    /// The places of the inherited sockets that were claimed, for READY.
    pub(crate) fn claimed(&self) -> Vec<u32> {
        self.entries.iter().filter_map(|entry| entry.place).collect()
    }

    /// Closes what was passed and not claimed: left open, it would swallow connections that nobody serves.
    pub(crate) fn close_leftovers(&mut self) {
        for left in self.leftovers.drain(..) {
            let (socket, address) = (left.socket.name.as_str(), shown(&left.socket.actual));
            crate::log::info!(socket, %address, "inherited and not claimed: closed");
        }
    }

    /// Lets all duplicates go, and removes the paths of those that are this generation's alone: not those that a
    /// successor has `claimed`, nor, before it `owns` what it inherited, those of its predecessor.
    pub(crate) fn close(&mut self, claimed: &[Name], owns: bool) {
        self.closed = true;
        self.leftovers.clear();
        for entry in self.entries.drain(..) {
            if !claimed.contains(&entry.socket.name) && (owns || entry.place.is_none()) {
                remove_own_path(&entry.socket);
            }
            self.ended.push((entry.identity, entry.socket.name));
        }
    }

    /// All names that are passed on.
    pub(crate) fn names(&self) -> impl Iterator<Item = Name> + '_ {
        self.entries.iter().map(|entry| entry.socket.name.clone())
    }
}

/// Only the inode that this socket was bound to: another server may have bound the path since.
fn remove_own_path(socket: &wire::Socket) {
    let path = Path::new(&socket.actual);
    let ours = |file: &fs::Metadata| (file.dev(), file.ino()) == socket.path;
    if socket.kind != SocketKind::UnixListener || !fs::symlink_metadata(path).as_ref().is_ok_and(ours) {
        return;
    }
    if let Err(error) = fs::remove_file(path) {
        crate::log::warn!(socket = socket.name.as_str(), path = %path.display(), %error, "remove the socket's path");
    }
}

/// Whether what was passed is what its manifest says. A successor that trusted a wrong one would serve the admin port's
/// clients on the public port's router.
pub(crate) fn verify(passed: &[(wire::Socket, OwnedFd)]) -> Result<(), Error> {
    for (index, (socket, descriptor)) in passed.iter().enumerate() {
        let name = &socket.name;
        let wrong = |why: String| Error::new(ErrorKind::Socket, format!("the socket passed as {name:?}: {why}"));
        if passed[..index].iter().any(|(other, _)| other.name == *name) {
            return Err(wrong("the name was passed twice".into()));
        }
        match socket.kind {
            SocketKind::TcpListener => {
                (TcpListener::KIND.check)(SockRef::from(descriptor)).map_err(wrong)?;
                let actual = kind::inet_address(descriptor).map_err(|error| wrong(error.to_string()))?;
                if actual != socket.actual {
                    return Err(wrong(different(&actual, &socket.actual)));
                }
            }
            SocketKind::UnixListener => {
                (UnixListener::KIND.check)(SockRef::from(descriptor)).map_err(wrong)?;
                let actual = kind::unix_path(descriptor).map_err(|error| wrong(error.to_string()))?;
                if actual != socket.actual {
                    return Err(wrong(different(&actual, &socket.actual)));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn different(actual: &OsString, stated: &OsString) -> String {
    format!("it is bound to {}, not to {}", shown(actual), shown(stated))
}

fn shown(address: &OsStr) -> impl fmt::Display + '_ {
    Path::new(address).display()
}

fn failed(what: &str, name: &Name, error: std::io::Error) -> Error {
    Error::io(ErrorKind::Socket, format!("{what} {name:?}"), error)
}

fn kind_name(kind: SocketKind) -> &'static str {
    match kind {
        SocketKind::TcpListener => TcpListener::KIND.name,
        SocketKind::UnixListener => UnixListener::KIND.name,
        _ => "of a kind that this version does not know",
    }
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, os::fd::AsFd};

    use super::*;

    #[tokio::test]
    async fn a_listener_is_known_by_its_name_also_after_accepting_has_ended() {
        let name = Name::new("http").unwrap();
        let mut registry = Registry::default();
        let anywhere = [Bound::Inet(([127, 0, 0, 1], 0).into())];
        let listener = registry.listen::<TcpListener, SocketAddr>(&name, &anywhere, &mut Options::default()).unwrap();
        assert_eq!(registry.name_of(listener.as_fd()), Some(name.clone()));
        registry.close(&[], true);
        assert_eq!(registry.name_of(listener.as_fd()), Some(name));
    }
}

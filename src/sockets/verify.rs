//! Whether what was passed is what its manifest says.

use std::{
    collections::HashSet,
    os::fd::{AsFd, OwnedFd},
};

use super::{
    address::{actual, shown},
    kind::Kind,
};
use crate::{Error, ErrorKind, wire};

/// Sockets that are what their manifest says.
#[derive(Debug)]
pub(crate) struct Verified(pub(super) Vec<(wire::Socket, OwnedFd)>);

/// Looks at each socket: its kind, and what it is bound to. A successor that trusted a wrong manifest would serve the
/// admin port's clients on the public port's router.
pub(crate) fn verify(passed: Vec<(wire::Socket, OwnedFd)>) -> Result<Verified, Error> {
    let mut names = HashSet::new();
    for (socket, descriptor) in &passed {
        let name = &socket.name;
        let wrong = |why: String| Error::new(ErrorKind::Socket, format!("the socket passed as {name:?}: {why}"));
        if !names.insert(name) {
            return Err(wrong("the name was passed twice".into()));
        }
        // A kind of a later version is nobody's here, and is closed at ready.
        let Some(kind) = Kind::of(socket.kind) else {
            continue;
        };
        kind.check(descriptor.as_fd()).map_err(wrong)?;
        if !kind.has_address() {
            continue;
        }
        let found = actual(descriptor.as_fd()).map_err(|error| wrong(error.to_string()))?;
        if found != socket.actual {
            return Err(wrong(format!("it is bound to {}, not to {}", shown(&found), shown(&socket.actual))));
        }
    }
    Ok(Verified(passed))
}

use std::{fmt, os::fd::OwnedFd, time::Duration};

use super::socket::shut_down;
use crate::wire::Destination;

/// A live connection in pieces. Its socket is in no reactor, and does not block.
pub(crate) struct Parcel {
    pub(crate) to: Destination,
    pub(crate) socket: OwnedFd,
    /// What was read of it and not used.
    pub(crate) read: Vec<u8>,
    /// What else belongs to it, in the words of its protocol.
    pub(crate) state: Vec<u8>,
    /// For how long it has waited for what it waits for. While it is away its clock stands still: it would else come back
    /// too late for a deadline that it had no chance to meet.
    pub(crate) waited: Duration,
}

impl Parcel {
    /// Of what was read and the state, in bytes: two of them fit into one frame.
    pub(crate) const LONGEST: usize = 1024 * 1024;

    /// Nobody serves it, here or elsewhere: it ends for its client, whoever else has a copy of the socket still.
    pub(super) fn end(self) {
        shut_down(&self.socket);
    }

    /// What comes with the socket, in bytes.
    pub(super) fn length(&self) -> usize {
        self.read.len() + self.state.len()
    }
}

/// Without the bytes: they are a client's, or its keys.
impl fmt::Debug for Parcel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parcel")
            .field("to", &self.to)
            .field("socket", &self.socket)
            .field("read", &self.read.len())
            .field("state", &self.state.len())
            .field("waited", &self.waited)
            .finish()
    }
}

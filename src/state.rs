//! What one generation passes to the next beside sockets: bytes that only the application understands.

use std::fmt;

use crate::name::Name;

/// Bytes under a name, with the version that the application gave them: what a predecessor has passed
/// ([`Graceful::passed_state`](crate::Graceful::passed_state), [`Graceful::final_state`](crate::Graceful::final_state)).
#[derive(Clone, PartialEq, Eq)]
pub struct PassedState {
    name: Name,
    version: u32,
    bytes: Vec<u8>,
}

impl PassedState {
    /// How many bytes may be under one name: 16 MiB.
    pub const MOST_BYTES: usize = 16 * 1024 * 1024;

    /// How many bytes may be passed together at one restart, once as state and once as final state: 64 MiB.
    pub const MOST_BYTES_TOGETHER: usize = 64 * 1024 * 1024;

    /// Under how many names something may be passed, once as state and once as final state.
    pub const MOST_NAMES: usize = 1024;

    pub(crate) fn new(name: Name, version: u32, bytes: Vec<u8>) -> Self {
        Self { name, version, bytes }
    }

    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    /// As the predecessor gave it when it registered the provider: the application's own, and neither the crate's nor
    /// the protocol's.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// What the provider gave.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The same, to keep.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub(crate) fn into_parts(self) -> (Name, u32, Vec<u8>) {
        (self.name, self.version, self.bytes)
    }
}

/// Without the bytes: they may be secret, and are many.
impl fmt::Debug for PassedState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PassedState")
            .field("name", &self.name)
            .field("version", &self.version)
            .field("length", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

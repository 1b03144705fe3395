//! What a predecessor says of itself, and of each socket that it passes.

use std::ffi::OsString;

use super::{
    bytes::{Malformed, Reader, Writer},
    codes::{Origin, SocketKind},
    frame::MAGIC,
};
use crate::name::Name;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    /// The successor's pid in the predecessor's eyes: a process that inherited the channel by accident has another.
    pub(crate) successor_pid: u32,
    pub(crate) oldest: u16,
    pub(crate) newest: u16,
    pub(crate) capabilities: Vec<String>,
    /// The successor's own number.
    pub(crate) generation: u64,
    pub(crate) predecessor_pid: u32,
    /// systemd's watchdog interval, which only generation 0 is told; 0 for none.
    pub(crate) watchdog_milliseconds: u64,
    /// The generations that still drain, oldest first, then the predecessor. Each comes with a pidfd, so that
    /// their ends are seen also from another pid namespace.
    pub(crate) ancestors: Vec<Ancestor>,
    /// Whether the real standard error and a copy of the read end of the pipe in its place come after the pidfds.
    pub(crate) stderr: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ancestor {
    pub(crate) generation: u64,
    pub(crate) pid: u32,
}

/// A socket that is passed on, as the manifest describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Socket {
    pub(crate) name: Name,
    pub(crate) kind: SocketKind,
    pub(crate) origin: Origin,
    /// What the application asked for: `0.0.0.0:0`, a path.
    pub(crate) requested: OsString,
    /// What it is bound to: an address with its port, an absolute path.
    pub(crate) actual: OsString,
    /// Device and inode of its path, so that its last owner removes this path only; zeros where it has none.
    pub(crate) path: (u64, u64),
}

impl Hello {
    pub(super) fn encode(&self, to: &mut Writer) {
        to.0.extend(MAGIC);
        to.u32(self.successor_pid);
        to.u16(self.oldest);
        to.u16(self.newest);
        to.list(&self.capabilities, |to, capability| to.string(capability));
        to.u64(self.generation);
        to.u32(self.predecessor_pid);
        to.u64(self.watchdog_milliseconds);
        to.items(&self.ancestors, |to, ancestor| {
            to.u64(ancestor.generation);
            to.u32(ancestor.pid);
        });
        to.u8(self.stderr.into());
    }

    pub(super) fn decode(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        if from.take(MAGIC.len())? != MAGIC {
            return Err(Malformed::new("the first message is no HELLO"));
        }
        Ok(Self {
            successor_pid: from.u32()?,
            oldest: from.u16()?,
            newest: from.u16()?,
            capabilities: from.list(Reader::string)?,
            generation: from.u64()?,
            predecessor_pid: from.u32()?,
            watchdog_milliseconds: from.u64()?,
            ancestors: from.items(|from| Ok(Ancestor { generation: from.u64()?, pid: from.u32()? }))?,
            stderr: from.u8()? != 0,
        })
    }
}

impl Socket {
    pub(super) fn encode(&self, to: &mut Writer) {
        to.string(self.name.as_str());
        to.u8(self.kind.code());
        to.u8(self.origin.code());
        to.os_string(&self.requested);
        to.os_string(&self.actual);
        to.u64(self.path.0);
        to.u64(self.path.1);
    }

    pub(super) fn decode(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let name = Name::passed(&from.string()?).map_err(|error| Malformed::new(error.to_string()))?;
        let kind = SocketKind::of(from.u8()?);
        let origin = Origin::of(from.u8()?);
        let (requested, actual) = (from.os_string()?, from.os_string()?);
        Ok(Self { name, kind, origin, requested, actual, path: (from.u64()?, from.u64()?) })
    }
}

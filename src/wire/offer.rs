//! A live connection, as it is offered to the successor. The descriptor goes beside it.

use std::fmt;

use super::{
    bytes::{Malformed, Reader, Writer},
    codes::Begun,
};
use crate::name::Name;

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Offer {
    /// The predecessor's number for it, by which it is taken or declined.
    pub(crate) id: u64,
    pub(crate) to: Destination,
    /// For how long it has waited for what it waits for: the rest of a head, or the next one.
    pub(crate) waited_milliseconds: u64,
    /// What was read of it and not used.
    pub(crate) read: Vec<u8>,
    /// What else belongs to it, in the words of its protocol.
    pub(crate) state: Vec<u8>,
}

/// To whom it is offered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Destination {
    /// To who serves the socket of this name.
    Serve { socket: Name, begun: Begun },
    /// To who asks for this protocol.
    Protocol(Name),
    /// A later version's: nobody here.
    Other(u8),
}

const SERVE: u8 = 1;
const PROTOCOL: u8 = 2;

impl Offer {
    pub(super) fn encode(&self, to: &mut Writer) {
        to.block(|to| {
            to.u64(self.id);
            to.block(|to| match &self.to {
                Destination::Serve { socket, begun } => {
                    to.u8(SERVE);
                    to.string(socket.as_str());
                    to.u8(begun.code());
                }
                Destination::Protocol(name) => {
                    to.u8(PROTOCOL);
                    to.string(name.as_str());
                }
                Destination::Other(code) => to.u8(*code),
            });
            to.u64(self.waited_milliseconds);
            to.block(|to| to.0.extend(&self.read));
            to.block(|to| to.0.extend(&self.state));
        });
    }

    pub(super) fn decode(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        from.block(|from| {
            let (id, to) = (from.u64()?, from.block(Destination::decode)?);
            let waited_milliseconds = from.u64()?;
            let read = from.block(|from| Ok(from.0.to_vec()))?;
            let state = from.block(|from| Ok(from.0.to_vec()))?;
            Ok(Self { id, to, waited_milliseconds, read, state })
        })
    }
}

impl Destination {
    fn decode(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let name =
            |from: &mut Reader<'_>| Name::passed(&from.string()?).map_err(|error| Malformed::new(error.to_string()));
        Ok(match from.u8()? {
            SERVE => Self::Serve { socket: name(from)?, begun: Begun::of(from.u8()?) },
            PROTOCOL => Self::Protocol(name(from)?),
            code => Self::Other(code),
        })
    }
}

/// Without the bytes: they are a client's, or its keys.
impl fmt::Debug for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offer")
            .field("id", &self.id)
            .field("to", &self.to)
            .field("read", &self.read.len())
            .field("state", &self.state.len())
            .finish_non_exhaustive()
    }
}

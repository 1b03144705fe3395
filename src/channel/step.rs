use std::os::fd::OwnedFd;

use crate::wire::Message;

/// A message with its descriptors. Of OFFER, the last of them may be missing: this process had no room for them.
pub(crate) type Received = (Message, Vec<OwnedFd>);

/// What comes next in a conversation.
#[derive(Debug)]
pub(crate) enum Step {
    Heard(Received),
    /// A message with a number is settled: [`Channel::settled`] says which.
    Settled,
    /// The peer's end is closed, and everything that it said was read.
    End,
}

impl From<Option<Received>> for Step {
    fn from(received: Option<Received>) -> Self {
        received.map_or(Self::End, Self::Heard)
    }
}

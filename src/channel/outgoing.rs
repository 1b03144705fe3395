use std::{os::fd::OwnedFd, sync::Arc};

use crate::wire::Message;

/// A message on its way out.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// What becomes `bytes` in its turn.
    pub(super) message: Option<Message>,
    pub(super) bytes: Vec<u8>,
    pub(super) sent: usize,
    /// Is left out if it can't be sent, and the conversation goes on.
    pub(super) optional: Option<Optional>,
    pub(super) number: Option<u64>,
    /// They go with the frame's first byte. Shared, because a socket is offered to one successor after the other.
    pub(super) descriptors: Vec<Arc<OwnedFd>>,
}

impl Outgoing {
    pub(super) fn now(message: &Message, descriptors: Vec<Arc<OwnedFd>>, number: Option<u64>) -> Self {
        let optional = match message {
            Message::Forward(_) => Some(Optional::Visitor),
            Message::Offer(_) => Some(Optional::Connections),
            Message::Draining(_) => Some(Optional::News),
            _ => None,
        };
        Self { message: None, bytes: message.encode(), sent: 0, optional, number, descriptors }
    }

    /// Without descriptors, of many large ones.
    pub(super) fn in_its_turn(message: Message) -> Self {
        Self {
            message: Some(message),
            bytes: Vec::new(),
            sent: 0,
            optional: None,
            number: None,
            descriptors: Vec::new(),
        }
    }
}

/// What is not worth the end of a conversation between generations.
#[derive(Clone, Copy, Debug)]
pub(super) enum Optional {
    /// Somebody who has come to the control path.
    Visitor,
    /// Of clients.
    Connections,
    /// It will be said anew.
    News,
}

/// What has become of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// The kernel has all of it, and gives it to the peer whatever becomes of this process.
    Accepted,
    /// The peer is gone. How much of it it had, nobody knows.
    PeerGone,
    /// Not a byte of it went out, for want of something on our side; the conversation goes on.
    LeftOut,
    /// Our side can't send any more, for want of something.
    Unsaid,
}

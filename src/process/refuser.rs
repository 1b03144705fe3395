//! A refusal that does not wait for the loop's turn.

use std::os::fd::{AsFd, OwnedFd};

use super::introduction::refusal;
use crate::{Error, channel::Channel, sys};

/// In characters: a reason is a sentence, and not a program's whole trace.
const LONGEST: usize = 1024;

/// A second descriptor of the channel to a predecessor that waits for READY.
///
/// An application refuses as the last thing that it does: `main` returns the error, the runtime ends, and the loop would
/// have no turn any more in which it could say anything.
#[derive(Debug)]
pub(crate) struct Refuser(OwnedFd);

impl Refuser {
    /// `None` where no descriptor is left. Then the predecessor learns by this process's end, and its last words say why.
    pub(super) fn new(channel: &Channel) -> Option<Self> {
        match channel.duplicate() {
            Ok(socket) => Some(Self(socket)),
            Err(error) => {
                crate::log::warn!(%error, "duplicate the channel to the predecessor: a refusal can't be said at once");
                None
            }
        }
    }

    /// REFUSED. The kernel takes so short a frame whole or not at all, so it is not torn by one that the loop says; and it
    /// takes it, unless the predecessor stands still.
    pub(crate) fn refuse(&self, why: &Error) {
        let short: String = why.message().chars().take(LONGEST).collect();
        let frame = refusal(&Error::new(why.kind(), short)).encode();
        match sys::send(self.0.as_fd(), &frame, &[]) {
            Ok(sent) if sent == frame.len() => {}
            Ok(sent) => crate::log::warn!(sent, "the predecessor has heard only a part of why it is refused"),
            Err(error) => crate::log::warn!(%error, "tell the predecessor that it is refused"),
        }
    }
}

//! One direction of the channel, as the kernel has it.

use super::ids::Ids;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Frame {
    Offer(Ids),
    Taken(Ids),
    Declined(Ids),
    /// No frame of ours.
    Nonsense,
    /// Only a wrong variant says so.
    Revoke(Ids),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Pipe {
    /// Accepted wholly, and not yet read.
    pub(super) frames: Vec<Frame>,
    /// Behind these lies the beginning of one more.
    pub(super) torn: bool,
}

impl Pipe {
    /// The rest of a frame, or all of it.
    pub(super) fn accept(&mut self, frame: Frame) {
        self.frames.push(frame);
        self.torn = false;
    }

    /// Its reader is gone.
    pub(super) fn lose(&mut self) {
        *self = Self::default();
    }

    pub(super) fn first(&mut self) -> Frame {
        self.frames.remove(0)
    }
}

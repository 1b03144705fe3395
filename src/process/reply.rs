use crate::channel::Settled;

/// What has become of connections that a successor was offered, in the order in which it was learned.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Taken(Vec<u64>),
    /// And why not.
    Declined(Vec<(u64, String)>),
    /// The offer of this number never went out, for want of something on our side.
    LeftOut(u64),
    /// It said what it must not say. Whatever it says of an offer from here on is not heard, so nobody knows who has that
    /// connection.
    Garbled,
    /// This side can't say any more, for want of something, perhaps from the middle of a message on, for the rest of which
    /// the successor would wait. It is not heard any more either.
    Mute,
    /// Its channel has ended, and was read to its end: what it has not taken by now it never will.
    Ended,
}

impl Reply {
    /// A send that failed because the successor is gone decides nothing: what it said before that is still to be read.
    pub(super) fn to_offer(number: u64, settled: Settled) -> Option<Self> {
        match settled {
            Settled::LeftOut => Some(Self::LeftOut(number)),
            Settled::Accepted | Settled::PeerGone | Settled::Unsaid => None,
        }
    }
}

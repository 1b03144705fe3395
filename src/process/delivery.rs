use std::os::fd::OwnedFd;

use crate::wire::Offer;

/// What a predecessor offers, and what has become of the answers to it.
#[derive(Debug)]
pub(crate) enum Delivery {
    /// Each with its descriptor, unless this process had no room for it.
    Offered(Vec<(Offer, Option<OwnedFd>)>),
    /// The kernel has taken the whole answer of this number, or the predecessor is gone: what it says is so.
    WentOut(u64),
    /// Our side could not say it, and hangs up.
    Unsaid(u64),
    /// Its channel has ended: it is dead, so nobody else has what it has offered.
    Gone,
    /// It talks nonsense, and is not heard any more. To it, what was not answered by now is its own.
    HungUp,
}

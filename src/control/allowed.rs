use std::sync::Arc;

use crate::sys::{self, Peer};

/// Whose processes may be at the other end: this process's own user, root, and who is named here.
#[derive(Clone, Debug, Default)]
pub(crate) struct Allowed(Arc<[u32]>);

impl Allowed {
    pub(crate) fn new(uids: impl IntoIterator<Item = u32>) -> Self {
        Self(uids.into_iter().collect())
    }

    /// Whether anybody is named besides those two.
    pub(crate) fn names_others(&self) -> bool {
        !self.0.is_empty()
    }

    pub(super) fn admits(&self, peer: Peer) -> bool {
        self.admits_to(sys::effective_uid(), peer.uid)
    }

    fn admits_to(&self, ours: u32, uid: u32) -> bool {
        const ROOT: u32 = 0;
        uid == ours || uid == ROOT || self.0.contains(&uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_user_root_and_the_named_ones_are_admitted_and_nobody_else() {
        let allowed = Allowed::new([1001, 1002]);
        for (ours, uid, admitted) in [
            (1000, 1000, true),
            (1000, 0, true),
            (1000, 1002, true),
            (1000, 1003, false),
            (0, 0, true),
            (0, 1001, true),
            (0, 1000, false),
        ] {
            assert_eq!(allowed.admits_to(ours, uid), admitted, "{uid} at {ours}");
        }
        assert!(!Allowed::default().admits_to(1000, 1001));
    }
}

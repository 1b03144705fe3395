use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

/// Users who have come and may not ask. Each is told of once: where others are named, anybody gets as far as the check, and
/// could fill the log with as many lines as connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Denied(Arc<Mutex<HashSet<u32>>>);

impl Denied {
    /// Whether this is the first time.
    pub(super) fn note(&self, uid: u32) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(uid)
    }
}

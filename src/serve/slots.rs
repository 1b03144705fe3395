use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places among `max_connections`.
///
/// Who comes by handover always takes one: it may come before the limit is set, and is to count then.
pub(super) struct Slots {
    places: Arc<Semaphore>,
    limit: Option<usize>,
}

impl Slots {
    pub(super) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)), limit: None }
    }

    pub(super) fn limit(&mut self, to: usize) {
        let to = to.clamp(1, Semaphore::MAX_PERMITS);
        let from = self.limit.replace(to).unwrap_or(Semaphore::MAX_PERMITS);
        match from.checked_sub(to) {
            Some(fewer) => {
                self.places.forget_permits(fewer);
            }
            None => self.places.add_permits(to - from),
        }
    }

    /// Waits for one for whoever is accepted next. `None`: there is no limit.
    pub(super) async fn next(&self) -> Option<OwnedSemaphorePermit> {
        self.limit?;
        Some(self.places.clone().acquire_owned().await.expect("nobody closes the semaphore"))
    }

    pub(super) fn places(&self) -> &Arc<Semaphore> {
        &self.places
    }
}

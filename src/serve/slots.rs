use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

/// The places among `max_connections`.
///
/// Who comes by handover always takes one: it may come before the limit is set, and is to count then.
pub(super) struct Slots {
    places: Arc<Semaphore>,
    limit: Option<usize>,
    /// Places that are no more, by the limit, and were not free when it was set.
    owed: usize,
}

const OPEN: &str = "nobody closes the semaphore";

impl Slots {
    pub(super) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)), limit: None, owed: 0 }
    }

    pub(super) fn limit(&mut self, to: usize) {
        let to = to.clamp(1, Semaphore::MAX_PERMITS);
        let from = self.limit.replace(to).unwrap_or(Semaphore::MAX_PERMITS);
        match from.checked_sub(to) {
            Some(fewer) => self.owed += fewer - self.places.forget_permits(fewer),
            None => {
                let more = (to - from).saturating_sub(self.owed);
                self.owed = self.owed.saturating_sub(to - from);
                self.places.add_permits(more);
            }
        }
    }

    /// Waits until one is free for whoever is accepted next, and keeps none: until somebody comes, it is as good for one
    /// who comes by handover.
    pub(super) async fn free(&mut self) {
        while self.owed > 0 {
            self.places.acquire().await.expect(OPEN).forget();
            self.owed -= 1;
        }
        if self.limit.is_some() {
            drop(self.places.acquire().await.expect(OPEN));
        }
    }

    /// One for whoever is accepted now. `Ok(None)`: there is no limit.
    pub(super) fn take(&self) -> Result<Option<OwnedSemaphorePermit>, TryAcquireError> {
        self.limit.map(|_| self.places.clone().try_acquire_owned()).transpose()
    }

    pub(super) fn places(&self) -> &Arc<Semaphore> {
        &self.places
    }
}

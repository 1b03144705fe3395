use std::time::Duration;

use tower_layer::Layer;

use super::DrainService;
use crate::drain::{Tracker, Watch};

/// Makes a service's requests known to the drain.
///
/// For every `Service<Request<_>>` that answers with a `Response<_>`. The clones of one layer, and all services that they
/// make, count together.
///
/// # Examples
///
/// Without a handle, where somebody else ends the process:
///
/// ```
/// use axum::{Router, routing::get};
/// use tokio_hotrestart::{drain::Watch, layer::DrainLayer};
///
/// let layer = DrainLayer::new(Watch::never());
/// let app: Router = Router::new().route("/", get(|| async { "hello" })).layer(layer.clone());
/// assert_eq!(layer.in_flight(), 0);
/// # let _ = app;
/// ```
#[derive(Clone, Debug)]
pub struct DrainLayer {
    pub(super) tracker: Tracker,
    /// Seconds, for the clients of those that are refused. `None`: nobody is.
    pub(super) retry_after: Option<u64>,
}

impl DrainLayer {
    /// Counts by itself, and tells what this watch knows. No drain waits for its requests: that is
    /// `Graceful::layer`.
    pub fn new(watch: Watch) -> Self {
        Self::counted_by(Tracker::of_nobody(watch))
    }

    /// Whose drain waits for the requests.
    pub(crate) fn counted_by(tracker: Tracker) -> Self {
        Self { tracker, retry_after: None }
    }

    /// Answers requests that arrive once the drain has begun, but not those of a lame duck, with *503 Service Unavailable*
    /// and `retry-after` (in seconds, rounded up); the inner service does not see them, and they are not counted.
    ///
    /// For servers whose connections nobody ends: a client that never listens to `connection: close` would hold the drain up
    /// until its deadline. The inner service is still asked whether it is ready, so what a `poll_ready` reserves stays
    /// reserved for the next call.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let graceful = tokio_hotrestart::Graceful::detached();
    /// let layer = graceful.layer().refuse_late(Duration::from_secs(1));
    /// # let _ = layer; }
    /// ```
    #[must_use]
    pub fn refuse_late(self, retry_after: Duration) -> Self {
        let part = u64::from(retry_after.subsec_nanos() > 0);
        Self { retry_after: Some(retry_after.as_secs().saturating_add(part)), ..self }
    }

    /// How many requests are in flight: called, and their response's body neither at its end nor dropped.
    ///
    /// All layers of one `Graceful` count together; a request that passes through two of them counts twice.
    pub fn in_flight(&self) -> usize {
        self.tracker.in_flight()
    }
}

impl<S> Layer<S> for DrainLayer {
    type Service = DrainService<S>;

    fn layer(&self, inner: S) -> DrainService<S> {
        DrainService::new(inner, self.clone())
    }
}

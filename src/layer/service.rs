use std::task::{Context, Poll};

use http::{Request, Response};
use tower_service::Service;

use super::{DrainBody, DrainFuture, DrainLayer};
use crate::asked::Asked;

/// A service whose requests the drain knows. Made by [`DrainLayer`].
#[derive(Clone, Debug)]
pub struct DrainService<S> {
    inner: S,
    layer: DrainLayer,
}

impl<S> DrainService<S> {
    pub(super) fn new(inner: S, layer: DrainLayer) -> Self {
        Self { inner, layer }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }

    /// As [`DrainLayer::in_flight`] of the layer that has made it.
    pub fn in_flight(&self) -> usize {
        self.layer.in_flight()
    }
}

impl<S, Q, B> Service<Request<Q>> for DrainService<S>
where
    S: Service<Request<Q>, Response = Response<B>>,
{
    type Response = Response<DrainBody<B>>;
    type Error = S::Error;
    type Future = DrainFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        let (asked, tracker) = (Asked::of(&request), &self.layer.tracker);
        if let Some(seconds) = self.layer.retry_after {
            if tracker.watch().is_draining() {
                return DrainFuture::refuse(asked, seconds);
            }
        }
        // Before the inner service is called: it may panic, and may have answered when it returns.
        let flight = tracker.flight();
        request.extensions_mut().insert(tracker.watch().clone());
        DrainFuture::new(self.inner.call(request), asked, flight)
    }
}

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::drain::Flight;

pin_project! {
    /// The body of a response of a [`DrainService`](super::DrainService): the inner one, whose request is in flight until its
    /// end.
    #[derive(Debug)]
    pub struct DrainBody<B> {
        // First, so that what it holds is gone before it counts as ended. `None` once it has ended, and of a refusal.
        #[pin]
        inner: Option<B>,
        flight: Option<Flight>,
    }
}

impl<B> DrainBody<B> {
    pub(super) fn new(inner: B, flight: Option<Flight>) -> Self {
        Self { inner: Some(inner), flight }
    }
}

/// An empty one, of a response that the inner service has not made.
impl<B> Default for DrainBody<B> {
    fn default() -> Self {
        Self { inner: None, flight: None }
    }
}

impl<B: Body> Body for DrainBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        let frame = ready!(inner.poll_frame(cx));
        if frame.is_none() {
            // Here, and not when the server drops it, which may be after the next request of its connection.
            this.inner.set(None);
            if let Some(flight) = this.flight.take() {
                flight.end();
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

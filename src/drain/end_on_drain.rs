use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use pin_project_lite::pin_project;

use super::{Follower, Level, Watch};
use crate::generation::Cause;

/// Streams that end when the drain begins: server-sent events, gRPC streams, whatever would else last until it is cut.
///
/// Not at a lame duck: a client that is sent away then may well come back to this very process.
///
/// # Examples
///
/// Server-sent events that end with a word of farewell:
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use axum::response::sse::{Event, Sse};
/// use futures_util::{StreamExt, stream};
/// use tokio_hotrestart::{Graceful, drain::DrainStream};
///
/// let graceful = Graceful::detached();
/// let ticks = stream::repeat(()).map(|()| Ok::<_, std::convert::Infallible>(Event::default().data("tick")));
/// let events = ticks.end_on_drain_with(graceful.watch(), |cause| Ok(Event::default().event("bye").data(cause.to_string())));
/// let response = Sse::new(events);
/// # let _ = response;
/// # }
/// ```
pub trait DrainStream: Stream {
    /// Ends when the drain begins. At once: an item that the stream has ready by then, and that nobody has asked for, is
    /// dropped with the stream.
    fn end_on_drain(self, watch: Watch) -> EndOnDrain<Self>
    where
        Self: Sized,
    {
        EndOnDrain { stream: Some(self), follower: watch.follow() }
    }

    /// The same, after a last item that is made from why the generation ends. A stream that ends by itself has none.
    fn end_on_drain_with<F>(self, watch: Watch, last: F) -> EndOnDrainWith<Self, F>
    where
        Self: Sized,
        F: FnOnce(Cause) -> Self::Item,
    {
        EndOnDrainWith { stream: self.end_on_drain(watch), last: Some(last) }
    }
}

impl<S: Stream> DrainStream for S {}

pin_project! {
    /// Made by [`DrainStream::end_on_drain`]. Once it has ended it stays so, and the stream in it is gone.
    pub struct EndOnDrain<S> {
        #[pin]
        stream: Option<S>,
        follower: Follower,
    }
}

enum Next<Item> {
    Item(Item),
    /// By itself, or long since.
    Ended,
    /// By the drain, just now.
    Drained,
}

impl<S: Stream> EndOnDrain<S> {
    fn poll_step(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Next<S::Item>> {
        let mut this = self.project();
        let Some(stream) = this.stream.as_mut().as_pin_mut() else { return Poll::Ready(Next::Ended) };
        let next = if this.follower.poll_level(cx) >= Level::Draining {
            Next::Drained
        } else {
            ready!(stream.poll_next(cx)).map_or(Next::Ended, Next::Item)
        };
        if !matches!(next, Next::Item(_)) {
            this.stream.set(None);
        }
        Poll::Ready(next)
    }
}

impl<S: Stream> Stream for EndOnDrain<S> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        Poll::Ready(match ready!(self.poll_step(cx)) {
            Next::Item(item) => Some(item),
            Next::Ended | Next::Drained => None,
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // It may end at any time.
        (0, self.stream.as_ref().map_or(Some(0), |stream| stream.size_hint().1))
    }
}

pin_project! {
    /// Made by [`DrainStream::end_on_drain_with`]. Once it has ended it stays so, and the stream in it is gone.
    pub struct EndOnDrainWith<S, F> {
        #[pin]
        stream: EndOnDrain<S>,
        last: Option<F>,
    }
}

impl<S: Stream, F: FnOnce(Cause) -> S::Item> Stream for EndOnDrainWith<S, F> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let mut this = self.project();
        let next = ready!(this.stream.as_mut().poll_step(cx));
        if let Next::Item(item) = next {
            return Poll::Ready(Some(item));
        }
        let (last, watch) = (this.last.take(), this.stream.follower.watch());
        Poll::Ready(match next {
            Next::Drained => last.zip(watch.cause().cloned()).map(|(last, cause)| last(cause)),
            _ => None,
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let last = usize::from(self.last.is_some());
        (0, self.stream.size_hint().1.and_then(|most| most.checked_add(last)))
    }
}

impl<S: fmt::Debug> fmt::Debug for EndOnDrain<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EndOnDrain").field(&self.stream).finish()
    }
}

impl<S: fmt::Debug, F> fmt::Debug for EndOnDrainWith<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EndOnDrainWith").field(&self.stream).finish()
    }
}

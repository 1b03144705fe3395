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
/// All of them in the same moment. Where they have so many clients that these should not come back all at once, end each in
/// its turn, with `take_until` of the crate futures: `events.take_until(watch.draining_in_turn())`
/// ([`Watch::draining_in_turn`]).
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

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, sync::Arc, time::Duration};

    use futures_util::{FutureExt, StreamExt, stream};
    use tokio::sync::mpsc;

    use super::{
        super::{Drain, Times},
        *,
    };

    fn begin(drain: &Drain) {
        drain.begin(Cause::Stopped { by: None }, &Times::for_stop());
    }

    /// What it has now: an item, its end, or `None`: nothing yet.
    fn next<S: Stream + Unpin>(stream: &mut S) -> Option<Option<S::Item>> {
        stream.next().now_or_never()
    }

    /// Items from outside, and whether anybody still wants them.
    fn items() -> (mpsc::UnboundedSender<u8>, impl Stream<Item = u8> + Unpin) {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        (sender, stream::poll_fn(move |cx| receiver.poll_recv(cx)))
    }

    #[test]
    fn items_pass_and_the_streams_own_end_is_the_end() {
        let drain = Drain::new();
        let (sender, items) = items();
        let mut stream = items.end_on_drain_with(drain.watch(), |_| panic!("the drain has not begun"));
        assert_eq!(next(&mut stream), None);
        sender.send(7).unwrap();
        assert_eq!((next(&mut stream), next(&mut stream)), (Some(Some(7)), None));
        drop(sender);
        assert_eq!(next(&mut stream), Some(None));
        begin(&drain);
        assert_eq!(next(&mut stream), Some(None), "and no last item");
    }

    #[test]
    fn it_ends_when_the_drain_begins_and_drops_what_is_ready_and_the_stream() {
        let drain = Drain::new();
        let (sender, items) = items();
        let mut stream = items.end_on_drain(drain.watch());
        [1, 2].into_iter().for_each(|item| sender.send(item).unwrap());
        assert_eq!(next(&mut stream), Some(Some(1)));
        begin(&drain);
        assert_eq!(next(&mut stream), Some(None));
        assert!(sender.is_closed());
        assert_eq!((next(&mut stream), stream.size_hint()), (Some(None), (0, Some(0))));
    }

    #[test]
    fn a_lame_duck_ends_no_stream() {
        let drain = Drain::new();
        let mut stream = stream::repeat(()).end_on_drain(drain.watch());
        drain.begin_lame_duck(Cause::Stopped { by: None }, &Times::for_stop().lame_duck(Duration::from_secs(1)));
        assert_eq!(next(&mut stream), Some(Some(())));
        begin(&drain);
        assert_eq!(next(&mut stream), Some(None));
    }

    #[test]
    fn a_stream_made_after_the_beginning_ends_at_once_with_its_last_item() {
        let drain = Drain::new();
        begin(&drain);
        let said = stream::repeat(String::new()).end_on_drain_with(drain.watch(), |cause| format!("bye: {cause}"));
        assert_eq!(said.collect::<Vec<_>>().now_or_never().unwrap(), ["bye: stopped"]);
    }

    #[test]
    fn the_last_item_comes_once_and_after_the_stream_is_gone() {
        let drain = Drain::new();
        let (sender, items) = items();
        let probe = sender.clone();
        let mut stream = items.end_on_drain_with(drain.watch(), move |_| u8::from(probe.is_closed()));
        sender.send(7).unwrap();
        assert_eq!(next(&mut stream), Some(Some(7)));
        begin(&drain);
        assert_eq!((next(&mut stream), next(&mut stream)), (Some(Some(1)), Some(None)));
        assert_eq!(next(&mut stream), Some(None));
    }

    #[tokio::test]
    async fn whoever_waits_for_an_item_is_woken_by_the_beginning_also_in_another_task() {
        let drain = Drain::new();
        let mut stream = stream::pending::<()>().end_on_drain(drain.watch());
        assert_eq!(next(&mut stream), None);
        let waiting = tokio::spawn(async move { stream.next().await });
        tokio::task::yield_now().await;
        begin(&drain);
        assert_eq!(waiting.await.unwrap(), None);
    }

    #[test]
    fn it_promises_no_items_and_no_more_than_the_stream_does() {
        let watch = Watch::never();
        assert_eq!(stream::iter([1, 2]).end_on_drain(watch.clone()).size_hint(), (0, Some(2)));
        assert_eq!(stream::iter([1, 2]).end_on_drain_with(watch.clone(), |_| 3).size_hint(), (0, Some(3)));
        assert_eq!(stream::repeat(1).end_on_drain_with(watch, |_| 3).size_hint(), (0, None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_is_not_unpin_and_not_send_will_do() {
        let drain = Drain::new();
        let held = std::rc::Rc::new(());
        let ticks = stream::unfold(held, |held| async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Some((Arc::new(()), held))
        });
        let mut stream = std::pin::pin!(ticks.end_on_drain(drain.watch()));
        assert!(stream.next().await.is_some());
        begin(&drain);
        assert!(poll_fn(|cx| stream.as_mut().poll_next(cx)).await.is_none());
    }
}

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use hyper::server::conn::http2::{Builder, Connection};
use hyper_util::rt::{TokioIo, TokioTimer};
use pin_project_lite::pin_project;

use super::{
    Handler, Io,
    clock::{Wait, Waiting},
    counted::Counted,
    herald::Herald,
    link::Link,
    settings::Settings,
    transport::Transport,
};
use crate::drain::Outcome;

/// hyper's part of an HTTP/2 connection.
pub(super) struct Http2<T: Io, S: Handler> {
    connection: Connection<TokioIo<Transport<T>>, Counted<Herald<S>>, Executor>,
    streams: Arc<Streams>,
    is_told: bool,
}

impl<T: Io, S: Handler> Http2<T, S> {
    pub(super) fn new(transport: Transport<T>, herald: Herald<S>, settings: &Settings, link: &Arc<Link>) -> Self {
        let streams = Arc::new(Streams::new(link.clone()));
        let mut builder = Builder::new(Executor(streams.clone()));
        // Before the user's own settings: some of them panic without one.
        builder.timer(TokioTimer::new());
        settings.http2.iter().for_each(|set| set(&mut builder));
        let service = Counted::new(herald, streams.clone());
        Self { connection: builder.serve_connection(TokioIo::new(transport), service), streams, is_told: false }
    }

    /// `is_timed`: the task is also to be woken when the last stream has ended.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, is_timed: bool) -> Poll<hyper::Result<()>> {
        if is_timed {
            *self.streams.waker() = Some(cx.waker().clone());
        }
        Pin::new(&mut self.connection).poll(cx)
    }

    /// GOAWAY: at once for all streams to come, and when the client has answered a PING with the last one's number.
    /// Running streams finish.
    pub(super) fn tell(&mut self, link: &Link) {
        if !self.is_told {
            self.is_told = true;
            link.guard().set_outcome(Outcome::Told);
            Pin::new(&mut self.connection).graceful_shutdown();
        }
    }

    pub(super) fn is_told(&self) -> bool {
        self.is_told
    }

    pub(super) fn is_idle(&self) -> bool {
        !self.streams.link.guard().has_work()
    }

    /// What it waits for, after a poll.
    pub(super) fn waiting(&self) -> Waiting {
        // Not idle while h2 holds what the socket does not take: heads and trailers are not counted as data is.
        let wait = if self.is_idle() && !self.streams.link.is_unflushed() { Wait::Idle } else { Wait::Busy };
        Waiting { wait, turn: u32::from(self.is_told) }
    }
}

/// The executor of one HTTP/2 connection: hyper spawns a task per stream with it, and it counts them.
#[derive(Clone, Debug)]
pub struct Executor(Arc<Streams>);

/// The streams that run: those with a task, and those with data that has not been sent. The connection's guard counts
/// them, so that a status may know.
pub(super) struct Streams {
    /// The connection's task, where it wants to know when the last stream has ended.
    waker: Mutex<Option<Waker>>,
    /// The connection counts until its last stream has ended, also when that outlives the socket.
    link: Arc<Link>,
}

impl Streams {
    fn new(link: Arc<Link>) -> Self {
        Self { waker: Mutex::default(), link }
    }

    fn waker(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").field("link", &self.link).finish_non_exhaustive()
    }
}

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        tokio::spawn(Stream { future, _live: Live::new(self.0.clone()) });
    }
}

pin_project! {
    struct Stream<F> {
        #[pin]
        future: F,
        _live: Live,
    }
}

impl<F: Future> Future for Stream<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().future.poll(cx)
    }
}

/// A stream runs until this is dropped.
pub(super) struct Live(Arc<Streams>);

impl Live {
    pub(super) fn new(streams: Arc<Streams>) -> Self {
        streams.link.guard().work_begins();
        Self(streams)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if self.0.link.guard().work_ends() {
            // Whether or not anybody cares, for to look first would race one who begins to.
            let waker = self.0.waker().take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

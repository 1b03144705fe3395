use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
};

use http::Response;
use http_body::Body;
use hyper::server::conn::http2::{Builder, Connection};
use hyper_util::rt::{TokioIo, TokioTimer};
use pin_project_lite::pin_project;
use tokio::time::Instant;

use super::{
    Handler, Io,
    clock::{Wait, Waiting},
    counted::Counted,
    herald::Herald,
    link::Link,
    policy::policy_of,
    terms::{Term, Terms},
    transport::Transport,
};
use crate::drain::{Level, Outcome, Policy, Watch, Why};

/// hyper's part of an HTTP/2 connection.
pub(super) struct Http2<T: Io, S: Handler> {
    connection: Connection<TokioIo<Transport<T>>, Counted<Herald<S>>, Executor>,
    streams: Arc<Streams>,
    /// It came when clients were already sent away.
    came_to_lame_duck: bool,
    is_told: bool,
    has_cut: bool,
}

impl<T: Io, S: Handler> Http2<T, S> {
    pub(super) fn new(transport: Transport<T>, herald: Herald<S>, link: &Arc<Link>, level: Level) -> Self {
        let streams = Arc::new(Streams::new(link.clone()));
        let mut builder = Builder::new(Executor(streams.clone()));
        // Before the user's own settings: some of them panic without one.
        builder.timer(TokioTimer::new());
        link.settings.http2.iter().for_each(|set| set(&mut builder));
        let service = Counted::new(herald, streams.clone());
        let connection = builder.serve_connection(TokioIo::new(transport), service);
        Self { connection, streams, came_to_lame_duck: level == Level::LameDuck, is_told: false, has_cut: false }
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
            if !self.has_cut {
                link.guard().set_outcome(Outcome::Told);
            }
            Pin::new(&mut self.connection).graceful_shutdown();
        }
    }

    /// Whether it may hear that it should go. Whoever comes to a lame duck does not know better, or has nobody else to go to:
    /// told before it has asked, it would only come again, and again.
    pub(super) fn may_be_told(&self, level: Level) -> bool {
        !self.is_told && (!self.came_to_lame_duck || level > Level::LameDuck || self.streams.has_begun.load(Relaxed))
    }

    /// When the policy of a stream's answer next wants it cut.
    pub(super) fn close_at(&self, watch: &Watch) -> Option<Instant> {
        self.streams.terms.get()?.next(watch)
    }

    /// Cuts the streams whose time has come; the connection lives on.
    pub(super) fn close_due(&mut self, watch: &Watch) {
        if self.streams.terms.get().is_some_and(|terms| terms.cut(watch, Instant::now())) {
            self.has_cut = true;
            self.streams.link.guard().set_outcome(Outcome::Cut(Why::Policy));
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
    /// Whether there has been one.
    has_begun: AtomicBool,
    /// Few have any.
    terms: OnceLock<Box<Terms>>,
    /// The connection counts until its last stream has ended, also when that outlives the socket.
    link: Arc<Link>,
}

impl Streams {
    fn new(link: Arc<Link>) -> Self {
        Self { waker: Mutex::default(), has_begun: AtomicBool::new(false), terms: OnceLock::new(), link }
    }

    /// A request has come.
    pub(super) fn begin(&self) {
        self.has_begun.store(true, Relaxed);
    }

    pub(super) fn policy_of<B: Body>(&self, response: &Response<B>) -> Policy {
        policy_of(response, false, self.link.settings.policy, &self.link.watch)
    }

    /// The answer that is given in this task has a policy.
    pub(super) fn enter(self: &Arc<Self>, policy: Policy, task: &Waker) -> Termed {
        let term = self.terms.get_or_init(Box::default).enter(policy, task);
        // The connection's task has an alarm for the ones that it knows.
        let waker = self.waker().clone();
        if let Some(waker) = waker {
            waker.wake();
        }
        Termed { term, streams: self.clone() }
    }

    fn has_cut(&self, task: &Waker) -> bool {
        self.terms.get().is_some_and(|terms| terms.has_cut(task))
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
        tokio::spawn(Stream { future: Some(future), live: Live::new(self.0.clone()) });
    }
}

pin_project! {
    struct Stream<F> {
        #[pin]
        future: Option<F>,
        live: Live,
    }
}

impl<F: Future> Future for Stream<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if this.live.0.has_cut(cx.waker()) {
            // h2 resets a stream whose answer is dropped unfinished.
            this.future.set(None);
        }
        match this.future.as_pin_mut() {
            Some(future) => future.poll(cx).map(drop),
            None => Poll::Ready(()),
        }
    }
}

/// An answer's place among the terms, given up with the answer.
pub(super) struct Termed {
    term: Arc<Term>,
    streams: Arc<Streams>,
}

impl Drop for Termed {
    fn drop(&mut self) {
        if let Some(terms) = self.streams.terms.get() {
            terms.leave(&self.term);
        }
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

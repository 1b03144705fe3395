use std::{
    collections::HashSet,
    fmt, io,
    panic::resume_unwind,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::server::conn::http1;
use tokio::{sync::mpsc, task::JoinHandle};

use super::{
    HandOver, Handshake, Io, Make, Plain, accepting::Accepting, intake::Intake, settings::Settings, slots::Slots,
};
use crate::{
    Error, Guard, Listener, Tracker,
    accept::{AtGate, Rank},
    drain::{Kind, Policy, Watch},
    handover::{Entrances, Exit},
    name::Name,
};

/// Serves HTTP from a listener: a future, and its own builder. Made by `Graceful::serve` and `Graceful::serve_with`.
///
/// It accepts in a task of its own, spawned by the first poll, and each connection has one too. So it goes on when a
/// `select!` has looked at it and turned to something else; it resolves when the drain has ended *its* connections.
///
/// A generation that is not confirmed yet accepts nobody, however early this is polled. Once accepting has ended, a
/// listener that the successor has claimed is closed at once; any other when its queue is empty. At a restart
/// connections move to the successor, to who serves the listener of the same name there: see [`HandOver`].
///
/// # Errors
///
/// Only for a listener that can never accept again. That is logged, and in the drain's report, whether or not anybody
/// awaits this. Shortages of descriptors or memory are waited out.
///
/// # Panics
///
/// When a make-service, or the closure of `serve_with` or `handshake` (not its future), panicked; and when it is first polled outside a tokio runtime.
///
/// # Cancel safety
///
/// Dropped, it ends accepting. Its connections live on, counted, and the drain waits for them.
///
/// # Examples
///
/// TLS in one line, with deadlines of one's own:
///
/// ```
/// use std::{convert::Infallible, time::Duration};
/// use http::{Request, Response};
/// use hyper::{body::Incoming, service::service_fn};
/// use tokio::net::{TcpListener, TcpStream};
/// use tokio_hotrestart::Graceful;
///
/// async fn hello(_: Request<Incoming>) -> Result<Response<String>, Infallible> {
///     Ok(Response::new("hello".into()))
/// }
/// # struct Acceptor;
/// # impl Acceptor { async fn accept(&self, tcp: TcpStream) -> std::io::Result<TcpStream> { Ok(tcp) } }
/// # static ACCEPTOR: Acceptor = Acceptor;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let graceful = Graceful::detached();
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let serve = graceful
///     .serve(listener, service_fn(hello))
///     .handshake(|tcp| ACCEPTOR.accept(tcp))
///     .head_deadline(Duration::from_secs(10))
///     .idle_deadline(Duration::from_secs(75))
///     .max_connections(10_000)
///     .http1(|http1| {
///         http1.max_headers(200);
///     });
/// let serving = tokio::spawn(serve);
/// graceful.stop();
/// serving.await??;
/// # Ok(())
/// # }
/// ```
#[must_use = "spawn it or await it"]
pub struct Serve<L: Listener, K, H = Plain> {
    /// `None` once it runs.
    setup: Option<Setup<L, K, H>>,
    running: Option<Running>,
}

/// Everything that the roof knows and `serve` needs.
#[derive(Debug)]
pub(crate) struct Wiring {
    pub(crate) watch: Watch,
    pub(crate) tracker: Tracker,
    pub(crate) gate: AtGate,
    /// The listener's, if it has one.
    pub(crate) name: Option<Name>,
    /// Told when the listener can never accept again.
    pub(crate) failed: mpsc::UnboundedSender<Error>,
    /// In place of the first two, for what is last to close.
    pub(crate) last: (Watch, Tracker),
    /// Whose listeners those are.
    pub(crate) last_names: Arc<Mutex<HashSet<Name>>>,
    /// By which connections leave for the successor.
    pub(crate) exit: Exit,
    /// By which those of the predecessor come.
    pub(crate) entrances: Entrances,
}

pub(super) struct Setup<L, K, H> {
    pub(super) listener: L,
    pub(super) make: K,
    pub(super) handshake: H,
    pub(super) settings: Settings,
    pub(super) slots: Slots,
    pub(super) nodelay: bool,
    pub(super) wiring: Wiring,
    pub(super) intake: Intake,
    pub(super) rank: Rank,
    /// Held as long as the listener is.
    pub(super) last_name: Option<LastName>,
    /// Held from the call of `serve` on, so that a drain that begins before the first poll waits for it.
    pub(super) guard: Guard,
}

/// An entry among the names of those that are last to close. With the `serve` goes its entry: for one that is gone, the
/// roof's duplicate of the listener would stay open through a whole drain, and clients queue up whom nobody serves.
#[derive(Debug)]
pub(super) struct LastName {
    name: Name,
    names: Arc<Mutex<HashSet<Name>>>,
}

impl LastName {
    fn enter(name: Name, names: Arc<Mutex<HashSet<Name>>>) -> Self {
        locked(&names).insert(name.clone());
        Self { name, names }
    }
}

impl Drop for LastName {
    fn drop(&mut self) {
        locked(&self.names).remove(&self.name);
    }
}

fn locked(names: &Mutex<HashSet<Name>>) -> MutexGuard<'_, HashSet<Name>> {
    // Nothing panics under this lock but an allocation that fails, and then the set is as it was.
    names.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<L: Listener, K> Serve<L, K> {
    pub(crate) fn new(listener: L, make: K, wiring: Wiring) -> Self {
        let guard = wiring.tracker.guard_of(Kind::Serve);
        let (handshake, settings) = (Plain::new(), Settings::new());
        let (slots, nodelay, rank, last_name) = (Slots::new(), true, Rank::Ordinary, None);
        let mut intake = Intake::new(L::takes);
        intake.open(&wiring, &slots);
        let setup =
            Setup { listener, make, handshake, settings, slots, nodelay, wiring, intake, rank, last_name, guard };
        Self { setup: Some(setup), running: None }
    }
}

impl<L: Listener, K, H> Serve<L, K, H> {
    /// hyper's own settings for HTTP/1, all of them. Its timer, `header_read_timeout` and `pipeline_flush` are ours and
    /// set after this; see [`head_deadline`](Self::head_deadline).
    ///
    /// # Panics
    ///
    /// When it has been polled; so do the other settings.
    pub fn http1(mut self, set: impl FnOnce(&mut http1::Builder)) -> Self {
        set(&mut self.setup().settings.http1);
        self
    }

    /// hyper's own settings for HTTP/2, all of them; called for each connection. Asked for again, it adds to them.
    #[cfg(feature = "http2")]
    pub fn http2<F>(mut self, set: F) -> Self
    where
        F: Fn(&mut hyper::server::conn::http2::Builder<super::Executor>) + Send + Sync + 'static,
    {
        self.setup().settings.http2.push(Box::new(set));
        self
    }

    /// From the first byte of a request head to its last (30 s). Not while the connection idles.
    ///
    /// For the first head it counts from when the connection was accepted; a handshake has as much time for itself.
    pub fn head_deadline(mut self, after: Duration) -> Self {
        self.setup().settings.head_deadline = after;
        self
    }

    /// How long a kept-alive connection may idle (no limit). An HTTP/2 connection without a stream is told to go then.
    pub fn idle_deadline(mut self, after: impl Into<Option<Duration>>) -> Self {
        self.setup().settings.idle_deadline = after.into();
        self
    }

    /// Accepts nobody while there are so many connections (no limit), upgraded ones among them. At least one.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.setup().slots.limit(connections);
        self
    }

    /// `TCP_NODELAY`, where the connection is a TCP stream (on): small writes are sent at once.
    pub fn nodelay(mut self, nodelay: bool) -> Self {
        self.setup().nodelay = nodelay;
        self
    }

    /// What a drain does with its long connections: upgraded ones, and answers of unknown length, that have begun before
    /// ([`Finish`](Policy::Finish)). A response that bears a [`Policy`] among its extensions has that one. Of HTTP/2 it is
    /// the stream that is cut; a tunnel inside HTTP/2 has until the deadline.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tokio_hotrestart::Error> {
    /// # use axum::Router;
    /// use std::time::Duration;
    /// use tokio_hotrestart::drain::Policy;
    ///
    /// # let graceful = tokio_hotrestart::Graceful::detached();
    /// # let websockets = Router::new();
    /// let listener = graceful.listen("websockets", "127.0.0.1:0").await?;
    /// tokio::spawn(graceful.serve(listener, websockets).policy(Policy::CloseAfter(Duration::from_secs(60))));
    /// # graceful.drain().await; Ok(()) }
    /// ```
    pub fn policy(mut self, policy: Policy) -> Self {
        self.setup().settings.policy = policy;
        self
    }

    /// Answers until the very end of a stop: for health, admin and metrics. It is told neither of the lame duck nor of the
    /// drain, and accepts on; when everything else is over, it ends too, within a second. At a restart it is like any other.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tokio_hotrestart::Error> {
    /// # use axum::Router;
    /// # let graceful = tokio_hotrestart::Graceful::detached();
    /// # let (app, health) = (Router::new(), Router::new());
    /// tokio::spawn(graceful.serve(graceful.listen("http", "127.0.0.1:0").await?, app));
    /// tokio::spawn(graceful.serve(graceful.listen("health", "127.0.0.1:0").await?, health).last_to_close());
    /// # graceful.drain().await; Ok(()) }
    /// ```
    pub fn last_to_close(mut self) -> Self {
        let Setup { wiring, slots, intake, rank, last_name, guard, .. } = self.setup();
        (wiring.watch, wiring.tracker) = wiring.last.clone();
        (*rank, *guard) = (Rank::Last, wiring.tracker.guard_of(Kind::Serve));
        // Asked for twice, it is entered once: the entry that went first would take the other's name along.
        if last_name.is_none() {
            *last_name = wiring.name.clone().map(|name| LastName::enter(name, wiring.last_names.clone()));
        }
        // Who comes by handover is counted by the other tracker now.
        if intake.is_open() {
            intake.open(wiring, slots);
        }
        self
    }

    /// Whether its connections move to the successor at a restart, and those of a predecessor come here
    /// ([`BetweenRequests`](HandOver::BetweenRequests)). With a [`handshake`](Self::handshake) they never do.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tokio_hotrestart::Error> {
    /// # use axum::Router;
    /// use tokio_hotrestart::serve::HandOver;
    ///
    /// # let graceful = tokio_hotrestart::Graceful::detached();
    /// # let who_logs_in_by_connection = Router::new();
    /// let listener = graceful.listen("http", "127.0.0.1:0").await?;
    /// tokio::spawn(graceful.serve(listener, who_logs_in_by_connection).hand_over(HandOver::Never));
    /// # graceful.drain().await; Ok(()) }
    /// ```
    pub fn hand_over(mut self, hand_over: HandOver) -> Self {
        let Setup { wiring, slots, intake, .. } = self.setup();
        match hand_over {
            HandOver::BetweenRequests => intake.open(wiring, slots),
            HandOver::Never => intake.close(),
        }
        self
    }

    /// What happens on a connection before HTTP: `.handshake(move |tcp| acceptor.accept(tcp))` is TLS in one line.
    ///
    /// Its future runs in the connection's own task, so that a slow client delays nobody; it is counted by the drain, and has
    /// until the head deadline. Such connections are not handed over to a successor.
    pub fn handshake<F, R, T>(mut self, handshake: F) -> Serve<L, K, F>
    where
        F: Fn(L::Io) -> R + Send + Sync + 'static,
        R: Future<Output = io::Result<T>> + Send + 'static,
        T: Io,
    {
        let Setup {
            listener,
            make,
            handshake: _,
            settings,
            slots,
            nodelay,
            wiring,
            mut intake,
            rank,
            last_name,
            guard,
        } = self.setup.take().expect(POLLED);
        intake.bar();
        let setup =
            Setup { listener, make, handshake, settings, slots, nodelay, wiring, intake, rank, last_name, guard };
        Serve { setup: Some(setup), running: None }
    }

    fn setup(&mut self) -> &mut Setup<L, K, H> {
        self.setup.as_mut().expect(POLLED)
    }
}

const POLLED: &str = "settings come before the first poll";

impl<L, K, H> Future for Serve<L, K, H>
where
    L: Listener,
    K: Make<L>,
    H: Handshake<L::Io>,
{
    type Output = io::Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { setup, running } = self.get_mut();
        if let Some(setup) = setup.take() {
            *running = Some(Running(tokio::spawn(Accepting::run(setup))));
        }
        let Some(Running(task)) = running else { return Poll::Ready(Ok(())) };
        let joined = ready!(Pin::new(task).poll(cx));
        *running = None;
        Poll::Ready(match joined {
            Ok(result) => result,
            Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
            // The runtime is shutting down: nobody serves any more, and nothing has failed.
            Err(_cancelled) => Ok(()),
        })
    }
}

/// A task that ends with its handle.
struct Running(JoinHandle<io::Result<()>>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Nothing in it is ever pinned: what runs is in the task.
impl<L: Listener, K, H> Unpin for Serve<L, K, H> {}

impl<L: Listener, K, H> fmt::Debug for Serve<L, K, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.setup.as_ref().map(|setup| &setup.wiring.name);
        f.debug_struct("Serve").field("name", &name).finish_non_exhaustive()
    }
}

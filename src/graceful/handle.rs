//! The handle that users hold.

use std::{
    future::Future,
    io,
    os::fd::BorrowedFd,
    sync::{Arc, MutexGuard},
    time::Duration,
};

use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{
    Builder,
    begin::Beginning,
    shared::{Ask, Shared},
};
use crate::{
    Cause, Error, ErrorKind, State, Successor,
    accept::{Datagram, Listener, accept_from, receive_from},
    drain::{Report, Tracker, Watch},
    name::Name,
    sockets::Registry,
};

/// One generation's handle.
///
/// Cheap to clone, `Send` and `Sync`. A task of its own, spawned when it is built, carries everything out: each
/// future below only *waits*, owns what it needs (`'static`), may be dropped and asked for again, and may be awaited by
/// any number of clones. Dropping the last clone changes nothing: signals stay ours, and the drain still runs when
/// one comes.
///
/// # Examples
///
/// The whole of a server that restarts under load:
///
/// ```no_run
#[doc = include_str!("../../examples/readme.rs")]
/// ```
#[derive(Clone, Debug)]
pub struct Graceful {
    pub(super) shared: Arc<Shared>,
}

impl Graceful {
    pub(super) fn of(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    pub(super) fn registry(&self) -> MutexGuard<'_, Registry> {
        self.shared.registry()
    }

    /// Registers the signals (SIGUSR2 restarts; SIGTERM, SIGINT, SIGQUIT stop) and takes what a predecessor passes.
    ///
    /// The first thing in `main`: a SIGUSR2 that comes before it kills the process. Only the first in a process takes
    /// what was passed; a second one starts as generation 0, and says so in the log.
    ///
    /// # Errors
    ///
    /// As [`Builder::build`].
    pub async fn new() -> Result<Self, Error> {
        Self::builder().build().await
    }

    /// The same with knobs.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// A handle that touches nothing of the process: no environment, no signals, no files. For tests and libraries.
    /// It stops and drains as any other; [`restart`](Self::restart) is [`ErrorKind::Unsupported`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    ///
    /// # Examples
    ///
    /// A test of one's own server:
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tokio_hotrestart::Error> {
    /// let graceful = tokio_hotrestart::Graceful::detached();
    /// graceful.ready().await?;
    /// graceful.stop();
    /// assert!(graceful.drain().await.is_clean());
    /// # Ok(()) }
    /// ```
    pub fn detached() -> Self {
        Self::of(Beginning::default().begin())
    }

    // ---------------------------------------------------------------------------------------------------- life

    /// "I can serve": what was inherited and not claimed is closed, and the predecessor is asked to let go. Returns when
    /// this generation is confirmed; from then on it accepts. In generation 0 that is at once.
    ///
    /// # Errors
    ///
    /// When this generation was stopped or taken back meanwhile. Then the predecessor serves on, so `?` ends the
    /// process.
    ///
    /// # Cancel safety
    ///
    /// What was said is not taken back; asking again only waits.
    pub fn ready(&self) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let shared = Arc::clone(&self.shared);
        async move {
            let (answer, answered) = oneshot::channel();
            ask(&shared, Ask::Ready(answer));
            answered.await.unwrap_or_else(|_| Err(ended()))
        }
    }

    /// Asks the predecessor for this much more time, counted from now, before it gives this generation up. In a loop it
    /// says "still at it".
    pub fn extend_ready_deadline(&self, by: Duration) {
        ask(&self.shared, Ask::Time(by));
    }

    /// Waits until this generation's work is over: *replaced* by a successor that serves, or *stopped*. By then the drain
    /// has begun, whoever awaits this; a lame duck is over. A restart that fails does not resolve it: it is logged, answered
    /// to whoever asked, and this generation serves on.
    pub fn restart_signal(&self) -> impl Future<Output = Cause> + Send + use<> {
        let mut cause = self.shared.cause.subscribe();
        async move { wait_for_some(&mut cause).await }
    }

    /// Waits for the drain's end and tells how it went. Called before the drain has begun, it stops this generation first.
    ///
    /// Under systemd a stop's drain also waits, within the same deadline, for earlier generations that still drain in the
    /// unit: once the main process has ended, systemd would hurry them.
    pub fn drain(&self) -> impl Future<Output = Report> + Send + use<> {
        let shared = Arc::clone(&self.shared);
        async move {
            ask(&shared, Ask::Drain);
            wait_for_some(&mut shared.report.subscribe()).await
        }
    }

    /// Asks for a restart as SIGUSR2 does, and waits for its outcome; joins one that is under way. Dropping the future
    /// does not call the restart off.
    ///
    /// # Errors
    ///
    /// Why it failed; this generation serves on. [`Error::stderr`] has the successor's last words.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let graceful = tokio_hotrestart::Graceful::detached();
    /// match graceful.restart().await {
    ///     Ok(successor) => println!("replaced by pid {}", successor.pid()),
    ///     Err(error) => eprintln!("still serving: {error}"),
    /// }
    /// # }
    /// ```
    pub fn restart(&self) -> impl Future<Output = Result<Successor, Error>> + Send + use<> {
        let shared = Arc::clone(&self.shared);
        async move {
            let (answer, answered) = oneshot::channel();
            ask(&shared, Ask::Restart(answer));
            answered.await.unwrap_or_else(|_| Err(ended()))
        }
    }

    /// Asks for a stop as SIGTERM does. During a restart's drain the first shortens it to the stop's deadline; during a
    /// stop's lame duck, drain or exit hooks it ends all of them at once.
    pub fn stop(&self) {
        ask(&self.shared, Ask::Stop);
    }

    /// How far this generation is, for a `/readyz` handler: ready are [`State::Ready`] and [`State::Restarting`].
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tokio_hotrestart::Error> {
    /// use axum::{Router, http::StatusCode, routing::get};
    /// use tokio_hotrestart::{Graceful, State};
    ///
    /// let graceful = Graceful::detached();
    /// let state = graceful.state();
    /// let app: Router = Router::new().route("/readyz", get(|| async move {
    ///     match *state.borrow() {
    ///         State::Ready | State::Restarting => StatusCode::OK,
    ///         _ => StatusCode::SERVICE_UNAVAILABLE,
    ///     }
    /// }));
    /// # drop(app); Ok(()) }
    /// ```
    pub fn state(&self) -> watch::Receiver<State> {
        self.shared.state.subscribe()
    }

    /// This process's number in the chain, from 0.
    pub fn generation(&self) -> u64 {
        self.shared.generation
    }

    /// Whether a predecessor has passed its sockets to this process.
    pub fn is_successor(&self) -> bool {
        self.shared.is_successor
    }

    // --------------------------------------------------------------------------------- drain, for loops of your own

    /// Cancelled when accepting ends, at a stop after the lame duck. A child token: cancelling it is your own affair.
    ///
    /// # Examples
    ///
    /// Tasks that are counted elsewhere, by tokio-util's tracker, are waited for by one that the drain waits for:
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use tokio_util::task::TaskTracker;
    ///
    /// # let graceful = tokio_hotrestart::Graceful::detached();
    /// let (tasks, token) = (TaskTracker::new(), graceful.token());
    /// tasks.spawn(async { /* ... */ });
    /// graceful.spawn(async move {
    ///     token.cancelled().await;
    ///     tasks.close();
    ///     tasks.wait().await;
    /// });
    /// # graceful.drain().await;
    /// # }
    /// ```
    pub fn token(&self) -> CancellationToken {
        self.shared.token.child_token()
    }

    /// Counts what the drain waits for.
    pub fn tracker(&self) -> &Tracker {
        &self.shared.tracker
    }

    /// Spawns a task that the drain waits for, and aborts at its deadline. A task that awaits [`drain`](Self::drain) waits
    /// for itself, until then.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.shared.tracker.spawn(task)
    }

    /// Tells handlers and loops that the drain has begun.
    pub fn watch(&self) -> Watch {
        self.shared.drain.watch()
    }

    /// The next connection of a listener; `None` once accepting has ended. It waits until this generation is confirmed,
    /// and while a successor is on probation; `EMFILE` and its like are waited out. At a stop the queue is emptied first, or
    /// until the drain's deadline, if it fills as fast.
    ///
    /// Run the loop itself in [`spawn`](Self::spawn) or in `main`: in a task that nobody counts, the drain may be over
    /// before the loop has emptied the queue.
    ///
    /// # Cancel safety
    ///
    /// No connection is lost.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tokio_hotrestart::Error> {
    /// # let graceful = tokio_hotrestart::Graceful::detached();
    /// let mut listener = graceful.listen("echo", "127.0.0.1:7").await?;
    /// let handle = graceful.clone();
    /// graceful.spawn(async move {
    ///     while let Some((mut stream, _peer)) = handle.accept(&mut listener).await {
    ///         handle.spawn(async move {
    ///             let (mut read, mut write) = stream.split();
    ///             tokio::io::copy(&mut read, &mut write).await
    ///         });
    ///     }
    /// });
    /// graceful.ready().await?;
    /// graceful.restart_signal().await;
    /// println!("{}", graceful.drain().await);
    /// # Ok(()) }
    /// ```
    pub async fn accept<L: Listener>(&self, listener: &mut L) -> Option<(L::Io, L::Addr)> {
        if self.is_too_late() {
            return None;
        }
        let name = self.name_of(listener);
        match accept_from(listener, self.shared.gate.at_gate(), name).await? {
            Ok(connection) => Some(connection),
            Err(error) => {
                self.fail("accept: this listener can never accept again", error);
                None
            }
        }
    }

    /// The next datagram of a socket, and whom it comes from; `None` once accepting has ended. It waits until this
    /// generation is confirmed, and while a successor is on probation, so each datagram is received by one generation and
    /// only one: answer it before you ask for the next. What is longer than the buffer is cut off. At a stop the queue is
    /// emptied first, or until the drain's deadline, if it fills as fast; at a restart what is in it is the successor's.
    ///
    /// Run the loop in [`spawn`](Self::spawn) or in `main`, as that of [`accept`](Self::accept). Errors of a connected
    /// socket about what it has sent are passed over.
    ///
    /// # Cancel safety
    ///
    /// No datagram is lost.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use tokio::net::UdpSocket;
    ///
    /// # let graceful = tokio_hotrestart::Graceful::detached();
    /// let socket = graceful.bind::<UdpSocket, _>("echo", "127.0.0.1:7").await?;
    /// graceful.ready().await?;
    /// let mut buffer = [0; 2048];
    /// while let Some((length, peer)) = graceful.receive(&socket, &mut buffer).await {
    ///     socket.send_to(&buffer[..length], peer).await?;
    /// }
    /// println!("{}", graceful.drain().await);
    /// # Ok(()) }
    /// ```
    pub async fn receive<S: Datagram>(&self, socket: &S, buffer: &mut [u8]) -> Option<(usize, S::Addr)> {
        if self.is_too_late() {
            return None;
        }
        let name = |socket: BorrowedFd<'_>| self.registry().name_of(socket);
        match receive_from(socket, self.shared.gate.at_gate(), buffer, name).await? {
            Ok(datagram) => Some(datagram),
            Err(error) => {
                self.fail("receive: this socket can never receive again", error);
                None
            }
        }
    }

    /// Asked before each one: a queue that fills as fast as a loop empties it would keep the process alive for ever, when
    /// nothing is left that the drain could cut.
    fn is_too_late(&self) -> bool {
        self.shared.drain.deadline_has_come()
    }

    /// A generation that is up and deaf stops.
    fn fail(&self, what: &str, error: io::Error) {
        let error = Error::io(ErrorKind::Socket, what, error);
        crate::log::error!(%error, "this generation stops");
        // The loop ends only when accepting has ended, and then nobody needs to be told.
        let _ = self.shared.failed.send(error);
    }

    pub(super) fn name_of(&self, listener: &impl Listener) -> Option<Name> {
        self.registry().name_of(listener.socket()?)
    }
}

/// A loop that has ended answers nobody, and each asker takes that for the answer.
pub(super) fn ask(shared: &Shared, what: Ask) {
    if shared.asks.send(what).is_err() {
        crate::log::debug!("asked after this generation's end");
    }
}

fn ended() -> Error {
    Error::new(ErrorKind::Ending, "this generation has ended")
}

async fn wait_for_some<T: Clone>(value: &mut watch::Receiver<Option<T>>) -> T {
    loop {
        if let Some(value) = value.borrow_and_update().clone() {
            return value;
        }
        if value.changed().await.is_err() {
            // The sender lives in the handle's shared part, so this is a runtime that was dropped under its tasks.
            return std::future::pending().await;
        }
    }
}

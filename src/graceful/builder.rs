//! The knobs, and the start.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use super::{
    Graceful,
    begin::Beginning,
    life::Ground,
    meeting::{Meeting, meet},
    service::Service,
    settings::Settings,
};
use crate::{
    Error, ErrorKind,
    control::Allowed,
    drain::Times,
    pidfile::PidFile,
    process::Program,
    signal::Signals,
    systemd::{Environment, Notifier},
};

/// The knobs of a [`Graceful`], all optional.
///
/// # Examples
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tokio_hotrestart::Error> {
/// use std::time::Duration;
/// use tokio_hotrestart::Graceful;
///
/// let pid_file: Option<std::path::PathBuf> = None; // from the command line, say
/// let mut builder = Graceful::builder().ready_deadline(Duration::from_secs(10));
/// if let Some(path) = pid_file {
///     builder = builder.pid_file(path);
/// }
/// let graceful = builder.build().await?;
/// # drop(graceful); Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct Builder {
    signals: Signals,
    program: Option<OsString>,
    arguments: Option<Vec<OsString>>,
    pid_file: Option<PathBuf>,
    control: Option<PathBuf>,
    allowed: Allowed,
    pub(super) settings: Settings,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            signals: Signals::new(),
            program: None,
            arguments: None,
            pid_file: None,
            control: None,
            allowed: Allowed::default(),
            settings: Settings::default(),
        }
    }

    /// Which signals restart and stop ([`Signals::new`]).
    pub fn signals(mut self, signals: Signals) -> Self {
        self.signals = signals;
        self
    }

    /// How long a successor may take from its spawn to `ready()` (60 s). It can ask for more with
    /// [`Graceful::extend_ready_deadline`]. After that it is killed, and this generation serves on.
    pub fn ready_deadline(mut self, after: Duration) -> Self {
        self.settings.ready_deadline = after;
        self
    }

    /// For how long after it was confirmed a successor's death is still harmless, because this generation takes over
    /// again (500 ms; zero: not at all).
    pub fn probation(mut self, time: Duration) -> Self {
        self.settings.probation = time;
        self
    }

    /// How long the drain after a restart may take ([`Times::for_restart`]). A lame duck in it means nothing: the successor
    /// accepts from the same sockets.
    pub fn on_restart(mut self, times: Times) -> Self {
        self.settings.on_restart = times;
        self
    }

    /// How long a stop may take: lame duck and drain ([`Times::for_stop`]).
    pub fn on_stop(mut self, times: Times) -> Self {
        self.settings.on_stop = times;
        self
    }

    /// How long a live connection that the predecessor [hands over](Graceful::hand_over) waits for somebody to ask for
    /// [its protocol](Graceful::inherited), or to fetch one of the 64 that wait there (5 s). After that it goes back, and the
    /// predecessor serves it on. Counted from the first such connection, for each protocol.
    ///
    /// # Examples
    ///
    /// A server that asks for its connections when it has loaded what belongs to them:
    ///
    /// ```no_run
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tokio_hotrestart::Error> {
    /// use std::time::Duration;
    /// use tokio_hotrestart::Graceful;
    ///
    /// # async fn load_rooms() {}
    /// let graceful = Graceful::builder().unclaimed_deadline(Duration::from_secs(30)).build().await?;
    /// graceful.ready().await?;
    /// load_rooms().await; // meanwhile they are held, unread
    /// let inherited = graceful.inherited("chat")?;
    /// # drop(inherited); Ok(()) }
    /// ```
    pub fn unclaimed_deadline(mut self, after: Duration) -> Self {
        self.settings.unclaimed = after;
        self
    }

    /// A file that names the ready generation. It is replaced at once, never half written, and removed at the end by
    /// the process that it names.
    pub fn pid_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.pid_file = Some(path.into());
        self
    }

    /// What a restart starts, if not the file of this program. Relative to the working directory of start-up.
    pub fn program(mut self, program: impl Into<OsString>) -> Self {
        self.program = Some(program.into());
        self
    }

    /// The arguments that a successor gets after the program's name, if not those of this process.
    pub fn args<I: IntoIterator<Item: Into<OsString>>>(mut self, arguments: I) -> Self {
        self.arguments = Some(arguments.into_iter().map(Into::into).collect());
        self
    }

    /// A Unix socket path at which this server can be found: by operators (the program `hotrestart`, or
    /// [`control`](crate::control)), who restart it, stop it, or ask how it is; and by a successor that somebody else starts
    /// with the same path, which then takes over. The second way is for processes that share nothing but a directory: two
    /// containers, two units, two shells. [`control::default_path`](crate::control::default_path) suggests one.
    ///
    /// The socket has mode 0600 (but see [`control_users`](Self::control_users)), and both sides check the other's user. It stays the same one from generation to
    /// generation, so nobody ever finds the path empty; the last generation removes it.
    ///
    /// If somebody serves at the path when this process starts, [`build`](Self::build) takes over from it; where that one
    /// refuses, because it is not ready or another restart is under way, `build` is an error. If nobody does, this is
    /// generation 0.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tokio_hotrestart::Error> {
    /// use tokio_hotrestart::Graceful;
    ///
    /// let graceful = Graceful::builder().control("/run/server/control").build().await?;
    /// # drop(graceful); Ok(()) }
    /// ```
    ///
    /// Two handles of one process meet as well. So the restart of a server of your own can be tested without a second
    /// process:
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::{path::Path, time::Duration};
    /// use tokio::net::TcpListener;
    /// use tokio_hotrestart::{Error, Graceful, Signals};
    ///
    /// /// A generation of the server, confirmed.
    /// async fn start(control: &Path) -> Result<(Graceful, TcpListener), Error> {
    ///     let builder = Graceful::builder().signals(Signals::none()).probation(Duration::ZERO);
    ///     let graceful = builder.control(control).build().await?;
    ///     let listener = graceful.listen("http", "127.0.0.1:0").await?;
    ///     graceful.ready().await?;
    ///     Ok((graceful, listener))
    /// }
    ///
    /// let place = tempfile::tempdir()?;
    /// let control = place.path().join("control");
    /// let (first, listener) = start(&control).await?;
    /// let (second, inherited) = start(&control).await?;
    /// assert!(first.restart_signal().await.is_replaced());
    /// assert_eq!((second.generation(), inherited.local_addr()?), (1, listener.local_addr()?));
    /// assert!(first.drain().await.is_clean());
    /// # second.drain().await; Ok(()) }
    /// ```
    pub fn control(mut self, path: impl Into<PathBuf>) -> Self {
        self.control = Some(path.into());
        self
    }

    /// Which users may come to the [`control`](Self::control) path besides this process's own and root, and be found there.
    ///
    /// With any, the socket's mode is 0666: anybody can connect, and whoever is not named is turned away before a word is
    /// read. The directory has to let them through, too. The mode is set where the path is bound, so a restart does not
    /// change it: to name the first such users, stop the server and start it.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tokio_hotrestart::Error> {
    /// use tokio_hotrestart::Graceful;
    ///
    /// const DEPLOY: u32 = 1001;
    /// let graceful = Graceful::builder().control("/run/server/control").control_users([DEPLOY]).build().await?;
    /// # drop(graceful); Ok(()) }
    /// ```
    pub fn control_users(mut self, uids: impl IntoIterator<Item = u32>) -> Self {
        self.allowed = Allowed::new(uids);
        self
    }

    /// Whether systemd keeps duplicates of the sockets (`FileDescriptorStoreMax=` in the unit), so that a crash refuses
    /// nobody: clients wait in the queues until it has started the server again (false).
    pub fn descriptor_store(mut self, keep: bool) -> Self {
        self.settings.descriptor_store = keep;
        self
    }

    /// The program that a restart starts knows nothing of this crate, but socket activation (`LISTEN_FDS`, as systemd passes
    /// sockets): it gets the sockets so, under their names. It is ready when it says `READY=1` to its `NOTIFY_SOCKET`, or
    /// once it has lived for `alive`, if that is given.
    ///
    /// Such a successor can't refuse, and gets no state; it is confirmed by nobody, and so accepts from its first moment on,
    /// while this process does, too. Taken back, by a stop of this process or at its ready deadline, it gets SIGTERM and has
    /// the time of a stop's drain to end, and then SIGKILL; this process ends after it. The sockets are non-blocking, for that
    /// is a state which both processes share: a program that expects blocking ones has to wait until they are readable. The
    /// [`control`](Self::control) path is removed when this process lets go. Under systemd it is named as the main process, without a watchdog. What becomes
    /// of its own restarts is its own affair.
    pub fn foreign_successor(mut self, alive: impl Into<Option<Duration>>) -> Self {
        self.settings.foreign = Some(alive.into());
        self
    }

    /// How many earlier generations may still drain when a restart is asked for (8, at most 250, because each is passed on
    /// as a descriptor in one message). With as many it is refused.
    pub fn max_draining(mut self, generations: usize) -> Self {
        self.settings.max_draining = generations.min(250);
        self
    }

    /// Whether a successor's standard error goes through a pipe until it is confirmed, so that a failed restart can tell
    /// its last words (true). Where it is a terminal or the journal it never does.
    pub fn capture_stderr(mut self, capture: bool) -> Self {
        self.settings.capture_stderr = capture;
        self
    }

    /// Whether a restart is done also as PID 1 (false). The end of a container's PID 1 kills the successor, so this is for
    /// containers that are kept alive by something else.
    pub fn restart_as_pid_1(mut self, insist: bool) -> Self {
        self.settings.restart_as_pid_1 = insist;
        self
    }

    /// Registers the signals, and takes what a predecessor passes.
    ///
    /// # Panics
    ///
    /// In a tokio runtime without I/O or time.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Runtime`] outside a tokio runtime; [`ErrorKind::Signal`] for a signal that can't be handled; what is
    /// wrong with that which a predecessor passes, and then the predecessor is told and serves on; [`ErrorKind::PidFile`]
    /// for a [`pid_file`](Self::pid_file) that can't be. With a [`control`](Self::control) path, why it can't be bound, or
    /// why the server that was found there refused: [`ErrorKind::Busy`] while another restart is under way,
    /// [`ErrorKind::NotReady`] before it is ready itself, [`ErrorKind::Ending`] when it ends.
    ///
    /// A service manager that can't be spoken to is no error: it is logged, and the server serves.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe in a successor: a dropped `build` is a failed restart.
    pub async fn build(self) -> Result<Graceful, Error> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(Error::new(ErrorKind::Runtime, "`Graceful` lives in a tokio runtime, and there is none here"));
        }
        let signals = self.signals.register()?;
        let pid_file = self.pid_file.as_deref().map(PidFile::new).transpose()?;
        let mut program = Program::of_this_process()?;
        if let Some(other) = self.program {
            program = program.with_program(&other);
        }
        if let Some(arguments) = self.arguments {
            program = program.with_arguments(arguments);
        }
        let environment = Environment::of_this_process();
        let control = self.control.as_deref().map(|path| (path, &self.allowed));
        let Meeting { introduction, registry, door } = meet(&environment, control).await?;
        let notifier = Notifier::of(&environment).unwrap_or_else(|error| {
            // The server serves all the same, and a manager that waits for a word gives it up by its own deadline.
            crate::log::warn!(%error, "the service manager will hear nothing of this process");
            None
        });
        let stores = self.settings.descriptor_store;
        let service = notifier.map(|notifier| match introduction.as_ref().filter(|it| !it.met) {
            Some(it) => Service::heir(notifier, &environment, it.watchdog, stores),
            None => Service::first(notifier, &environment, stores),
        });
        let ground = Some(Ground { signals, program, pid_file });
        Ok(Graceful::of(Beginning { settings: self.settings, ground, introduction, registry, door, service }.begin()))
    }
}

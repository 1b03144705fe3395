use std::{
    fmt::{self, Display},
    pin::Pin,
    time::Duration,
};

const DEADLINE: Duration = Duration::from_secs(10);
const DEADLINE_AT_EXIT: Duration = Duration::from_secs(5);

/// What to do at a moment of a restart or of an end.
///
/// A hook runs in a task of its own, until its [deadline](Self::deadline): then its future is dropped, and that is its
/// failure, as an `Err` and a panic are. A hook must not block its thread, as no task of a runtime may: it can't be
/// dropped then, and while it blocks, the runtime may serve nobody (also one of many threads: the others sleep, and this is the
/// one that would have woken them). It counts as failed all the same, once that is over or a second after its deadline. For
/// what blocks there is [`spawn_blocking`](tokio::task::spawn_blocking).
///
/// Whatever has a sentence will do for an error: [`io::Error`](std::io::Error), `anyhow::Error` (with its causes),
/// `String`, `&str`.
///
/// # Examples
///
/// Jobs that only one process may run at a time:
///
/// ```
/// use std::convert::Infallible;
/// use tokio::sync::watch;
/// use tokio_hotrestart::{Graceful, hooks::Hook};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tokio_hotrestart::Error> {
/// let graceful = Graceful::detached();
/// let (running, _cron) = watch::channel(false); // the jobs look at it
///
/// let (stop, resume) = (running.clone(), running.clone());
/// graceful.hook(Hook::before_commit(
///     "cron",
///     move || {
///         stop.send_replace(false);
///         async { Ok::<_, Infallible>(()) }
///     },
///     move || {
///         resume.send_replace(true);
///         async { Ok::<_, Infallible>(()) }
///     },
/// ));
/// graceful.ready().await?;
/// running.send_replace(true); // the predecessor's stand still since before this generation was confirmed
/// # Ok(()) }
/// ```
pub struct Hook {
    pub(super) name: String,
    pub(super) moment: Moment,
    pub(super) run: Deed,
    pub(super) undo: Option<Deed>,
    pub(super) deadline: Duration,
}

/// A call of the application's code, whose failure is a sentence.
pub(super) type Deed = Box<dyn Fn() -> Doing + Send + Sync>;
pub(super) type Doing = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// When hooks run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    BeforeSpawn,
    BeforeCommit,
    AfterPredecessor,
    AtExit,
}

impl Hook {
    /// Before a successor is spawned, or one that came by itself is welcomed. `Err` refuses the restart with that reason, and
    /// this generation serves on.
    ///
    /// # Examples
    ///
    /// ```
    /// use tokio_hotrestart::{Graceful, hooks::Hook};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let graceful = Graceful::detached();
    /// graceful.hook(Hook::before_spawn("configuration", || async {
    ///     let text = tokio::fs::read_to_string("server.conf").await.map_err(|error| error.to_string())?;
    ///     if text.is_empty() { Err("server.conf is empty".to_owned()) } else { Ok(()) }
    /// }));
    /// # }
    /// ```
    pub fn before_spawn<F, R, E>(name: impl Into<String>, run: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), E>> + Send + 'static,
        E: Display,
    {
        Self::new(name, Moment::BeforeSpawn, deed(run), DEADLINE)
    }

    /// When the successor is ready, and before it is confirmed: give up what only one process may have, as a lock or the
    /// jobs of cron. The successor takes it after its `ready().await`.
    ///
    /// `undo` takes it back when the successor fails, in its probation too. By then the successor is dead, or is one that
    /// ends in its own time: then the lock may be held a while yet, and `undo` waits for it. It is also called for a
    /// `release` that failed, panicked or was dropped half way, so it must bear that nothing has been released. A stop undoes
    /// nothing: this generation ends without what it has released, also in a lame duck.
    ///
    /// # Examples
    ///
    /// [`Hook`] has one.
    pub fn before_commit<F, R, E, G, U, D>(name: impl Into<String>, release: F, undo: G) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), E>> + Send + 'static,
        E: Display,
        G: Fn() -> U + Send + Sync + 'static,
        U: Future<Output = Result<(), D>> + Send + 'static,
        D: Display,
    {
        Self { undo: Some(deed(undo)), ..Self::new(name, Moment::BeforeCommit, deed(release), DEADLINE) }
    }

    /// In a successor, once its predecessor's process has ended. (Where the kernel has no handles for processes, once its
    /// predecessor can't be heard any more, which is when it has drained.) Generations before that one may drain on. Registered
    /// later than that, it runs at once. In a generation without a predecessor it never runs.
    ///
    /// # Examples
    ///
    /// ```
    /// use tokio_hotrestart::{Graceful, hooks::Hook};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let graceful = Graceful::detached();
    /// graceful.hook(Hook::after_predecessor("old spool", || tokio::fs::remove_dir_all("spool.old")));
    /// # }
    /// ```
    pub fn after_predecessor<F, R, E>(name: impl Into<String>, run: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), E>> + Send + 'static,
        E: Display,
    {
        Self::new(name, Moment::AfterPredecessor, deed(run), DEADLINE)
    }

    /// When everything has been drained, at a stop as at a restart, before the last listeners close; also in a successor that
    /// was refused or taken back, whose predecessor serves on ([`Cause::serves_on`](crate::Cause::serves_on)). A second stop,
    /// which ends everything at once, ends this too.
    ///
    /// # Examples
    ///
    /// ```
    /// use tokio_hotrestart::{Graceful, hooks::Hook};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let graceful = Graceful::detached();
    /// graceful.hook(Hook::at_exit("statistics", || tokio::fs::write("statistics", "served: 7")));
    /// # }
    /// ```
    pub fn at_exit<F, R, E>(name: impl Into<String>, run: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), E>> + Send + 'static,
        E: Display,
    {
        Self::new(name, Moment::AtExit, deed(run), DEADLINE_AT_EXIT)
    }

    /// How long it may take (10 s; at exit 5 s), and its undo as long again. [`Duration::MAX`] is no deadline, and then a
    /// hook that hangs holds up the restart, or the end, for ever.
    #[must_use]
    pub fn deadline(self, after: Duration) -> Self {
        Self { deadline: after, ..self }
    }

    fn new(name: impl Into<String>, moment: Moment, run: Deed, deadline: Duration) -> Self {
        Self { name: name.into(), moment, run, undo: None, deadline }
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, moment, deadline, run: _, undo: _ } = self;
        f.debug_struct("Hook")
            .field("name", name)
            .field("moment", moment)
            .field("deadline", deadline)
            .finish_non_exhaustive()
    }
}

impl Moment {
    /// Whether it comes once in a process.
    pub(super) fn is_once(self) -> bool {
        matches!(self, Self::AfterPredecessor | Self::AtExit)
    }

    /// Whether a hook's failure is the restart's.
    pub(super) fn is_decisive(self) -> bool {
        matches!(self, Self::BeforeSpawn | Self::BeforeCommit)
    }

    /// The word for it in the log.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::BeforeSpawn => "before_spawn",
            Self::BeforeCommit => "before_commit",
            Self::AfterPredecessor => "after_predecessor",
            Self::AtExit => "at_exit",
        }
    }
}

/// The alternate form, for that is how an `anyhow::Error` tells its causes too.
fn deed<F, R, E>(run: F) -> Deed
where
    F: Fn() -> R + Send + Sync + 'static,
    R: Future<Output = Result<(), E>> + Send + 'static,
    E: Display,
{
    Box::new(move || {
        let doing = run();
        Box::pin(async move { doing.await.map_err(|error| format!("{error:#}")) })
    })
}

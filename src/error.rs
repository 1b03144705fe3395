//! The one error of the crate: a kind for programs, a sentence for people.

use std::{error, fmt, io, process::ExitStatus, sync::Arc};

/// What went wrong.
///
/// Cheap to clone, because everybody who asked for the same restart gets the same answer. `Debug` prints what
/// `Display` prints, so that `fn main() -> Result<(), Error>` shows a sentence.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use tokio_hotrestart::{ErrorKind, Graceful};
///
/// let graceful = Graceful::detached();
/// let error = graceful.listen("two:parts", "127.0.0.1:0").await.unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Name);
/// # }
/// ```
#[derive(Clone)]
pub struct Error(Arc<Fault>);

struct Fault {
    kind: ErrorKind,
    message: String,
    source: Option<io::Error>,
    exit_status: Option<ExitStatus>,
    stderr: Option<String>,
}

/// The kinds of [`Error`], to match on. More may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A socket's name is malformed or used twice.
    Name,
    /// A socket could not be bound, adopted or passed on.
    Socket,
    /// A signal handler could not be registered.
    Signal,
    /// The pid file could not be written.
    PidFile,
    /// There is no tokio runtime to live in.
    Runtime,
    /// Not possible here: no restart on this platform, as PID 1, or with a detached handle.
    Unsupported,
    /// This generation is not ready, so it can't be replaced.
    NotReady,
    /// This generation is ending.
    Ending,
    /// Another restart is under way, or too many earlier generations are still draining.
    Busy,
    /// The program file does not exist.
    ProgramMissing,
    /// The program file exists, its interpreter (ELF or `#!`) does not.
    InterpreterMissing,
    /// The program file may not be executed.
    NotExecutable,
    /// The program file is no program.
    NotAProgram,
    /// The system could not start a process for another reason.
    Spawn,
    /// No descriptor was left (`EMFILE`, `ENFILE`), here or in the successor.
    NoDescriptors,
    /// No process, thread or memory was left (`EAGAIN`, `ENOMEM`).
    NoResources,
    /// The successor exited before it was confirmed.
    Exited,
    /// The successor was killed by a signal before it was confirmed.
    Killed,
    /// The successor was not ready by its deadline, or whoever was asked did not answer by another: also about a connection
    /// that it was offered.
    Deadline,
    /// The successor ended within its probation.
    Probation,
    /// The successor refused: to be it, or to take a connection.
    Refused,
    /// The two generations speak no common version of the protocol.
    Version,
    /// The other generation said something that is not the protocol.
    Protocol,
    /// The other generation's message ended in its middle.
    Torn,
    /// The successor closed its channel and lived on, the predecessor ended before it had passed its sockets, or a server
    /// that was asked ended without an answer.
    ChannelClosed,
    /// The predecessor took the restart back.
    Aborted,
    /// Nobody listens at the control path, or there is no successor to hand a connection over to.
    Nobody,
    /// The process at the other end of the control path belongs to a user that is not allowed.
    Denied,
    /// A [hook](crate::hooks) refused the restart, failed, panicked, or was not done by its deadline.
    Hook,
    /// What is to be passed to the successor could not be taken, or is too much.
    State,
    /// A connection ended in an error.
    Connection,
    /// A defect of this crate: please report it.
    Internal,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Arc::new(Fault { kind, message: message.into(), source: None, exit_status: None, stderr: None }))
    }

    /// The operation and its object in `message`; what the system said is appended to it.
    pub(crate) fn io(kind: ErrorKind, message: impl fmt::Display, source: io::Error) -> Self {
        Self(Arc::new(Fault {
            kind: ErrorKind::of_shortage(&source).unwrap_or(kind),
            message: format!("{message}: {source}"),
            source: Some(source),
            exit_status: None,
            stderr: None,
        }))
    }

    /// Adds how the successor ended and what it last wrote.
    pub(crate) fn with_last_words(self, exit_status: Option<ExitStatus>, stderr: Option<String>) -> Self {
        let source = self.0.source.as_ref().map(same);
        Self(Arc::new(Fault { kind: self.0.kind, message: self.0.message.clone(), source, exit_status, stderr }))
    }

    /// And what went wrong after that.
    pub(crate) fn and(self, more: &[Self]) -> Self {
        if more.is_empty() {
            return self;
        }
        let more: String = more.iter().map(|error| format!("; and {}", error.message())).collect();
        let source = self.0.source.as_ref().map(same);
        let Fault { kind, message, exit_status, stderr, .. } = &*self.0;
        let (message, stderr) = (format!("{message}{more}"), stderr.clone());
        Self(Arc::new(Fault { kind: *kind, message, source, exit_status: *exit_status, stderr }))
    }

    /// What to match on.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// How the failed successor ended; `None` where it never started, or where the system does not say.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.0.exit_status
    }

    /// The last 4 KiB of what the failed successor wrote to its standard error.
    pub fn stderr(&self) -> Option<&str> {
        self.0.stderr.as_deref().filter(|text| !text.is_empty())
    }

    /// What the system said, where it is the cause.
    pub(crate) fn io_kind(&self) -> Option<io::ErrorKind> {
        self.0.source.as_ref().map(io::Error::kind)
    }

    /// The sentence without the successor's last words, which `Display` appends to it.
    pub fn message(&self) -> &str {
        &self.0.message
    }
}

/// The number of each kind between generations and operators; never used again for another one.
macro_rules! codes {
    ($($kind:ident = $code:literal),* $(,)?) => {
        impl ErrorKind {
            pub(crate) fn code(self) -> u16 {
                match self {
                    $(Self::$kind => $code,)*
                }
            }

            /// A kind of a later version is told by its message.
            pub(crate) fn of_code(code: u16) -> Self {
                match code {
                    $($code => Self::$kind,)*
                    _ => Self::Refused,
                }
            }
        }
    };
}

codes! {
    Name = 1, Socket = 2, Signal = 3, PidFile = 4, Runtime = 5, Unsupported = 6, NotReady = 7, Ending = 8, Busy = 9,
    ProgramMissing = 10, InterpreterMissing = 11, NotExecutable = 12, NotAProgram = 13, Spawn = 14, NoDescriptors = 15,
    NoResources = 16, Exited = 17, Killed = 18, Deadline = 19, Probation = 20, Refused = 21, Version = 22, Protocol = 23,
    Torn = 24, ChannelClosed = 25, Aborted = 26, Connection = 27, Internal = 28, Nobody = 29, Denied = 30,
    Hook = 31, State = 32,
}

impl ErrorKind {
    /// A shortage is its own kind wherever it shows, because the mend (raise a limit) is the same everywhere.
    fn of_shortage(source: &io::Error) -> Option<Self> {
        match source.raw_os_error()? {
            libc::EMFILE | libc::ENFILE | libc::ETOOMANYREFS => Some(Self::NoDescriptors),
            libc::EAGAIN | libc::ENOMEM | libc::ENOBUFS => Some(Self::NoResources),
            _ => None,
        }
    }
}

/// `io::Error` is not `Clone`; code and kind survive, which is all that is promised of a source.
fn same(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        match self.stderr() {
            Some(text) => write!(f, "; it last wrote:\n{}", text.trim_end()),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.0.source.as_ref().map(|source| source as _)
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = error.0.source.as_ref().map_or(io::ErrorKind::Other, Self::kind);
        Self::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_is_send_sync_clone_and_prints_a_sentence() {
        fn check<T: Send + Sync + Clone + 'static>() {}
        check::<Error>();
        let error = Error::new(ErrorKind::Exited, "the successor (pid 7) exited with status 3")
            .with_last_words(None, Some("no config\n".into()));
        let sentence = "the successor (pid 7) exited with status 3; it last wrote:\nno config";
        assert_eq!(error.to_string(), sentence);
        assert_eq!(format!("{error:?}"), sentence);
    }

    #[test]
    fn a_shortage_keeps_its_kind_and_its_code_on_the_way_through_io_error() {
        let error = Error::io(ErrorKind::Socket, "pass the sockets", io::Error::from_raw_os_error(libc::EMFILE));
        assert_eq!(error.kind(), ErrorKind::NoDescriptors);
        let error = error.with_last_words(None, None);
        let source = error::Error::source(&error).and_then(|s| s.downcast_ref::<io::Error>());
        assert_eq!(source.and_then(io::Error::raw_os_error), Some(libc::EMFILE));
    }
}

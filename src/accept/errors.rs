use std::{io, time::Duration};

use tokio::time::Instant;

/// What an error of `accept(2)` means for the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was about one connection, which is gone from the queue: the next may be well.
    Next,
    /// A shortage, or unknown: it passes, but not at once.
    Wait,
    /// This listener never accepts again.
    Broken,
}

impl Verdict {
    pub(super) fn of(error: &io::Error) -> Self {
        match error.raw_os_error() {
            // "Linux accept() passes already-pending network errors on the new socket as an error code from accept()"
            // (accept(2), which says to treat them like EAGAIN), and EPERM is a firewall's word on this client.
            Some(
                libc::ECONNABORTED
                | libc::ECONNRESET
                | libc::EHOSTDOWN
                | libc::EHOSTUNREACH
                | libc::EINTR
                | libc::ENETDOWN
                | libc::ENETUNREACH
                | libc::ENOPROTOOPT
                | libc::EPERM
                | libc::EPROTO
                | libc::ETIMEDOUT,
            ) => Self::Next,
            #[cfg(target_os = "linux")]
            Some(libc::ENONET) => Self::Next,
            Some(libc::EBADF | libc::EFAULT | libc::EINVAL | libc::ENOTSOCK | libc::EOPNOTSUPP) => Self::Broken,
            Some(_) => Self::Wait,
            // Made by a listener of the user's own.
            None => match error.kind() {
                io::ErrorKind::ConnectionAborted
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionRefused
                | io::ErrorKind::Interrupted => Self::Next,
                _ => Self::Wait,
            },
        }
    }
}

/// A time in which accepting fails: from the first error that must be waited out to the next connection.
///
/// Without a pause a process that is out of descriptors spins, for the connection stays in the queue and the listener
/// readable. Logged at both ends and not in between, or the log fills up with the same line.
#[derive(Debug, Default)]
pub(super) struct Episode(Option<Backoff>);

#[derive(Clone, Copy, Debug)]
struct Backoff {
    pause: Duration,
    until: Instant,
}

const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl Episode {
    pub(super) fn failed(&mut self, error: &io::Error, listener: impl FnOnce() -> String) {
        let pause = match self.0 {
            Some(Backoff { pause, .. }) => LONGEST_PAUSE.min(pause * 2),
            None => {
                crate::log::warn!(socket = listener(), %error, "cannot accept, trying again until it works");
                FIRST_PAUSE
            }
        };
        self.0 = Some(Backoff { pause, until: Instant::now() + pause });
    }

    pub(super) fn succeeded(&mut self, listener: impl FnOnce() -> String) {
        if self.0.take().is_some() {
            crate::log::info!(socket = listener(), "accepting again");
        }
    }

    /// Whether it lasts so long that the pauses are at their longest.
    pub(super) fn is_long(&self) -> bool {
        self.0.is_some_and(|backoff| backoff.pause == LONGEST_PAUSE)
    }

    /// When to try again. It stays when the wait for it is given up, so that asking anew does not try anew.
    pub(super) fn pause_until(&self) -> Option<Instant> {
        self.0.map(|backoff| backoff.until)
    }
}

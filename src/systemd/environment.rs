//! The manager's variables, read once.

use std::{
    env,
    ffi::{OsStr, OsString},
    time::Duration,
};

/// As they were at one moment: what the application does to its environment later changes nothing here, and nothing here
/// ever writes to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    /// Where the manager listens.
    pub(super) notify_socket: Option<OsString>,
    pub(super) watchdog_usec: Option<OsString>,
    pub(super) watchdog_pid: Option<OsString>,
    /// Whom the manager has started itself; from systemd 248 on.
    pub(super) exec_pid: Option<OsString>,
    pub(super) listen_pid: Option<OsString>,
    pub(super) listen_fds: Option<OsString>,
    pub(super) listen_fdnames: Option<OsString>,
}

impl Environment {
    pub(crate) fn of_this_process() -> Self {
        Self::read(|name| env::var_os(name))
    }

    /// As somebody says what each variable is.
    pub(crate) fn read(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        Self {
            // Empty means none, as in libsystemd: `env NOTIFY_SOCKET= program` is how one is taken away.
            notify_socket: variable("NOTIFY_SOCKET").filter(|value| !value.is_empty()),
            watchdog_usec: variable("WATCHDOG_USEC"),
            watchdog_pid: variable("WATCHDOG_PID"),
            exec_pid: variable("SYSTEMD_EXEC_PID"),
            listen_pid: variable("LISTEN_PID"),
            listen_fds: variable("LISTEN_FDS"),
            listen_fdnames: variable("LISTEN_FDNAMES"),
        }
    }

    /// Whether this process is the manager's own child, as far as the manager says: a shell in a terminal, or a script that
    /// systemd has started, may have passed its variables on.
    pub(crate) fn names_this_process(&self) -> bool {
        self.exec_pid.as_deref().is_none_or(|pid| number(pid) == Some(std::process::id().into()))
    }

    /// Within which the manager wants a sign of life, if it wants one of this process. A grandchild inherits the variables
    /// too, and `WATCHDOG_PID` tells it that they are not meant for it.
    pub(crate) fn watchdog_interval(&self) -> Option<Duration> {
        let usec = self.watchdog_usec.as_deref()?;
        if self.watchdog_pid.as_deref().is_some_and(|pid| number(pid) != Some(u64::from(std::process::id()))) {
            return None;
        }
        match number(usec) {
            // systemd's word for "for ever".
            Some(u64::MAX) => None,
            Some(usec @ 1..) => Some(Duration::from_micros(usec)),
            _ => {
                crate::log::warn!(value = ?usec, "WATCHDOG_USEC is no interval: no watchdog");
                None
            }
        }
    }
}

fn number(value: &OsStr) -> Option<u64> {
    value.to_str()?.parse().ok()
}

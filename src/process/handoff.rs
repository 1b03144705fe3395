//! The variables by which a process gets what another passes to it, and to it alone.

use std::{ffi::OsStr, process::Command};

use super::VARIABLE;

/// systemd's sockets and watchdog were given to this pid, and the channel to this process. By name, and not all of
/// `LISTEN_*`: an application's own `LISTEN_ADDR` has to reach the successor.
const FOR_THIS_PROCESS_ONLY: [&str; 6] =
    ["LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID", VARIABLE];

/// These reach a successor, which becomes the service in its turn, but no other program.
const FOR_THE_SERVICE: [&str; 2] = ["NOTIFY_SOCKET", "WATCHDOG_USEC"];

/// systemd's word for the process that it has started itself. The successor of that one is its child as well, and the
/// successor of any other is not: so it stays where it names another, and goes where it would name a predecessor.
const EXEC_PID: &str = "SYSTEMD_EXEC_PID";

/// Whether a successor gets it.
pub(super) fn is_for_a_successor(name: &OsStr, value: &OsStr) -> bool {
    let names_this = || name == EXEC_PID && value.to_str() == Some(&std::process::id().to_string());
    !is_for_this_process_only(name) && !names_this()
}

fn is_for_this_process_only(name: &OsStr) -> bool {
    FOR_THIS_PROCESS_ONLY.iter().any(|it| name == *it)
}

pub(super) fn is_handoff(name: &OsStr) -> bool {
    is_for_this_process_only(name) || FOR_THE_SERVICE.iter().any(|it| name == *it)
}

/// Keeps from a command what was passed to this process: its predecessor's channel, systemd's sockets, notify socket and
/// watchdog. Gives the command back, to go on with.
///
/// For programs that the application starts itself. Without it nothing breaks that is careful: the descriptors are
/// close-on-exec, and what is named in the variables is checked before it is believed. But a program that is less
/// careful may take descriptor 3 for a socket of its own, or tell systemd that it is ready in this service's name.
///
/// Nothing is written to this process's own environment, which other threads may be reading. A variable that was set on
/// the command before is removed too, so that this comes first where a program is to be passed sockets of its own.
///
/// # Examples
///
/// ```
/// use tokio_hotrestart::scrub;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// let mut command = tokio::process::Command::new("true");
/// scrub(command.as_std_mut());
/// assert!(command.status().await?.success());
///
/// let output = scrub(&mut std::process::Command::new("env")).env("LISTEN_FDS", "0").output()?;
/// assert!(String::from_utf8_lossy(&output.stdout).contains("LISTEN_FDS=0"));
/// # Ok(()) }
/// ```
pub fn scrub(command: &mut Command) -> &mut Command {
    for name in FOR_THIS_PROCESS_ONLY.into_iter().chain(FOR_THE_SERVICE) {
        command.env_remove(name);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrubbed_command_has_nothing_of_what_was_passed_and_everything_else() {
        let mut command = Command::new("env");
        for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID", "LISTEN_ADDR", "NOTIFY_SOCKET"] {
            command.env(name, "1");
        }
        for name in ["WATCHDOG_PID", "WATCHDOG_USEC", "TOKIO_HOTRESTART_CHANNEL"] {
            command.env(name, "1");
        }
        let output = scrub(&mut command).output().unwrap();
        let left: Vec<_> = std::str::from_utf8(&output.stdout).unwrap().lines().collect();
        assert!(left.contains(&"LISTEN_ADDR=1"), "an application's own");
        assert!(!left.iter().any(|line| line.split_once('=').is_some_and(|(name, _)| is_handoff(name.as_ref()))));
        assert!(left.iter().any(|line| line.starts_with("PATH=")));
    }

    #[test]
    fn a_successor_is_told_who_is_systemds_child_only_where_that_is_another() {
        let this = std::process::id().to_string();
        assert!(!is_for_a_successor("SYSTEMD_EXEC_PID".as_ref(), this.as_ref()));
        assert!(is_for_a_successor("SYSTEMD_EXEC_PID".as_ref(), "1".as_ref()));
    }

    #[test]
    fn a_successor_keeps_the_notify_socket() {
        assert!(is_for_a_successor("NOTIFY_SOCKET".as_ref(), "/run/notify".as_ref()));
        assert!(is_handoff("NOTIFY_SOCKET".as_ref()));
    }
}

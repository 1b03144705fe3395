//! What is said to the manager, as the lines of sd_notify(3).

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::name::Name;

/// One thing to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice<'a> {
    /// It serves; also the end of `Reloading`, however the restart went.
    Ready,
    /// A restart has begun.
    Reloading,
    /// It ends, and nobody follows.
    Stopping,
    /// Who the main process is from now on.
    MainPid(u32),
    /// A line for people.
    Status(&'a str),
    /// Starting or stopping takes so much longer, from now on.
    ExtendTimeout(Duration),
    /// A sign of life.
    Watchdog,
    /// Nobody will give any.
    NoWatchdog,
}

/// A datagram in the making: assignments, a line each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lines(Vec<(&'static str, String)>);

/// systemd reads no datagram longer than 4096 bytes (`NOTIFY_BUFFER_MAX` in its source): a longer one is dropped whole,
/// and READY=1 with it.
const STATUS_LIMIT: usize = 2048;

/// Of these only the newest counts, so one that still waits for a manager that does not read makes room.
const SUPERSEDED: [&str; 3] = ["STATUS", "WATCHDOG", "EXTEND_TIMEOUT_USEC"];

impl Lines {
    pub(super) fn of(notices: &[Notice<'_>]) -> Self {
        let mut lines = Self::default();
        for notice in notices {
            match *notice {
                Notice::Ready => lines.push("READY", "1".into()),
                Notice::Reloading => {
                    lines.push("RELOADING", "1".into());
                    // `Type=notify-reload` takes the READY=1 that follows for this reload's by the clock, and looks for it in the
                    // same datagram.
                    lines.push("MONOTONIC_USEC", monotonic().as_micros().to_string());
                }
                Notice::Stopping => lines.push("STOPPING", "1".into()),
                Notice::MainPid(pid) => lines.push("MAINPID", pid.to_string()),
                Notice::Status(text) => lines.push("STATUS", one_line(text)),
                Notice::ExtendTimeout(time) => {
                    // What is beyond its 64 bits systemd does not read, and then the unit has no more time at all.
                    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).min(u64::MAX - 1);
                    lines.push("EXTEND_TIMEOUT_USEC", micros.to_string());
                }
                Notice::Watchdog => lines.push("WATCHDOG", "1".into()),
                Notice::NoWatchdog => lines.push("WATCHDOG_USEC", "0".into()),
            }
        }
        lines
    }

    /// The manager is to keep the descriptor that goes with this one. Without `FDPOLL=0` it would drop it at the first
    /// hang-up or error that it polls.
    pub(super) fn store(name: &Name) -> Self {
        Self(vec![("FDSTORE", "1".into()), ("FDNAME", name.to_string()), ("FDPOLL", "0".into())])
    }

    pub(super) fn remove(name: &Name) -> Self {
        Self(vec![("FDSTOREREMOVE", "1".into()), ("FDNAME", name.to_string())])
    }

    pub(super) fn barrier() -> Self {
        Self(vec![("BARRIER", "1".into())])
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn first(&self) -> &'static str {
        self.0.first().map_or("nothing", |(name, _)| name)
    }

    /// Whether it says anything that makes room.
    pub(super) fn supersedes(&self) -> bool {
        self.0.iter().any(|(name, _)| SUPERSEDED.contains(name))
    }

    /// Takes out what `newer` says anew.
    pub(super) fn make_room_for(&mut self, newer: &Self) {
        let is_said_anew = |name: &str| SUPERSEDED.contains(&name) && newer.0.iter().any(|(newer, _)| *newer == name);
        self.0.retain(|(name, _)| !is_said_anew(name));
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let lines: Vec<_> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        lines.join("\n").into_bytes()
    }

    fn push(&mut self, name: &'static str, value: String) {
        self.0.push((name, value));
    }
}

/// What came after a line's end would be a notice of its own, whoever wrote it: a socket's name, an error's text.
fn one_line(text: &str) -> String {
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.len() > STATUS_LIMIT {
        let end = (0..=STATUS_LIMIT).rev().find(|end| line.is_char_boundary(*end)).expect("0 is a boundary");
        line.truncate(end);
    }
    line
}

/// The clock by which the manager orders reloads. Linux has it since 2.6.
fn monotonic() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every kernel has a monotonic clock").into()
}

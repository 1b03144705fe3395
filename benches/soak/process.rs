//! A process that is never taken for another one.

use std::{fmt, fs};

use anyhow::Context;
use nix::{sys::signal::Signal, unistd::Pid};
use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};

/// A process that is never taken for another one: in an hour its number comes round again, but not with its birth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Process {
    pub(super) pid: Pid,
    /// In ticks since the machine began.
    born: u64,
}

/// What its line in `/proc` tells.
pub(super) struct Stat {
    pub(super) process: Process,
    pub(super) state: char,
    pub(super) parent: Pid,
}

impl Process {
    /// The one that has this number now; one that has ended and is buried is alive at no time.
    pub(super) fn now(pid: Pid) -> Self {
        stat(pid).map_or(Self { pid, born: u64::MAX }, |stat| stat.process)
    }

    /// Whoever asks.
    pub(super) fn me() -> Self {
        Self::now(Pid::this())
    }

    /// As it says itself.
    pub(super) fn said(text: &str) -> anyhow::Result<Self> {
        let (pid, born) = text.split_once('/').context("a number and a birth")?;
        Ok(Self { pid: Pid::from_raw(pid.parse()?), born: born.parse()? })
    }

    /// What it says of itself.
    pub(super) fn says(self) -> String {
        format!("{}/{}", self.pid, self.born)
    }

    pub(super) fn is_alive(self) -> bool {
        stat(self.pid).is_some_and(|stat| stat.process == self && stat.lives())
    }

    /// `false`: it has ended. Nobody else who has its number gets it: the handle is of one process, and is looked at after
    /// it was opened.
    pub(super) fn signal(self, signal: Signal) -> bool {
        let Some(pid) = rustix::process::Pid::from_raw(self.pid.as_raw()) else { return false };
        let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else { return false };
        let Some(signal) = rustix::process::Signal::from_named_raw(signal as i32) else { return false };
        self.is_alive() && pidfd_send_signal(handle, signal).is_ok()
    }

    /// Whether all of its threads stand still: they stop one after the other. `None`: it has ended.
    pub(super) fn stands_still(self) -> Option<bool> {
        if !self.is_alive() {
            return None;
        }
        let tasks = fs::read_dir(format!("/proc/{self}/task")).ok()?.flatten();
        // A thread that has just ended does nothing more either.
        let mut stats = tasks.filter_map(|task| read(&task.path().join("stat").to_string_lossy(), self.pid));
        Some(stats.all(|stat| stat.state == 'T' || !stat.lives()))
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pid.fmt(f)
    }
}

impl Stat {
    pub(super) fn lives(&self) -> bool {
        !matches!(self.state, 'Z' | 'X')
    }
}

/// Of all processes there are.
pub(super) fn all() -> anyhow::Result<Vec<Stat>> {
    let numbers = fs::read_dir("/proc")?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(numbers.filter_map(|number| stat(Pid::from_raw(number))).collect())
}

fn stat(pid: Pid) -> Option<Stat> {
    read(&format!("/proc/{pid}/stat"), pid)
}

fn read(path: &str, pid: Pid) -> Option<Stat> {
    let stat = fs::read_to_string(path).ok()?;
    // The third field is the state, the fourth the parent, and the 22nd the birth.
    let fields: Vec<_> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let parent = Pid::from_raw(fields.get(1)?.parse().ok()?);
    let process = Process { pid, born: fields.get(19)?.parse().ok()? };
    Some(Stat { process, state: fields.first()?.chars().next()?, parent })
}

use std::{fs, time::Duration};

use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::{Pid, getpgid},
};

use crate::process::cpu_time;

/// All processes that have come of one: they end with this, on every path. `None`: they have ended.
pub(super) struct Group(Option<Pid>);

impl Group {
    /// Of a process that leads one.
    pub(super) fn of(leader: Pid) -> Self {
        Self(Some(leader))
    }

    /// What all of them have used until now. Of one that has ended nothing is known.
    pub(super) fn cpu_time(&self) -> anyhow::Result<Duration> {
        let mut all = Duration::ZERO;
        for entry in fs::read_dir("/proc")? {
            let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            if getpgid(Some(Pid::from_raw(pid))).ok() == self.0 {
                all += cpu_time(pid.try_into()?)?;
            }
        }
        Ok(all)
    }

    /// Nobody is left, and the number may soon be another's.
    pub(super) fn ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // It fails where nobody is left, and that is what it is for.
            let _ = killpg(leader, Signal::SIGKILL);
        }
    }
}

/// Sends it to one process.
pub(super) fn signal(pid: Pid, signal: Signal) -> anyhow::Result<()> {
    Ok(kill(pid, signal)?)
}

use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};

/// All processes that have come of one: they end with this, on every path.
pub(super) struct Group(Pid);

impl Group {
    /// Of a process that leads one.
    pub(super) fn of(leader: Pid) -> Self {
        Self(leader)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // It fails where nobody is left, and that is what it is for.
        let _ = killpg(self.0, Signal::SIGKILL);
    }
}

/// Sends it to one process.
pub(super) fn signal(pid: Pid, signal: Signal) -> anyhow::Result<()> {
    Ok(kill(pid, signal)?)
}

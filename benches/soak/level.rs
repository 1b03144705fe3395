//! What the serving generation has, and whether it becomes more.

use anyhow::Context;
use nix::unistd::Pid;

use super::{book::Book, held::Held, support::resident};

/// What the serving generation has when nothing is under way, and whether it becomes more from one to the next.
#[derive(Clone, Debug, Default)]
pub(super) struct Level {
    looks: u32,
    /// The most in the first looks.
    warm: Stock,
    pub(super) peak: Stock,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stock {
    /// Descriptors that are no client's connection.
    pub(super) descriptors: usize,
    pub(super) threads: usize,
    /// In KiB.
    pub(super) memory: u64,
}

impl Level {
    /// Until then all caches are full, and all pools have their threads.
    const WARM: u32 = 3;
    /// A generation has a handle of each earlier one that was alive when it began, and lets go of those that have ended only
    /// when it is asked for a restart: so up to as many as may drain at a time (`max_draining`), also when none is left.
    const EARLIER: usize = 8;

    pub(super) fn look(&mut self, pid: Pid, held: &Held, book: &Book) -> anyhow::Result<String> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let threads = status.lines().find_map(|line| line.strip_prefix("Threads:")).context("no threads")?;
        let memory = resident(pid.as_raw().unsigned_abs())? / 1024;
        let now = Stock { descriptors: held.others, threads: threads.trim().parse()?, memory };
        self.looks += 1;
        self.peak = self.peak.most(now);
        if self.looks <= Self::WARM {
            self.warm = self.warm.most(now);
        } else {
            let Stock { descriptors, threads, memory } = self.warm;
            let bounds = Stock {
                descriptors: descriptors + 3 + Self::EARLIER,
                threads: threads + 8,
                memory: memory * 3 / 2 + 16 * 1024,
            };
            if now.descriptors > bounds.descriptors || now.threads > bounds.threads || now.memory > bounds.memory {
                book.violated(format!(
                    "no generation has more than those before it: {now:?}, and at first {:?}",
                    self.warm
                ));
            }
        }
        let clients = held.clients.len() + held.unix;
        Ok(format!(
            "{} descriptors beside {clients} clients, {} threads, {} KiB",
            now.descriptors, now.threads, now.memory
        ))
    }
}

impl Stock {
    fn most(self, other: Self) -> Self {
        Self {
            descriptors: self.descriptors.max(other.descriptors),
            threads: self.threads.max(other.threads),
            memory: self.memory.max(other.memory),
        }
    }
}

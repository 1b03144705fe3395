//! Successors that may serve, and are not wanted any more.

use std::{future::poll_fn, os::fd::AsFd, task::Poll};

use tokio::{
    io::unix::AsyncFd,
    time::{Instant, sleep_until},
};

use super::{DEATH, Successor};
use crate::sys;

/// Foreign successors that were told to end, or have said that they do. They have accepted from their first moment on, so
/// each has a time to finish what it has begun. One that takes longer is killed: with its duplicates of the listeners it would
/// let clients wait whom nobody serves, long after this process.
#[derive(Debug, Default)]
pub(crate) struct Lingering(Vec<Ending>);

#[derive(Debug)]
struct Ending {
    process: AsyncFd<sys::Process>,
    until: Instant,
    killed: bool,
}

impl Lingering {
    /// One that has ended already, or was never started, is not waited for.
    pub(crate) fn add(&mut self, successor: Successor, until: Instant) {
        self.0.extend(successor.into_process().map(|process| Ending { process, until, killed: false }));
    }

    /// Whether none is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Nothing gets any time any more.
    pub(crate) fn cut(&mut self) {
        self.kill(|_| true);
    }

    /// Until there is one less. Cancel safe.
    pub(crate) async fn next(&mut self) {
        loop {
            let due = self.0.iter().map(|it| it.until).min();
            let ended = poll_fn(|context| {
                // An error means that the reactor is gone, and then nothing is awaited any more.
                let ended = self.0.iter().position(|it| it.process.poll_read_ready(context).is_ready());
                ended.map_or(Poll::Pending, Poll::Ready)
            });
            let over = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                ended = ended => {
                    self.0.swap_remove(ended).process.get_ref().reap();
                    return;
                }
                () = over => {
                    let (now, before) = (Instant::now(), self.0.len());
                    self.0.retain(|it| !(it.killed && it.until <= now));
                    if self.0.len() < before {
                        crate::log::warn!("a successor that was killed hangs in the kernel: it is not waited for");
                        return;
                    }
                    self.kill(|it| it.until <= now);
                }
            }
        }
    }

    fn kill(&mut self, which: impl Fn(&Ending) -> bool) {
        for ending in self.0.iter_mut().filter(|it| !it.killed && which(it)) {
            if !sys::has_ended(ending.process.get_ref().as_fd()) {
                let pid = ending.process.get_ref().pid();
                crate::log::warn!(successor_pid = pid, "a successor that was told to end has not: it is killed");
            }
            ending.process.get_ref().kill();
            ending.killed = true;
            ending.until = Instant::now() + DEATH;
        }
    }
}

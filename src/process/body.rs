//! The successor's process, as far as this one has to do with it.

use std::{
    os::fd::{AsFd, OwnedFd},
    process::ExitStatus,
    thread,
    time::Duration,
};

use tokio::{
    io::unix::AsyncFd,
    sync::oneshot::{self, error::RecvError},
    time::timeout,
};

use crate::{Error, ErrorKind, sys};

/// How long a successor that another process reaps may be a zombie before it is said to have ended, nobody knows how.
const STATUS: Duration = Duration::from_millis(500);

/// How long a killed process may take to be dead. Only one that hangs in the kernel takes longer.
pub(crate) const DEATH: Duration = Duration::from_secs(5);

/// What the spawning thread has brought. `RecvError`: it has ended without a word.
pub(super) type Spawned = Result<Result<sys::Process, Error>, RecvError>;

#[derive(Debug)]
pub(super) enum Body {
    /// A thread of its own is about to start it.
    Spawning(oneshot::Receiver<Result<sys::Process, Error>>),
    Alive(AsyncFd<sys::Process>),
    /// Somebody else has started it, and the loop does not know yet that it is there.
    Come,
    /// The same, and the loop knows. It is neither ours to kill nor to reap, and only its channel tells that it has ended.
    Elsewhere,
    Gone,
}

impl Body {
    /// Runs `start` on a thread of its own, because it suspends its caller until the exec.
    pub(super) fn spawn(start: impl FnOnce() -> Result<sys::Process, Error> + Send + 'static) -> Result<Self, Error> {
        let (tell, spawned) = oneshot::channel();
        thread::Builder::new()
            .name("hotrestart-spawn".into())
            .spawn(move || {
                // Nobody waits any more: this generation has ended, and the successor must not outlive it unknown.
                if let Err(Ok(process)) = tell.send(start()) {
                    process.end();
                }
            })
            .map_err(|error| Error::io(ErrorKind::Spawn, "start a thread for the spawn", error))?;
        Ok(Self::Spawning(spawned))
    }

    /// What the spawning thread has brought: its pid.
    pub(super) fn settle(&mut self, spawned: Spawned) -> Result<u32, Error> {
        *self = Self::Gone;
        let process = spawned.map_err(|_| Error::new(ErrorKind::Spawn, "the spawning thread ended"))??;
        let pid = process.pid();
        match sys::watch(process) {
            Ok(process) => *self = Self::Alive(process),
            Err((process, error)) => {
                end_aside(process);
                return Err(Error::io(ErrorKind::Spawn, "watch the successor's process", error));
            }
        }
        Ok(pid)
    }

    /// Its end, and its status if that comes soon.
    ///
    /// # Cancel safety
    ///
    /// It can be waited for again.
    pub(super) async fn end(process: &AsyncFd<sys::Process>) {
        if !sys::has_ended(process.get_ref().as_fd()) {
            // An error means that the reactor is gone, and then nothing is awaited any more.
            let _ = process.readable().await;
        }
        let reaped = async {
            while process.get_ref().awaits_its_reaper() {
                let Ok(mut ready) = process.readable().await else {
                    return;
                };
                // What came since it was ready is not cleared with it.
                ready.clear_ready();
            }
        };
        if timeout(STATUS, reaped).await.is_err() {
            crate::log::debug!("nobody has reaped the successor: how it ended remains unknown");
        }
    }

    /// Whether it has ended by now, though the reactor may not have heard of it.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self, Self::Alive(process) if sys::has_ended(process.get_ref().as_fd()))
    }

    /// Of one that lives, or is a zombie.
    pub(super) fn pid(&self) -> Option<u32> {
        match self {
            Self::Alive(process) => Some(process.get_ref().pid()),
            _ => None,
        }
    }

    /// How it ended, if that can be known here.
    pub(super) fn reap(&self) -> Option<ExitStatus> {
        match self {
            Self::Alive(process) => process.get_ref().reap(),
            _ => None,
        }
    }

    /// Which is readable once it has ended.
    pub(super) fn handle(&self) -> Option<OwnedFd> {
        match self {
            // Without a descriptor to spare nobody waits for it.
            Self::Alive(process) => process.get_ref().as_fd().try_clone_to_owned().ok(),
            _ => None,
        }
    }

    /// SIGKILL, to it alone.
    pub(super) fn kill(&self) {
        if let Self::Alive(process) = self {
            process.get_ref().kill();
        }
    }

    /// SIGTERM.
    pub(super) fn terminate(&self) {
        if let Self::Alive(process) = self {
            process.get_ref().terminate();
        }
    }

    /// Says the last, and leaves it to itself; its zombie is reaped when it ends.
    pub(super) async fn outlast(self, farewell: impl Future<Output = ()>) {
        match &self {
            // A helper of its own may hold the channel open, and read nothing.
            Self::Alive(process) => tokio::select! {
                () = farewell => {}
                () = Self::end(process) => {}
            },
            _ => farewell.await,
        }
        match self {
            Self::Spawning(spawned) => {
                if let Ok(Ok(process)) = spawned.await {
                    end_aside(process);
                }
            }
            Self::Alive(process) => {
                // An error means that the runtime ends, and then the system reaps it.
                let _ = process.readable().await;
                process.get_ref().reap();
            }
            Self::Come | Self::Elsewhere | Self::Gone => {}
        }
    }
}

/// On a thread, because it waits. Without one it is killed all the same, and stays a zombie until this process ends.
fn end_aside(process: sys::Process) {
    process.kill();
    if let Err(error) = thread::Builder::new().name("hotrestart-end".into()).spawn(move || process.end()) {
        crate::log::warn!(%error, "start a thread to reap a successor");
    }
}

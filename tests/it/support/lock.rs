//! A lock that only one generation may have, held by the server under test as `examples/lock.rs` holds it.

use std::{
    env,
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};
use tokio::time::{MissedTickBehavior, interval};
use tokio_hotrestart::{Graceful, hooks::Hook};

use super::server::say;

/// Whether anybody holds it.
#[track_caller]
pub fn is_held(path: &Path) -> bool {
    taken(path).is_none()
}

fn taken(path: &Path) -> Option<Flock<File>> {
    let file = File::options().create(true).truncate(false).write(true).open(path).expect("a place for it");
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Some(lock),
        Err((_, error)) => {
            assert_eq!(error, Errno::EWOULDBLOCK);
            None
        }
    }
}

/// `HR_LOCK=<path>`: held before `ready` in generation 0, in another one when that has returned, and given up when a
/// successor is about to be confirmed. Whoever holds it says `locked …`, and before it gives it up `unlocked …`.
#[derive(Clone, Debug)]
pub struct Lock {
    path: PathBuf,
    generation: u64,
    held: Arc<Mutex<Option<Flock<File>>>>,
}

impl Lock {
    pub fn of_environment(graceful: &Graceful) -> Option<Self> {
        let path = env::var_os("HR_LOCK")?.into();
        let lock = Self { path, generation: graceful.generation(), held: Arc::default() };
        let (released, taken_back) = (lock.clone(), lock.clone());
        graceful.hook(Hook::before_commit(
            "lock",
            move || {
                released.release();
                std::future::ready(Ok::<_, String>(()))
            },
            move || {
                let lock = taken_back.clone();
                async move {
                    lock.take().await;
                    Ok::<_, String>(())
                }
            },
        ));
        Some(lock)
    }

    pub async fn take(&self) {
        let mut again = interval(Duration::from_millis(5));
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            again.tick().await;
            let mut held = self.held.lock().expect("no panic");
            if held.is_none() {
                *held = taken(&self.path);
            }
            if held.is_some() {
                // While it is held: so the order of these lines is the order of the holders.
                return say(format_args!("locked generation={} pid={}", self.generation, std::process::id()));
            }
        }
    }

    fn release(&self) {
        let held = self.held.lock().expect("no panic").take().expect("it is held");
        say(format_args!("unlocked generation={} pid={}", self.generation, std::process::id()));
        drop(held);
    }
}

//! A control path: servers that are started with it, and the operators who ask there.

use std::{
    io,
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use tempfile::TempDir;
use tokio_hotrestart::{
    Error, Successor,
    control::{self, Stopped},
    status::Status,
};

use super::{Fleet, Setup};

/// A bound for a broken run, and never part of what is tested.
const PATIENCE: Duration = Duration::from_secs(60);

/// A path in a place of its own.
#[derive(Debug)]
pub struct Control(TempDir);

impl Control {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    pub fn path(&self) -> PathBuf {
        self.0.path().join("control")
    }

    /// A server that is met there. Whoever is there already is its predecessor.
    pub fn setup(&self) -> Setup {
        Setup::new().with("CONTROL", self.path())
    }

    /// The first generation, ready.
    pub fn start(&self) -> Fleet {
        self.setup().start()
    }

    /// How the server there is.
    #[track_caller]
    pub fn status(&self) -> Status {
        status(&self.path())
    }

    /// The same in few words: its generation and its state.
    #[track_caller]
    pub fn now(&self) -> (u64, String) {
        let status = self.status();
        (status.generation, status.state)
    }

    pub fn restart(&self) -> Result<Successor, Error> {
        wait(control::restart(self.path()))
    }

    pub fn stop(&self) -> Result<Stopped, Error> {
        wait(control::stop(self.path()))
    }

    /// Somebody who connects, and has not said yet what is wanted.
    #[track_caller]
    pub fn connect(&self) -> UnixStream {
        let visitor = UnixStream::connect(self.path()).expect("somebody listens there");
        visitor.set_read_timeout(Some(PATIENCE)).expect("set");
        visitor
    }

    /// The place and what lies at the path, for other users too.
    pub fn open_to_all(&self) {
        for path in [self.0.path(), &self.path()] {
            if path.exists() {
                std::fs::set_permissions(path, PermissionsExt::from_mode(0o777)).expect("ours");
            }
        }
    }
}

#[track_caller]
pub fn status(path: &Path) -> Status {
    wait(control::status(path)).unwrap_or_else(|error| panic!("no status: {:?}: {error}", error.kind()))
}

/// For tests that are not async themselves.
#[track_caller]
pub fn wait<T>(answer: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let answer = async { tokio::time::timeout(PATIENCE, answer).await };
    runtime.expect("a runtime").block_on(answer).expect("an answer")
}

/// Somebody who looks all the while whether the path is there and somebody listens at it.
#[derive(Debug)]
pub struct Prober {
    over: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<usize>>,
}

impl Prober {
    pub fn on(path: PathBuf) -> Self {
        let over = Arc::<AtomicBool>::default();
        let told = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let mut met = 0;
            while !told.load(Ordering::Relaxed) {
                drop(UnixStream::connect(&path)?);
                met += 1;
                // Not as fast as possible: all tests share the machine.
                std::thread::park_timeout(Duration::from_millis(1));
            }
            Ok(met)
        });
        Self { over, thread }
    }

    /// Off. It has met somebody each time.
    #[track_caller]
    pub fn off(self) {
        self.over.store(true, Ordering::Relaxed);
        let met = self.thread.join().expect("no panic").expect("somebody is there at any time");
        assert!(met > 0);
    }
}

//! A named pipe at which a process waits until the test lets it go on.

use std::{
    fs::OpenOptions,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use nix::{fcntl::OFlag, sys::stat::Mode, unistd::mkfifo};

use super::{Setup, process};

#[derive(Debug)]
pub struct Fifo(PathBuf);

impl Fifo {
    /// A server whose generations wait before they are ready, each until it is released.
    pub fn before_ready() -> (Self, Setup) {
        let setup = Setup::new();
        let fifo = Self::new(setup.place().join("fifo"));
        let setup = setup.with("FIFO", fifo.path());
        (fifo, setup)
    }

    pub fn new(path: PathBuf) -> Self {
        mkfifo(&path, Mode::S_IRWXU).expect("made");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// In the server under test: until the test has opened and closed its end.
    pub async fn wait(path: impl AsRef<Path> + Send + 'static) {
        tokio::task::spawn_blocking(|| std::fs::read(path)).await.expect("no panic").expect("a FIFO");
    }

    /// The same at the one of `HR_HOLD`.
    pub async fn hold() {
        Self::wait(std::env::var_os("HR_HOLD").expect("where it waits")).await;
    }

    /// Waits until somebody waits there, and lets it go on.
    pub fn release(&self) {
        let mut open = OpenOptions::new();
        open.write(true).custom_flags(OFlag::O_NONBLOCK.bits());
        process::until(|| open.open(&self.0).is_ok());
    }
}

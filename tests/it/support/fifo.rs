//! A named pipe at which a process waits until the test lets it go on.

use std::{
    fs::OpenOptions,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use nix::{fcntl::OFlag, sys::stat::Mode, unistd::mkfifo};

use super::process;

#[derive(Debug)]
pub struct Fifo(PathBuf);

impl Fifo {
    pub fn new(path: PathBuf) -> Self {
        mkfifo(&path, Mode::S_IRWXU).expect("made");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Waits until somebody waits there, and lets it go on.
    pub fn release(&self) {
        let mut open = OpenOptions::new();
        open.write(true).custom_flags(OFlag::O_NONBLOCK.bits());
        process::until(|| open.open(&self.0).is_ok());
    }
}

//! A named pipe at which a process waits until the test lets it go on.

use std::{
    fs::OpenOptions,
    path::{Path, PathBuf},
};

use nix::{sys::stat::Mode, unistd::mkfifo};

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
        drop(OpenOptions::new().write(true).open(&self.0).expect("opened"));
    }
}

//! What the server's program file is: something that can be swapped under it, as a deploy does.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use tempfile::TempDir;

/// A directory with a symlink `current`, which is the server's program: flipped by rename, as deploys do.
#[derive(Debug)]
pub struct Release {
    place: TempDir,
}

impl Release {
    /// Leads to this test binary.
    pub fn new() -> Self {
        let release = Self { place: tempfile::tempdir().expect("a temporary directory") };
        release.good();
        release
    }

    pub fn path(&self) -> &Path {
        self.place.path()
    }

    pub fn current(&self) -> PathBuf {
        self.path().join("current")
    }

    /// The next restart starts the same server again.
    pub fn good(&self) {
        self.flip(&std::env::current_exe().expect("this binary"));
    }

    /// The next restart runs this shell script.
    pub fn script(&self, body: &str) {
        let path = self.path().join("script");
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("made executable");
        self.flip(&path);
    }

    /// The next restart finds a file with these contents and this mode.
    pub fn file(&self, contents: &[u8], mode: u32) {
        let path = self.path().join("file");
        fs::write(&path, contents).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its mode set");
        self.flip(&path);
    }

    /// The next restart finds nothing.
    pub fn missing(&self) {
        self.flip(&self.path().join("nothing"));
    }

    fn flip(&self, to: &Path) {
        let beside = self.path().join("next");
        symlink(to, &beside).expect("linked");
        fs::rename(&beside, self.current()).expect("flipped");
    }
}

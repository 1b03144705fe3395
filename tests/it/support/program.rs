//! What the server's program file is: something that can be swapped under it, as a deploy does.

use std::{
    fs,
    io::Write,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
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
        write_program(&path, format!("#!/bin/sh\n{body}\n").as_bytes(), 0o755);
        self.flip(&path);
    }

    /// The next restart runs these lines of shell, which may change the environment, and then the same server.
    pub fn after(&self, lines: &str) {
        self.script(&format!("{lines}\n{}", again()));
    }

    /// The next restart finds a file with these contents and this mode.
    pub fn file(&self, contents: &[u8], mode: u32) {
        let path = self.path().join("file");
        write_program(&path, contents, mode);
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

/// The line of shell that becomes the server.
pub fn again() -> String {
    format!("exec '{}' server --exact --ignored --nocapture --test-threads=1 --quiet", this().display())
}

pub fn this() -> PathBuf {
    std::env::current_exe().expect("this binary")
}

/// By a process of its own: a child that another test forks while we hold the file open for writing would keep it open,
/// and what is open for writing can't be executed (ETXTBSY).
pub fn write_program(path: &Path, contents: &[u8], mode: u32) {
    let beside = path.with_extension("written");
    let mut shell = Command::new("sh")
        .args(["-c", "rm -f \"$0\" && cat > \"$0\" && chmod \"$1\" \"$0\" && mv -f \"$0\" \"$2\""])
        .args([beside.as_os_str(), format!("{mode:o}").as_ref(), path.as_os_str()])
        .stdin(Stdio::piped())
        .spawn()
        .expect("a shell");
    shell.stdin.take().expect("piped").write_all(contents).expect("it reads");
    assert!(shell.wait().expect("our child").success(), "written");
}

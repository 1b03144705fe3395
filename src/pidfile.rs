//! The pid file: names the ready generation, and is never seen half written.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process,
};

use crate::{Error, ErrorKind};

#[derive(Clone, Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
}

impl PidFile {
    /// Absolute, because the process may stand elsewhere when it writes again.
    pub(crate) fn new(path: &Path) -> Result<Self, Error> {
        let path = std::path::absolute(path).map_err(|error| failed("find", path, error))?;
        Ok(Self { path })
    }

    /// Beside it, then renamed over it: a reader finds the old pid or the new one, and never none.
    pub(crate) fn write(&self, pid: u32) -> Result<(), Error> {
        if self.names(pid) {
            return Ok(());
        }
        // As root it would rename over a device just as well, or over `/dev/stdout`, which leads to one.
        if fs::metadata(&self.path).is_ok_and(|it| !it.is_file()) {
            return Err(failed("write", &self.path, io::Error::other("something lies there that is no file")));
        }
        let mut beside = self.path.clone().into_os_string();
        beside.push(format!(".{}", process::id()));
        let written = write_anew(beside.as_ref(), pid).and_then(|()| fs::rename(&beside, &self.path));
        written.map_err(|error| {
            // What could be written of it is no use to anybody; the error to tell is the first one.
            let _ = fs::remove_file(&beside);
            failed("write", &self.path, error)
        })
    }

    /// At the end, unless it names another process by now.
    pub(crate) fn remove_if_ours(&self) {
        if !self.names(process::id()) {
            return;
        }
        if let Err(error) = fs::remove_file(&self.path) {
            crate::log::warn!(path = %self.path.display(), %error, "remove the pid file");
        }
    }

    /// A pipe in its place would never be read to its end.
    fn names(&self, pid: u32) -> bool {
        let is_file = fs::metadata(&self.path).is_ok_and(|it| it.is_file());
        is_file && fs::read_to_string(&self.path).is_ok_and(|text| text.trim().parse() == Ok(pid))
    }
}

/// A file of our own: in a directory that others may write to, a link may lie at a name that can be guessed.
fn write_anew(path: &Path, pid: u32) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    writeln!(fs::OpenOptions::new().write(true).create_new(true).open(path)?, "{pid}")
}

fn failed(what: &str, path: &Path, error: io::Error) -> Error {
    Error::io(ErrorKind::PidFile, format!("{what} the pid file {}", path.display()), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_process_that_it_names_removes_it() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("server.pid");
        let file = PidFile::new(&path).unwrap();
        file.write(1).unwrap();
        file.remove_if_ours();
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n");
        file.write(process::id()).unwrap();
        file.remove_if_ours();
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0, "nothing is left beside it either");
    }

    #[test]
    fn what_is_no_file_is_neither_read_nor_replaced() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("server.pid");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let file = PidFile::new(&path).unwrap();
        assert_eq!(file.write(1).unwrap_err().kind(), ErrorKind::PidFile);
        file.remove_if_ours();
        assert!(path.exists());
        let link = place.path().join("link.pid");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(PidFile::new(&link).unwrap().write(1).unwrap_err().kind(), ErrorKind::PidFile);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink(), "left as it was");
    }

    #[test]
    fn a_missing_directory_is_an_error_that_names_the_file() {
        let file = PidFile::new(Path::new("/nonexistent/server.pid")).unwrap();
        let error = file.write(1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PidFile);
        assert!(error.to_string().contains("/nonexistent/server.pid"), "{error}");
    }
}

//! What a restart starts: the program *file* of this process, as it is then.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use nix::unistd::AccessFlags;

use super::{
    VARIABLE,
    handoff::{is_for_a_successor, is_handoff},
};
use crate::{Error, ErrorKind, name::Name, sys};

/// Captured once at start-up, because later the file may have been replaced, the directory changed, and `/proc` says
/// `(deleted)`.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
    directory: PathBuf,
    /// What "." was, so that a directory that has been deleted is inherited rather than looked for.
    here: Option<(u64, u64)>,
    image: Option<Stamp>,
}

/// By which a file is known to be the same and unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let file = fs::metadata(path).ok()?;
        let modified = (file.mtime(), file.mtime_nsec());
        Some(Self { device: file.dev(), inode: file.ino(), length: file.len(), modified })
    }

    fn is_file(&self, path: &Path) -> bool {
        Self::of(path).is_some_and(|other| (other.device, other.inode) == (self.device, self.inode))
    }
}

impl Program {
    /// This process's own program, arguments and directory.
    pub(crate) fn of_this_process() -> Result<Self, Error> {
        let arguments: Vec<_> = env::args_os().collect();
        let directory =
            working_directory().map_err(|error| Error::io(ErrorKind::Spawn, "find the working directory", error))?;
        let image = Stamp::of(Path::new("/proc/self/exe"));
        let path = arguments
            .first()
            .and_then(|argument| as_started(argument, &directory, image.as_ref()?))
            .map_or_else(|| kernels_name("/proc/self/exe"), Ok)
            .map_err(|error| Error::io(ErrorKind::Spawn, "find this process's program", error))?;
        let here = place(HERE);
        Ok(Self { path, arguments, directory, here, image })
    }

    /// Another program, relative to the directory of start-up; the arguments stay.
    pub(crate) fn with_program(mut self, program: &OsStr) -> Self {
        self.path = self.directory.join(program);
        if self.arguments.is_empty() {
            self.arguments.push(program.to_owned());
        }
        self.arguments[0] = program.to_owned();
        self
    }

    /// Other arguments after the program's own name.
    pub(crate) fn with_arguments(mut self, arguments: Vec<OsString>) -> Self {
        self.arguments.truncate(1);
        self.arguments.extend(arguments);
        self
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Device and inode of the running image.
    pub(crate) fn image(&self) -> Option<(u64, u64)> {
        self.image.as_ref().map(|image| (image.device, image.inode))
    }

    /// Whether a restart would start the very file that runs already.
    pub(crate) fn is_unchanged(&self) -> bool {
        self.image.is_some() && Stamp::of(&self.path) == self.image
    }

    /// With the environment as it is now, less what was meant for this process only.
    pub(super) fn command(&self, channel: String) -> Result<sys::Command, Error> {
        let mut environment: Vec<_> = env::vars_os().filter(|(name, value)| is_for_a_successor(name, value)).collect();
        environment.push((VARIABLE.into(), channel.into()));
        Ok(sys::Command {
            program: self.path.clone(),
            arguments: self.arguments.clone(),
            environment,
            directory: self.directory_to_enter()?,
        })
    }

    /// The same for a program that knows only how systemd passes sockets. `LISTEN_PID` must be its own pid, and must be there
    /// before anybody knows it: so a shell says its own, and then becomes the program.
    pub(super) fn foreign_command(&self, names: &[Name], notify: OsString) -> Result<sys::Command, Error> {
        let mut environment: Vec<_> = env::vars_os().filter(|(name, _)| !is_handoff(name)).collect();
        let names: Vec<_> = names.iter().map(Name::as_str).collect();
        environment.push(("LISTEN_FDS".into(), names.len().to_string().into()));
        environment.push(("LISTEN_FDNAMES".into(), names.join(":").into()));
        environment.push(("NOTIFY_SOCKET".into(), notify));
        let shell = [SHELL, "-c", "export LISTEN_PID=$$; exec \"$0\" \"$@\""].map(OsString::from);
        let program = [self.path.clone().into_os_string()];
        let arguments = self.arguments.iter().skip(1).cloned();
        Ok(sys::Command {
            program: SHELL.into(),
            arguments: shell.into_iter().chain(program).chain(arguments).collect(),
            environment,
            directory: self.directory_to_enter()?,
        })
    }

    /// Asked before a shell is started, which would only say with which status it has failed.
    pub(super) fn can_be_started(&self) -> Result<(), Error> {
        nix::unistd::access(&self.path, AccessFlags::X_OK).map_err(|error| self.not_started(error.into()))
    }

    pub(super) fn shell_not_started(error: io::Error) -> Error {
        let what = format!("start {SHELL}, which tells a foreign successor its own pid");
        match error.kind() {
            io::ErrorKind::Unsupported => Error::io(ErrorKind::Unsupported, what, error),
            _ => Error::io(ErrorKind::Spawn, what, error),
        }
    }

    /// `None`: this process stands in it, and the successor inherits it, although it has been deleted, or may no longer be
    /// entered by a process that has given its privileges up.
    fn directory_to_enter(&self) -> Result<Option<PathBuf>, Error> {
        let (here, there) = (place(HERE), place(&self.directory));
        if here.is_some() && (here == there || there.is_none() && here == self.here) {
            return Ok(None);
        }
        if self.directory.is_dir() {
            return Ok(Some(self.directory.clone()));
        }
        let what = format!("the working directory of start-up is gone: {}", self.directory.display());
        Err(Error::new(ErrorKind::Spawn, what))
    }

    /// What the system said when it did not start, as the operator needs to read it.
    pub(super) fn not_started(&self, error: io::Error) -> Error {
        let path = self.path.display();
        match error.raw_os_error() {
            Some(libc::ENOENT) if self.path.exists() => {
                let what = format!("start {path}: the file is there, but the interpreter that it names is missing");
                Error::io(ErrorKind::InterpreterMissing, what, error)
            }
            Some(libc::ENOENT | libc::ENOTDIR) => Error::io(ErrorKind::ProgramMissing, format!("start {path}"), error),
            Some(libc::EACCES | libc::EPERM) => Error::io(ErrorKind::NotExecutable, format!("start {path}"), error),
            Some(libc::ENOEXEC) => Error::io(ErrorKind::NotAProgram, format!("start {path}"), error),
            _ if error.kind() == io::ErrorKind::Unsupported => {
                Error::io(ErrorKind::Unsupported, format!("start {path}"), error)
            }
            _ => Error::io(ErrorKind::Spawn, format!("start {path}"), error),
        }
    }
}

/// What POSIX promises to be there, and a container from scratch does not have.
const SHELL: &str = "/bin/sh";

/// The working directory, which `.` names only for who may search it.
const HERE: &str = "/proc/self/cwd";

fn place(path: impl AsRef<Path>) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

/// As the shell sees it: a release directory that is a symlink (`/srv/app/current`) keeps its name, so that a flipped
/// link is followed at the next restart. One that has been deleted is still where this process stands.
fn working_directory() -> io::Result<PathBuf> {
    let physical = env::current_dir().or_else(|_| kernels_name(HERE))?;
    let logical = env::var_os("PWD").map(PathBuf::from).filter(|path| path.is_absolute());
    let same = |path: &PathBuf| Stamp::of(&physical).is_some_and(|here| here.is_file(path));
    Ok(logical.filter(same).unwrap_or(physical))
}

/// The name under which this process was started, if it still leads to the running image: made absolute, symlinks and
/// all, so that what is renamed over it or linked there later is what starts.
fn as_started(argument: &OsStr, directory: &Path, image: &Stamp) -> Option<PathBuf> {
    let candidates = match argument.as_bytes().contains(&b'/') {
        true => vec![directory.join(argument)],
        false => {
            let search = env::var_os("PATH")?;
            env::split_paths(&search).map(|place| directory.join(place).join(argument)).collect()
        }
    };
    candidates.into_iter().find(|path| image.is_file(path))
}

/// What the kernel says. What was deleted before we looked is called `… (deleted)`.
fn kernels_name(link: &str) -> io::Result<PathBuf> {
    let path = fs::read_link(link)?;
    if path.exists() {
        return Ok(path);
    }
    let name = path.as_os_str().as_bytes();
    Ok(OsStr::from_bytes(name.strip_suffix(b" (deleted)").unwrap_or(name)).into())
}

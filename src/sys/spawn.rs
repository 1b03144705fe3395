//! `posix_spawn`: a new program, without copying this process.

use std::{
    ffi::{CString, OsStr, OsString},
    io, mem,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
    ptr,
};

use nix::unistd::Pid;

use super::{Process, descriptor::number};

/// What to run. Every descriptor is close-on-exec but for the two that it maps.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) program: PathBuf,
    /// With the program's own name as the first.
    pub(crate) arguments: Vec<OsString>,
    pub(crate) environment: Vec<(OsString, OsString)>,
    /// `None`: this process's own.
    pub(crate) directory: Option<PathBuf>,
}

/// Starts it, with `channel` under its own number and `stderr` as descriptor 2.
///
/// It suspends the calling thread until the exec is done (1 to 9 ms with a cold binary), so call it on a thread of its
/// own. Errors of exec come back as what they are (`ENOENT`, `EACCES`, `ENOEXEC`).
pub(crate) fn spawn(command: &Command, channel: BorrowedFd<'_>, stderr: Option<BorrowedFd<'_>>) -> io::Result<Process> {
    let program = c_string(command.program.as_os_str())?;
    let arguments = command.arguments.iter().map(|a| c_string(a)).collect::<io::Result<Vec<_>>>()?;
    let environment = command.environment.iter().map(c_pair).collect::<io::Result<Vec<_>>>()?;

    let mut actions = Actions::new()?;
    if let Some(directory) = &command.directory {
        actions.change_directory(directory)?;
    }
    if let Some(stderr) = stderr {
        actions.map(number(&stderr), libc::STDERR_FILENO)?;
    }
    // Mapped onto itself: clears close-on-exec in the child only (glibc from 2.29, musl from 1.1).
    actions.map(number(&channel.as_fd()), number(&channel.as_fd()))?;
    let mut attributes = Attributes::with_default_sigpipe()?;
    if leads_a_terminal() {
        attributes.in_a_group_of_its_own()?;
    }

    let mut pid: libc::pid_t = 0;
    let arguments = null_ended(&arguments);
    let environment = null_ended(&environment);
    // SAFETY: every pointer leads to a value that outlives the call; both arrays end with a null pointer and their
    // strings with a null byte. posix_spawn does not write through any of them but `pid`.
    let code = unsafe {
        libc::posix_spawn(
            &raw mut pid,
            program.as_ptr(),
            &raw const actions.0,
            &raw const attributes.0,
            arguments.as_ptr(),
            environment.as_ptr(),
        )
    };
    check(code)?;
    let pid = Pid::from_raw(pid);
    Process::of_child(pid).inspect_err(|_| end_unwatched(pid))
}

/// Whether this process is the leader of a terminal's session (`tmux new ./server`): at its end the kernel sends SIGHUP to
/// the terminal's foreground group, and a successor in that group would die of a restart that went well. Everywhere else
/// the group stays one, for those who signal all of it.
fn leads_a_terminal() -> bool {
    nix::unistd::getsid(None) == Ok(nix::unistd::getpid()) && std::fs::File::open("/dev/tty").is_ok()
}

/// A child that can't be watched (no descriptor left for its pidfd) must not live on unseen.
fn end_unwatched(pid: Pid) {
    // It is our unreaped child, so the pid is surely its own; both can only say that it has ended already.
    let _ended = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
    let _reaped = nix::sys::wait::waitpid(pid, None);
}

struct Actions(libc::posix_spawn_file_actions_t);

impl Actions {
    fn new() -> io::Result<Self> {
        // SAFETY: all-zero bytes are a valid value of a C struct of integers and pointers; init overwrites it.
        let mut actions = Self(unsafe { mem::zeroed() });
        // SAFETY: the pointer leads to memory of the right type.
        check(unsafe { libc::posix_spawn_file_actions_init(&raw mut actions.0) })?;
        Ok(actions)
    }

    fn map(&mut self, from: i32, to: i32) -> io::Result<()> {
        // SAFETY: `self.0` is initialised.
        check(unsafe { libc::posix_spawn_file_actions_adddup2(&raw mut self.0, from, to) })
    }

    fn change_directory(&mut self, to: &Path) -> io::Result<()> {
        let to = c_string(to.as_os_str())?;
        // SAFETY: `self.0` is initialised, and the path is copied.
        check(unsafe { libc::posix_spawn_file_actions_addchdir_np(&raw mut self.0, to.as_ptr()) })
    }
}

impl Drop for Actions {
    fn drop(&mut self) {
        // SAFETY: `self.0` is initialised and not used again.
        unsafe { libc::posix_spawn_file_actions_destroy(&raw mut self.0) };
    }
}

struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    /// Rust ignores SIGPIPE, and exec keeps "ignored": a program that is no Rust program would never learn that its
    /// pipe is closed. Nothing else is reset.
    fn with_default_sigpipe() -> io::Result<Self> {
        // SAFETY: as in `Actions::new`.
        let mut attributes = Self(unsafe { mem::zeroed() });
        // SAFETY: the pointer leads to memory of the right type.
        check(unsafe { libc::posix_spawnattr_init(&raw mut attributes.0) })?;
        // SAFETY: all-zero is a valid sigset; sigemptyset overwrites it.
        let mut signals: libc::sigset_t = unsafe { mem::zeroed() };
        // SAFETY: the pointer leads to a sigset.
        unsafe { libc::sigemptyset(&raw mut signals) };
        // SAFETY: the set is initialised, and SIGPIPE is a signal.
        unsafe { libc::sigaddset(&raw mut signals, libc::SIGPIPE) };
        // SAFETY: both are initialised.
        check(unsafe { libc::posix_spawnattr_setsigdefault(&raw mut attributes.0, &raw const signals) })?;
        attributes.set_flags(libc::POSIX_SPAWN_SETSIGDEF)?;
        Ok(attributes)
    }

    fn in_a_group_of_its_own(&mut self) -> io::Result<()> {
        // SAFETY: `self.0` is initialised; 0 means the child's own pid.
        check(unsafe { libc::posix_spawnattr_setpgroup(&raw mut self.0, 0) })?;
        self.set_flags(libc::POSIX_SPAWN_SETSIGDEF | libc::POSIX_SPAWN_SETPGROUP)
    }

    fn set_flags(&mut self, flags: libc::c_int) -> io::Result<()> {
        // SAFETY: `self.0` is initialised.
        check(unsafe { libc::posix_spawnattr_setflags(&raw mut self.0, flags as libc::c_short) })
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: `self.0` is initialised and not used again.
        unsafe { libc::posix_spawnattr_destroy(&raw mut self.0) };
    }
}

/// These functions return the error number, and leave errno alone.
fn check(code: libc::c_int) -> io::Result<()> {
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code)) }
}

fn c_string(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a null byte in an argument"))
}

fn c_pair((key, value): &(OsString, OsString)) -> io::Result<CString> {
    let mut pair = key.clone();
    pair.push("=");
    pair.push(value);
    c_string(&pair)
}

fn null_ended(strings: &[CString]) -> Vec<*mut libc::c_char> {
    strings.iter().map(|s| s.as_ptr().cast_mut()).chain([ptr::null_mut()]).collect()
}

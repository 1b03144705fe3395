//! A program and all that it is started with, made ready while memory can still be asked for.

use std::{
    ffi::{CString, OsStr, OsString},
    io,
    os::{
        fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::PathBuf,
    ptr,
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
};

use super::descriptor::number;

/// What to run.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) program: PathBuf,
    /// With the program's own name as the first.
    pub(crate) arguments: Vec<OsString>,
    pub(crate) environment: Vec<(OsString, OsString)>,
    /// `None`: this process's own.
    pub(crate) directory: Option<PathBuf>,
}

/// What the program finds open. Every other descriptor is close-on-exec, but for 0 to 2.
#[derive(Debug, Default)]
pub(crate) struct Handed<'a> {
    /// As descriptor 2.
    pub(crate) stderr: Option<BorrowedFd<'a>>,
    /// Under its own number.
    pub(crate) channel: Option<BorrowedFd<'a>>,
    /// As descriptors 3, 4, …: where systemd puts sockets.
    pub(crate) listed: Vec<BorrowedFd<'a>>,
}

/// The number of the first listed descriptor (`SD_LISTEN_FDS_START`).
const FIRST_LISTED: i32 = 3;

/// The same as the system calls want it: strings that end with a null byte, lists that end with a null pointer. What
/// starts the program allocates nothing.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) program: CString,
    pub(super) arguments: Strings,
    pub(super) environment: Strings,
    pub(super) directory: Option<CString>,
    /// From which number to which, in this order. Mapped onto itself means: inherited.
    pub(super) maps: Vec<(i32, i32)>,
    pub(super) group: Group,
    /// Copies of those whose own number is another's place.
    _moved: Vec<OwnedFd>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// For those who signal all of it.
    Shared,
    Own,
}

impl Prepared {
    pub(super) fn new(command: &Command, handed: &Handed<'_>) -> io::Result<Self> {
        let (mut maps, mut moved) = (Vec::new(), Vec::new());
        if let Some(stderr) = &handed.stderr {
            maps.push((number(stderr), libc::STDERR_FILENO));
        }
        if let Some(channel) = &handed.channel {
            maps.push((number(channel), number(channel)));
        }
        let beyond = FIRST_LISTED + handed.listed.len() as i32;
        for (listed, place) in handed.listed.iter().zip(FIRST_LISTED..) {
            // A descriptor whose own number is the place of one before it would be overwritten before its turn.
            let from = match number(listed) {
                own if own >= beyond => own,
                _ => {
                    let copy = copy_from(listed, beyond)?;
                    let from = number(&copy);
                    moved.push(copy);
                    from
                }
            };
            maps.push((from, place));
        }
        Ok(Self {
            program: c_string(command.program.as_os_str())?,
            arguments: Strings::new(command.arguments.iter().map(|it| c_string(it)))?,
            environment: Strings::new(command.environment.iter().map(c_pair))?,
            directory: command.directory.as_ref().map(|it| c_string(it.as_os_str())).transpose()?,
            maps,
            group: if leads_a_terminal() { Group::Own } else { Group::Shared },
            _moved: moved,
        })
    }
}

/// Under a number from `least` on.
fn copy_from(descriptor: &BorrowedFd<'_>, least: i32) -> io::Result<OwnedFd> {
    let number = match fcntl(descriptor.as_fd(), FcntlArg::F_DUPFD_CLOEXEC(least)) {
        // Beyond the limit of open files altogether, which is the same shortage.
        Err(Errno::EINVAL) => return Err(Errno::EMFILE.into()),
        number => number?,
    };
    // SAFETY: F_DUPFD_CLOEXEC has just opened this number, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Whether this process is the leader of a terminal's session (`tmux new ./server`): at its end the kernel sends SIGHUP to
/// the terminal's foreground group, and a successor in that group would die of a restart that went well. Everywhere else
/// the group stays one, for those who signal all of it.
fn leads_a_terminal() -> bool {
    nix::unistd::getsid(None) == Ok(nix::unistd::getpid()) && std::fs::File::open("/dev/tty").is_ok()
}

/// A list of strings that ends with a null pointer.
#[derive(Debug)]
pub(super) struct Strings {
    /// What the pointers lead to. A `CString`'s bytes stay where they are when it is moved.
    _owned: Vec<CString>,
    pointers: Vec<*const libc::c_char>,
}

impl Strings {
    fn new(strings: impl Iterator<Item = io::Result<CString>>) -> io::Result<Self> {
        let owned = strings.collect::<io::Result<Vec<_>>>()?;
        let pointers = owned.iter().map(|it| it.as_ptr()).chain([ptr::null()]).collect();
        Ok(Self { _owned: owned, pointers })
    }

    pub(super) fn as_ptr(&self) -> *const *const libc::c_char {
        self.pointers.as_ptr()
    }
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

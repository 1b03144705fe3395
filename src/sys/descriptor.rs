//! Looking at descriptors, and opening those that two generations share.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::{
        resource::{Resource, getrlimit},
        socket::{AddressFamily, SockFlag, SockType},
    },
};

/// What an open file is, whichever number or path leads to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

pub(crate) fn identity(descriptor: impl AsFd) -> io::Result<Identity> {
    let stat = nix::sys::stat::fstat(descriptor)?;
    // The fields' widths differ from platform to platform.
    #[allow(clippy::unnecessary_cast)]
    Ok(Identity { device: stat.st_dev as u64, inode: stat.st_ino as u64 })
}

/// A connected pair of Unix stream sockets. The second is to be inherited under its own number, so it stays clear of
/// 0 to 2, which the spawn may map: a daemon that has closed its stdin would otherwise get the channel there.
pub(crate) fn socket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (ours, theirs) =
        nix::sys::socket::socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)?;
    let number = fcntl(&theirs, FcntlArg::F_DUPFD_CLOEXEC(3))?;
    // SAFETY: F_DUPFD_CLOEXEC has just opened this number, so nobody else owns it.
    let theirs = unsafe { OwnedFd::from_raw_fd(number) };
    Ok((ours, theirs))
}

/// A pipe: the end to read, which never blocks, and the end to write, which does, as a process expects of its stderr.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    set_blocking(&read, false)?;
    Ok((read, write))
}

/// Belongs to the open file, so it holds in every generation that shares it; and so it mostly holds already.
pub(crate) fn set_blocking(descriptor: impl AsFd, blocking: bool) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(&descriptor, FcntlArg::F_GETFL)?);
    if flags.contains(OFlag::O_NONBLOCK) == blocking {
        fcntl(&descriptor, FcntlArg::F_SETFL(flags ^ OFlag::O_NONBLOCK))?;
    }
    Ok(())
}

/// How many descriptors below the limit are left alone by whoever could do without: for listeners' accepts, files of the
/// application's, the next successor.
const RESERVE: u64 = 64;

/// Whether few descriptors are left. The kernel gives the lowest free number, so that of one just opened says how full the
/// table is, and nobody has to count. Of a small limit the reserve is a quarter.
pub(crate) fn is_scarce(just_opened: &impl AsFd) -> bool {
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((limit, _)) => number(just_opened) as u64 >= limit - RESERVE.min(limit / 4),
        // It takes a broken kernel, and then a shortage shows elsewhere.
        Err(_) => false,
    }
}

/// The number, for the one place in which it leaves the process: the spawn.
pub(super) fn number(descriptor: &impl AsFd) -> i32 {
    descriptor.as_fd().as_raw_fd()
}

/// Lends an owner of a number that is not open, as one that believes its environment can be. For a test that runs alone:
/// another one could open a file under it meanwhile.
#[cfg(test)]
pub(crate) fn with_closed_number(look: impl FnOnce(OwnedFd) -> OwnedFd) {
    let (file, _other_end) = pipe().expect("a pipe");
    let number = fcntl(&file, FcntlArg::F_DUPFD_CLOEXEC(900)).expect("a number below the limit");
    // SAFETY: F_DUPFD_CLOEXEC has just opened this number, so nobody else owns it.
    drop(unsafe { OwnedFd::from_raw_fd(number) });
    // SAFETY: it is not open, and its one use is to be found so; before it is dropped, it is open again.
    let looked_at = look(unsafe { OwnedFd::from_raw_fd(number) });
    // SAFETY: both are numbers, the first is open, and the second nobody else's.
    assert_eq!(unsafe { libc::dup2(file.as_raw_fd(), looked_at.as_raw_fd()) }, number);
}

//! The descriptor that a predecessor names in the environment.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    sync::atomic::{AtomicBool, Ordering},
};

use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    sys::socket::{AddressFamily, SockaddrLike, SockaddrStorage, getsockname},
};

use super::identity;

/// The crate's only global: a number from the environment becomes an owned descriptor once in a process. Taken twice,
/// the first drop closes it, the next file gets the number, and the second owner writes into that.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// True for the first caller in this process.
pub(crate) fn take_once() -> bool {
    !TAKEN.swap(true, Ordering::AcqRel)
}

/// A Unix socket that the environment names and that is not ours yet: it can be looked at, and only then be owned.
#[derive(Debug)]
pub(crate) struct Named(RawFd);

impl Named {
    /// By `<descriptor>:<inode>`. `None` where the number is closed, or leads to another file than the one that the inode
    /// says, as it does in a grandchild that inherited the variable and not the socket.
    pub(crate) fn find(name: &str) -> Option<Self> {
        let (number, inode) = name.split_once(':')?;
        let (number, inode): (RawFd, u64) = (number.parse().ok().filter(|number| *number >= 0)?, inode.parse().ok()?);
        // SAFETY: `number` may be closed, and then fstat says EBADF. A borrow whose descriptor may be closed is never
        // handed on: nothing but the three calls below sees it.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        let found = identity(descriptor).is_ok_and(|identity| identity.inode == inode);
        let family = getsockname::<SockaddrStorage>(number).ok()?.family();
        (found && family == Some(AddressFamily::Unix)).then_some(Self(number))
    }

    /// Makes it ours, and close-on-exec.
    pub(crate) fn own(self) -> io::Result<OwnedFd> {
        // SAFETY: the predecessor opened it for this process (it peeked its own pid in the first message), and
        // `take_once` sees to it that nobody else in this process takes it.
        let descriptor = unsafe { OwnedFd::from_raw_fd(self.0) };
        fcntl(&descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        Ok(descriptor)
    }
}

impl AsFd for Named {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: `find` saw it open, and nobody in this process owns it, so nobody closes it.
        unsafe { BorrowedFd::borrow_raw(self.0) }
    }
}

/// What `Named::find` finds it by, in a process that inherits it under its own number.
pub(crate) fn name_for_heir(descriptor: &OwnedFd) -> io::Result<String> {
    Ok(format!("{}:{}", descriptor.as_raw_fd(), identity(descriptor)?.inode))
}

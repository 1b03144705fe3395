//! The descriptor that a predecessor names in the environment.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, FdFlag, fcntl},
    sys::socket::{AddressFamily, SockaddrLike, SockaddrStorage, getsockname},
};

use super::identity;

/// One of the crate's two globals: a number from the environment becomes an owned descriptor once in a process. Taken twice,
/// the first drop closes it, the next file gets the number, and the second owner writes into that.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The other one. Held from the look at a number until it is owned: of two who look at the same number at a time, both
/// would find it nobody's, and own it.
static TAKING: Mutex<()> = Mutex::new(());

pub(super) fn alone() -> MutexGuard<'static, ()> {
    // It guards nothing but the time, so a panic leaves nothing half done.
    TAKING.lock().unwrap_or_else(PoisonError::into_inner)
}

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
        let _alone = alone();
        is_from_outside(self.0)?;
        // SAFETY: the predecessor opened it for this process (it peeked its own pid in the first message), and
        // `take_once` and `is_from_outside` see to it that nobody else in this process has taken it.
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

/// Gives what `make` makes of a number that came through the exec, which it only borrows (so that it makes a duplicate),
/// and closes the number then. Whatever fails leaves it as it was.
///
/// 0 to 2 are refused: the standard library uses them to the end, and another file that got such a number would be
/// written to by `println!`.
pub(crate) fn consume<T>(number: RawFd, make: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>) -> io::Result<T> {
    if number < 3 {
        return Err(io::Error::other(format!("{number} is no number beyond the standard streams")));
    }
    let _alone = alone();
    is_from_outside(number)?;
    // SAFETY: `is_from_outside` saw it open. Whoever owns a number in this process has made it close-on-exec, and whoever
    // begins to own one waits for `alone`, so nobody closes it meanwhile.
    let made = make(unsafe { BorrowedFd::borrow_raw(number) })?;
    // SAFETY: open, and nobody's, as above. `make` has borrowed it, and what it gives can't hold that borrow.
    drop(unsafe { OwnedFd::from_raw_fd(number) });
    Ok(made)
}

/// Whether it is open and *not* close-on-exec, as everything is that came through an exec. What this process has opened
/// itself always is close-on-exec, by Rust's and this crate's habit, and so is what it has taken already.
pub(super) fn is_from_outside(number: RawFd) -> io::Result<()> {
    // SAFETY: `number` may be closed, and then fcntl says EBADF; nothing but this call sees the borrow.
    let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
    let flags = fcntl(descriptor, FcntlArg::F_GETFD).map_err(|error| match error {
        Errno::EBADF => io::Error::other(format!("descriptor {number} is closed")),
        error => io::Error::other(format!("look at descriptor {number}: {error}")),
    })?;
    if FdFlag::from_bits_retain(flags).contains(FdFlag::FD_CLOEXEC) {
        let why = format!("descriptor {number} is close-on-exec, so it was opened by this process itself");
        return Err(io::Error::other(why));
    }
    Ok(())
}

/// What `Named::find` finds it by, in a process that inherits it under its own number.
pub(crate) fn name_for_heir(descriptor: &OwnedFd) -> io::Result<String> {
    Ok(format!("{}:{}", descriptor.as_raw_fd(), identity(descriptor)?.inode))
}

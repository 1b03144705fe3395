//! The descriptors that socket activation leaves at 3, 4, 5, …

use std::{
    io,
    os::fd::{FromRawFd, OwnedFd, RawFd},
};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use super::inherited::{alone, is_from_outside};

/// As many descriptors from 3 on: all of them, close-on-exec from now on, or none. To be called once in a process
/// (`take_once`), for what is taken twice has two owners.
///
/// Each must be open and *not* close-on-exec (`is_from_outside`). So variables that leaked into a grandchild, or were
/// left behind by a shell, never make us own (and close, under its feet) the runtime's epoll descriptor.
pub(crate) fn take_activated(count: u32) -> io::Result<Vec<OwnedFd>> {
    take_from(3, count)
}

fn take_from(first: RawFd, count: u32) -> io::Result<Vec<OwnedFd>> {
    let last = RawFd::try_from(count).ok().and_then(|count| first.checked_add(count));
    let numbers = first..last.ok_or_else(|| io::Error::other("there are not so many descriptors"))?;
    let _alone = alone();
    for number in numbers.clone() {
        is_from_outside(number)?;
    }
    let own = |number| {
        // SAFETY: it came through the exec, as `is_from_outside` has seen, and so has no owner in this process yet;
        // `take_once` sees to it that it gets only this one.
        let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
        fcntl(&descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        Ok(descriptor)
    };
    numbers.map(own).collect()
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsFd, BorrowedFd};

    use super::*;
    use crate::sys::{identity, run_alone};

    /// They need numbers that are free, and open some that every program inherits.
    #[test]
    fn alone() {
        run_alone("sys::activated::tests::");
    }

    /// Beyond what this process has open.
    fn place(file: impl AsFd, number: RawFd, inherited: bool) {
        let duplicate = match inherited {
            true => FcntlArg::F_DUPFD(number),
            false => FcntlArg::F_DUPFD_CLOEXEC(number),
        };
        assert_eq!(fcntl(file, duplicate).unwrap(), number, "free until now");
    }

    fn close(number: RawFd) {
        // SAFETY: `place` has opened it, and nobody owns it.
        drop(unsafe { OwnedFd::from_raw_fd(number) });
    }

    fn is_open(number: RawFd) -> bool {
        // SAFETY: as in `is_from_outside`.
        fcntl(unsafe { BorrowedFd::borrow_raw(number) }, FcntlArg::F_GETFD).is_ok()
    }

    #[test]
    #[ignore = "run by `alone`"]
    fn what_came_through_the_exec_is_owned_in_order_and_close_on_exec() {
        let files = [tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap()];
        place(&files[0], 600, true);
        place(&files[1], 601, true);
        let taken = take_from(600, 2).unwrap();
        for (file, taken) in files.iter().zip(&taken) {
            assert_eq!(identity(file).unwrap(), identity(taken).unwrap());
            assert_eq!(fcntl(taken, FcntlArg::F_GETFD).unwrap(), FdFlag::FD_CLOEXEC.bits());
        }
    }

    #[test]
    #[ignore = "run by `alone`"]
    fn where_one_is_our_own_none_is_taken() {
        let file = tempfile::tempfile().unwrap();
        place(&file, 700, true);
        place(&file, 701, false);
        let error = take_from(700, 2).unwrap_err();
        assert!(error.to_string().contains("701 is close-on-exec"), "{error}");
        assert!(is_open(700), "and nobody has closed the other one");
        close(700);
        close(701);
    }

    #[test]
    #[ignore = "run by `alone`"]
    fn where_one_is_closed_none_is_taken() {
        let file = tempfile::tempfile().unwrap();
        place(&file, 800, true);
        let error = take_from(800, 2).unwrap_err();
        assert!(error.to_string().contains("descriptor 801 is closed"), "{error}");
        assert!(is_open(800), "left where it was");
        close(800);
        assert!(take_from(3, u32::MAX).is_err(), "more than there are numbers");
    }
}

//! Descriptor 2, which is a pipe in a successor until it is confirmed.

use std::{
    io::{self, stderr as standard_error},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// A second descriptor of this process's standard error.
pub(crate) fn stderr() -> io::Result<OwnedFd> {
    standard_error().as_fd().try_clone_to_owned()
}

/// Makes descriptor 2 lead to `target`, at once and for every thread.
pub(crate) fn replace_stderr(target: BorrowedFd<'_>) -> io::Result<()> {
    Ok(nix::unistd::dup2_stderr(target)?)
}

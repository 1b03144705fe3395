//! Descriptors in the reactor.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

use tokio::io::{Interest, unix::AsyncFd};

use super::Process;

/// What leads to one and the same open descriptor for as long as it lives.
pub(crate) trait Steady: AsRawFd {}
impl Steady for Process {}
impl Steady for BorrowedFd<'_> {}

/// Watches a descriptor for being readable; what can't be watched comes back. Panics outside a tokio runtime.
pub(crate) fn watch<T: Steady>(descriptor: T) -> Result<AsyncFd<T>, (T, io::Error)> {
    // SAFETY: it is `Steady`, so the descriptor is open, and the same, until the `AsyncFd` that holds it is dropped and
    // has deregistered it.
    let watched = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
    watched.map_err(|error| {
        let (descriptor, error) = error.into_parts();
        (descriptor, error)
    })
}

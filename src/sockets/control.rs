//! The listener at which generations and operators meet.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use tokio::net::UnixListener;

use super::{
    Socket,
    kind::{CONTROL, Kind, sealed},
};

/// A Unix listener that travels as a kind of its own, so that no application claims it by accident.
#[derive(Debug)]
pub(crate) struct ControlListener(UnixListener);

impl ControlListener {
    /// The listener, to accept from.
    pub(crate) fn into_inner(self) -> UnixListener {
        self.0
    }
}

impl AsFd for ControlListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl sealed::Sealed for ControlListener {}

impl Socket for ControlListener {
    const KIND: &'static Kind = &CONTROL;

    fn into_tokio(descriptor: OwnedFd) -> io::Result<Self> {
        UnixListener::from_std(descriptor.into()).map(Self)
    }
}

//! The narrow door to the operating system: the only `unsafe`, the only raw descriptor numbers.
//!
//! Every function takes borrowed and gives owned descriptors, and each one that is opened here is close-on-exec
//! from its first moment. Nothing above this floor can leak a descriptor or use it after its end.
#![allow(unsafe_code, clippy::disallowed_methods)] // raw numbers become owned descriptors here, and nowhere else

mod activated;
#[cfg(test)]
mod alone;
mod clone;
mod command;
mod descriptor;
mod inherited;
mod message;
mod notify_socket;
mod peer;
mod pidfd_info;
mod process;
mod spawn;
mod stderr;
mod unread;
mod watch;

pub(crate) use activated::take_activated;
#[cfg(test)]
pub(crate) use alone::run_alone;
pub(crate) use command::{Command, Handed};
#[cfg(test)]
pub(crate) use descriptor::with_closed_number;
pub(crate) use descriptor::{Identity, identity, is_scarce, pipe, set_blocking, socket_pair};
pub(crate) use inherited::{Named, consume, name_for_heir, take_once};
pub(crate) use message::{MAX_DESCRIPTORS, Received, peek, receive, receive_bytes, receive_from, send};
pub(crate) use notify_socket::notify_socket;
pub(crate) use peer::{Peer, effective_uid, peer};
pub(crate) use process::{Process, has_ended, is_refused_here, process_handle};
pub(crate) use spawn::{Kinship, spawn};
pub(crate) use stderr::{replace_stderr, stderr};
pub(crate) use unread::unread;
pub(crate) use watch::watch;

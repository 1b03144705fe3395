//! The other end of a channel, at which a target hears what this crate says to whatever it was told.

use std::os::fd::OwnedFd;

use crate::{channel::Channel, sys, wire::Message};

/// The crate's end, and the other one.
pub(super) fn ends() -> (Channel, OwnedFd) {
    let (ours, theirs) = sys::socket_pair().expect("a pair");
    (Channel::new(ours).expect("a socket"), theirs)
}

/// Nothing more comes from there, and what is said to it can be heard.
pub(super) fn hang_up(end: &OwnedFd) {
    socket2::SockRef::from(end).shutdown(std::net::Shutdown::Write).expect("a connected socket");
}

/// All that was said there: whole messages, each of them one that another generation would understand.
pub(super) fn said(end: OwnedFd) -> Vec<Message> {
    let mut channel = Channel::new(end).expect("a socket");
    let mut said = Vec::new();
    let mut left = channel.unread();
    while let Some(heard) = channel.next_of(&mut left) {
        match heard.expect("what this crate says is understood") {
            Some((message, _descriptors)) => said.push(message),
            None => break,
        }
    }
    said
}

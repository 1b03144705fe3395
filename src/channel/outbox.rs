use std::{collections::VecDeque, io, mem, os::fd::AsFd};

use tokio::{io::Interest, net::UnixStream};

use super::{
    Settled,
    outgoing::{Optional, Outgoing},
};
use crate::{Error, ErrorKind, sys};

/// What is to be sent, and what has become of it.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: VecDeque<Outgoing>,
    mouth: Mouth,
    /// Our side can't send, for want of something; until it is asked for.
    fault: Option<Error>,
    /// What has become of messages with a number, until it is asked for.
    settled: Vec<(u64, Settled)>,
}

/// Whether anything more is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mouth {
    /// Nothing has been sent yet: HELLO is the first thing that the peer may read.
    #[default]
    Fresh,
    Open,
    /// Our side could not send a message, and what was to follow makes no sense without it. What was sent before is whole.
    Stuck,
    /// The peer is gone, or has half a message for ever.
    Shut,
}

impl Outbox {
    /// Behind all others.
    pub(super) fn push(&mut self, message: Outgoing) {
        self.waiting.push_back(message);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn has_settled(&self) -> bool {
        !self.settled.is_empty()
    }

    pub(super) fn take_settled(&mut self) -> Vec<(u64, Settled)> {
        mem::take(&mut self.settled)
    }

    pub(super) fn take_fault(&mut self) -> Option<Error> {
        self.fault.take()
    }

    /// What has not begun to go out never does, unless it is the first thing of all; and what follows can be sent although
    /// something before could not.
    pub(super) fn leave_out_what_waits(&mut self) {
        if self.mouth != Mouth::Fresh {
            let begun = self.waiting.iter().take_while(|it| it.sent > 0).count();
            let left_out = self.waiting.drain(begun..).filter_map(|it| Some((it.number?, Settled::LeftOut)));
            self.settled.extend(left_out);
        }
        if self.mouth == Mouth::Stuck {
            self.mouth = Mouth::Open;
        }
    }

    /// Nothing more goes out.
    pub(super) fn shut(&mut self) {
        self.mouth = Mouth::Shut;
        self.give_up();
    }

    fn give_up(&mut self) {
        let how = if self.fault.is_some() { Settled::Unsaid } else { Settled::PeerGone };
        self.settled.extend(self.waiting.drain(..).filter_map(|it| Some((it.number?, how))));
    }

    /// As much as the kernel takes now.
    pub(super) fn try_flush(&mut self, stream: &UnixStream) {
        while let Some(first) = self.waiting.front_mut() {
            if let Mouth::Stuck | Mouth::Shut = self.mouth {
                return self.give_up();
            }
            if let Some(message) = first.message.take() {
                first.bytes = message.encode();
            }
            let descriptors: Vec<_> = match first.sent {
                0 => first.descriptors.iter().map(AsFd::as_fd).collect(),
                _ => Vec::new(),
            };
            let unsent = &first.bytes[first.sent..];
            let send = || sys::send(stream.as_fd(), unsent, &descriptors);
            // Tried before the reactor has said anything: HELLO is to lie in the kernel when `say` returns, for this process
            // may die next. Only where the kernel takes nothing is the reactor told to wait for it.
            let sent = match send() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.try_io(Interest::WRITABLE, send),
                sent => sent,
            };
            match sent {
                Ok(count) if first.sent + count == first.bytes.len() => {
                    self.mouth = Mouth::Open;
                    self.settle_first(Settled::Accepted);
                }
                Ok(count) => first.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {
                    crate::log::debug!(%error, "send to the other end: it is gone, reading on");
                    self.mouth = Mouth::Shut;
                }
                Err(error) => match first.optional.filter(|_| first.sent == 0) {
                    Some(what) => {
                        match what {
                            Optional::Connections => {
                                crate::log::warn!(%error, "offer connections to the other generation: they stay here");
                            }
                            Optional::Visitor => {
                                crate::log::warn!(%error, "pass a visitor on to the other generation: its connection is closed");
                            }
                            Optional::News => {
                                crate::log::debug!(%error, "tell the other generation what is waited for")
                            }
                        }
                        self.settle_first(Settled::LeftOut);
                    }
                    // EMFILE, ETOOMANYREFS, ENOBUFS: the peer would wait for ever for what never comes.
                    None => {
                        let is_whole = first.sent == 0 && self.mouth == Mouth::Open;
                        self.fault = Some(Error::io(ErrorKind::Socket, "pass descriptors to the other end", error));
                        self.mouth = if is_whole { Mouth::Stuck } else { Mouth::Shut };
                    }
                },
            }
        }
    }

    fn settle_first(&mut self, how: Settled) {
        let number = self.waiting.pop_front().and_then(|first| first.number);
        self.settled.extend(number.map(|number| (number, how)));
    }
}

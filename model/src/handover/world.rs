//! What there is: two processes, the kernel between them, and the clients' connections.

use super::{
    ids::Ids,
    kernel::{Frame, Pipe},
};
use crate::transfer::{Giving, Taking, giving, taking};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World<const N: usize> {
    pub(super) connections: [Connection; N],
    pub(super) predecessor: Process,
    pub(super) successor: Process,
    /// The batch that the predecessor is about to give to the kernel.
    pub(super) offering: Option<Ids>,
    /// What the successor is about to give to it, in this order.
    pub(super) answers: Vec<Frame>,
    pub(super) to_successor: Pipe,
    pub(super) to_predecessor: Pipe,
    /// The predecessor has read nonsense, and listens no more.
    pub(super) disbelieves: bool,
    /// Its drain deadline has come.
    pub(super) late: bool,
    /// The successor has said nonsense. Once is enough.
    pub(super) babbled: bool,
    /// The predecessor has ended the half of the channel in which it speaks. Only a wrong variant does.
    pub(super) half_ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Process {
    pub(super) lives: bool,
    /// It has its end of the channel.
    pub(super) open: bool,
    /// It has read the channel to its end.
    pub(super) heard_end: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Connection {
    pub(super) giving: Giving,
    /// `None`: its OFFER has not been read.
    pub(super) taking: Option<Taking>,
    pub(super) at_predecessor: Hand,
    pub(super) at_successor: Hand,
    pub(super) read_by_predecessor: bool,
    pub(super) read_by_successor: bool,
    /// The kernel has accepted its OFFER.
    pub(super) on_offer: bool,
    /// The successor held it when it learned that nobody is left to tell.
    pub(super) orphaned: bool,
    /// The successor has looked at it, and has no place for it.
    pub(super) declined: bool,
}

/// What a process has of a connection, by what it has *done*: the machines' own states are not believed. A dead process
/// keeps here what it had last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Hand {
    Nothing,
    /// A descriptor, and no right to touch it.
    Holds,
    Owns,
    Closed,
    /// The same, and the report has it among the undecided.
    ClosedAndCounted,
}

impl<const N: usize> World<N> {
    /// All connections are taken apart, and none is offered.
    pub(super) fn first() -> Self {
        let process = Process { lives: true, open: true, heard_end: false };
        let connection = Connection {
            giving: Giving::first(),
            taking: None,
            at_predecessor: Hand::Holds,
            at_successor: Hand::Nothing,
            read_by_predecessor: false,
            read_by_successor: false,
            on_offer: false,
            orphaned: false,
            declined: false,
        };
        Self {
            connections: [connection; N],
            predecessor: process,
            successor: process,
            offering: None,
            answers: Vec::new(),
            to_successor: Pipe::default(),
            to_predecessor: Pipe::default(),
            disbelieves: false,
            late: false,
            babbled: false,
            half_ended: false,
        }
    }

    /// Those of which something is so.
    pub(super) fn which(&self, so: impl Fn(&Connection) -> bool) -> Ids {
        (0..N).filter(|&id| so(&self.connections[id])).collect()
    }

    pub(super) fn all(&self) -> Ids {
        self.which(|_| true)
    }

    /// Tells the predecessor's machines.
    pub(super) fn give(&mut self, ids: Ids, event: giving::Event) {
        for id in ids.iter() {
            let connection = &mut self.connections[id];
            let (next, action) = connection.giving.on(event);
            connection.giving = next;
            let hand = match action {
                giving::Action::Nothing => continue,
                giving::Action::LetGo => Hand::Closed,
                giving::Action::TakeBack => Hand::Owns,
                giving::Action::GiveUp => Hand::ClosedAndCounted,
            };
            assert_eq!(connection.at_predecessor, Hand::Holds, "{action:?} with what is not held");
            connection.at_predecessor = hand;
        }
    }

    /// Tells the successor's machines of what it was offered, and returns those of which TAKEN or DECLINED is to be said.
    pub(super) fn take(&mut self, ids: Ids, event: taking::Event) -> Ids {
        let mut say = Vec::new();
        for id in ids.iter() {
            let connection = &mut self.connections[id];
            let Some(taking) = connection.taking else { continue };
            let (next, action) = taking.on(event);
            connection.taking = Some(next);
            connection.orphaned |= next == Taking::Orphaned;
            connection.at_successor = match action {
                taking::Action::Nothing => continue,
                taking::Action::SayTaken => connection.at_successor,
                taking::Action::Begin => Hand::Owns,
                taking::Action::Decline | taking::Action::Close => Hand::Closed,
            };
            if matches!(action, taking::Action::SayTaken | taking::Action::Decline) {
                say.push(id);
            }
        }
        say.into_iter().collect()
    }

    /// The predecessor's end of the channel closes: what it has said stays, what was said to it is lost.
    pub(super) fn close_predecessors_end(&mut self) {
        self.predecessor.open = false;
        self.offering = None;
        self.to_predecessor.lose();
    }

    pub(super) fn close_successors_end(&mut self) {
        self.successor.open = false;
        self.answers.clear();
        self.to_successor.lose();
    }
}

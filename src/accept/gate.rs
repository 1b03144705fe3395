use std::{collections::HashSet, sync::Arc};

use crate::name::Name;

/// Whether this generation accepts. The roof says so through its [`Gatekeeper`](super::Gatekeeper).
#[derive(Clone, Debug)]
pub(crate) enum Gate {
    /// Another generation accepts from the same sockets: this one is not confirmed yet, or its successor is on
    /// probation.
    Shut,
    /// It accepts.
    Open,
    /// It will never accept again.
    Ended(Ending),
    /// The same, but for those who answer until everything else is over: they accept on.
    EndedButForTheLast(Ending),
}

/// Which listeners end first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rank {
    Ordinary,
    /// Last to close.
    Last,
}

/// How a listener ends.
#[derive(Clone, Debug)]
pub(crate) enum Ending {
    /// A stop: nobody accepts after this generation, so what waits in the queue is accepted first.
    Emptied,
    /// A restart: the successor holds the sockets of these names, so they are let go at once, queue and all. Any other
    /// is emptied, for nobody else has it.
    Claimed(Arc<HashSet<Name>>),
}

impl Gate {
    /// What a listener of this name and rank is to do.
    pub(super) fn order(&self, name: Option<&Name>, rank: Rank) -> Order {
        match self {
            Self::Shut => Order::Wait,
            Self::Open => Order::Accept,
            Self::EndedButForTheLast(_) if rank == Rank::Last => Order::Accept,
            Self::Ended(ending) | Self::EndedButForTheLast(ending) => ending.order(name),
        }
    }
}

impl Ending {
    fn order(&self, name: Option<&Name>) -> Order {
        match self {
            Self::Claimed(names) if name.is_some_and(|name| names.contains(name)) => Order::LetGo,
            Self::Emptied | Self::Claimed(_) => Order::Empty,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Wait,
    Accept,
    Empty,
    LetGo,
}

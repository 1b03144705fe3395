use std::{
    fmt, io, mem,
    os::fd::{AsFd, OwnedFd},
};

use super::{
    AtGate, Listener, Parked, Rank,
    gate::Order,
    turns::{AtTheEnd, Turn, Turns},
};
use crate::name::Name;

/// A listener that obeys the gate, and is closed when accepting has ended.
pub(crate) struct Acceptor<L: Listener> {
    place: Place<L>,
    turns: Turns,
}

enum Place<L> {
    Here(L),
    Parked(OwnedFd),
    Closed,
}

impl<L: Listener> Acceptor<L> {
    pub(crate) fn new(listener: L, gate: AtGate, name: Option<Name>, rank: Rank) -> Self {
        Self { place: Place::Here(listener), turns: Turns::new(gate, name, rank, AtTheEnd::WaitedOut) }
    }

    /// The next connection. `Err`: this listener can never accept again. `None`: accepting has ended, and the listener
    /// is closed.
    ///
    /// At a stop a shortage is waited out, so whoever accepts gives up at the drain's deadline.
    ///
    /// Cancel safe: no connection is lost, and a pause after an error stays.
    pub(crate) async fn accept(&mut self) -> Option<io::Result<(L::Io, L::Addr)>> {
        loop {
            let order = self.turns.order();
            if order == Order::LetGo {
                self.place = Place::Closed;
            }
            let placed = if order == Order::Wait { self.park() } else { self.unpark() };
            if let Err(error) = placed {
                return Some(Err(error));
            }
            let turn = match &mut self.place {
                Place::Closed => return None,
                Place::Here(listener) => self.turns.take(order, listener).await,
                Place::Parked(_) => {
                    self.turns.moved().await;
                    None
                }
            };
            match turn {
                None => {}
                Some(Turn::Accepted(connection)) => return Some(Ok(connection)),
                Some(Turn::Broken(error)) => return Some(Err(error)),
                Some(Turn::Over) => self.place = Place::Closed,
            }
        }
    }

    /// Resolves when the listener is the successor's, and closed: for whoever has something to wait for before it can
    /// accept.
    ///
    /// Cancel safe.
    pub(crate) async fn let_go(&mut self) {
        self.turns.let_go().await;
        self.place = Place::Closed;
    }

    /// As the log names it.
    pub(crate) fn describe(&self) -> String {
        self.turns.describe(match &self.place {
            Place::Here(listener) => listener.socket(),
            Place::Parked(socket) => Some(socket.as_fd()),
            Place::Closed => None,
        })
    }

    fn park(&mut self) -> io::Result<()> {
        self.place = match mem::replace(&mut self.place, Place::Closed) {
            Place::Here(listener) => match listener.park()? {
                Parked::InPlace(listener) => Place::Here(listener),
                Parked::Out(socket) => Place::Parked(socket),
            },
            other => other,
        };
        Ok(())
    }

    fn unpark(&mut self) -> io::Result<()> {
        self.place = match mem::replace(&mut self.place, Place::Closed) {
            Place::Parked(socket) => Place::Here(L::unpark(socket)?),
            other => other,
        };
        Ok(())
    }
}

impl<L: Listener> fmt::Debug for Acceptor<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Acceptor").field(&self.describe()).finish()
    }
}

/// As [`Acceptor::accept`], from a listener that stays the caller's: it is not parked, and not closed. At a stop it ends by
/// itself when a shortage lasts.
///
/// Cancel safe: no connection is lost.
pub(crate) async fn accept_from<L: Listener>(
    listener: &mut L,
    gate: AtGate,
    name: Option<Name>,
) -> Option<io::Result<(L::Io, L::Addr)>> {
    let mut turns = Turns::new(gate, name, Rank::Ordinary, AtTheEnd::Borne);
    loop {
        let order = turns.order();
        match turns.take(order, listener).await {
            None => {}
            Some(Turn::Accepted(connection)) => return Some(Ok(connection)),
            Some(Turn::Broken(error)) => return Some(Err(error)),
            Some(Turn::Over) => return None,
        }
    }
}

#[cfg(test)]
impl<L: Listener> Acceptor<L> {
    pub(super) fn is_parked(&self) -> bool {
        matches!(self.place, Place::Parked(_))
    }
}

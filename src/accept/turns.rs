use std::{future::poll_fn, io, os::fd::BorrowedFd, task::Poll, time::Duration};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::SockRef;
use tokio::{
    task::{coop::consume_budget, unconstrained},
    time::{sleep_until, timeout},
};

use super::{
    AtGate, Listener, Rank,
    errors::{Episode, Verdict},
    gate::Order,
};
use crate::name::Name;

/// Everything that accepting needs besides the listener: whose turn it is, and whether it fails just now.
#[derive(Debug)]
pub(super) struct Turns {
    gate: AtGate,
    name: Option<Name>,
    rank: Rank,
    shortage: AtTheEnd,
    episode: Episode,
}

/// What a shortage means once accepting has ended, for those who still wait in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AtTheEnd {
    /// It is waited out: whoever accepts gives up at the drain's deadline.
    WaitedOut,
    /// It is waited out until the pauses are at their longest, because nobody gives up.
    Borne,
}

/// What came of a turn.
#[derive(Debug)]
pub(super) enum Turn<C> {
    Accepted(C),
    /// This listener can never accept again.
    Broken(io::Error),
    /// Ended, and nothing is left in the queue that is ours.
    Over,
}

/// How long what is in the queue may take to show in the reactor, before the queue is looked at anew.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(10);

impl Turns {
    pub(super) fn new(gate: AtGate, name: Option<Name>, rank: Rank, shortage: AtTheEnd) -> Self {
        Self { gate, name, rank, shortage, episode: Episode::default() }
    }

    /// What is to be done now.
    pub(super) fn order(&mut self) -> Order {
        self.gate.look().order(self.name.as_ref(), self.rank)
    }

    /// Resolves when the gate has moved since [`order`](Self::order).
    pub(super) async fn moved(&self) {
        self.gate.moved().await;
    }

    /// Resolves when the listener is the successor's.
    pub(super) async fn let_go(&mut self) {
        while self.order() != Order::LetGo {
            self.moved().await;
        }
    }

    /// Does as it was ordered; `None` if the gate moved first.
    ///
    /// Cancel safe: a connection is taken in the very poll that returns it.
    pub(super) async fn take<L: Listener>(&mut self, order: Order, listener: &mut L) -> Option<Turn<(L::Io, L::Addr)>> {
        match order {
            Order::Wait => {
                self.moved().await;
                None
            }
            Order::Accept => self.accept(listener).await,
            Order::Empty => Some(self.empty(listener).await),
            Order::LetGo => Some(Turn::Over),
        }
    }

    /// Accepts one connection; `None` if the gate moved first.
    async fn accept<L: Listener>(&mut self, listener: &mut L) -> Option<Turn<(L::Io, L::Addr)>> {
        loop {
            if let Some(until) = self.episode.pause_until() {
                self.gate.unless_moved(sleep_until(until)).await?;
            }
            let error = match self.gate.unless_moved(poll_fn(|cx| listener.poll_accept(cx))).await? {
                Ok(connection) => {
                    self.episode.succeeded(|| describe(listener.socket(), self.name.as_ref()));
                    return Some(Turn::Accepted(connection));
                }
                Err(error) => error,
            };
            match Verdict::of(&error) {
                Verdict::Next => crate::log::debug!(%error, "a connection failed before it was accepted"),
                Verdict::Wait => self.episode.failed(&error, || describe(listener.socket(), self.name.as_ref())),
                Verdict::Broken => return Some(Turn::Broken(error)),
            }
        }
    }

    /// Accepts one of those that are already in the queue.
    ///
    /// A shortage is waited out, for those who are in the queue would be reset. The drain itself ends it: each connection that
    /// ends gives a descriptor back.
    async fn empty<L: Listener>(&mut self, listener: &mut L) -> Turn<(L::Io, L::Addr)> {
        loop {
            if let Some(until) = self.episode.pause_until() {
                sleep_until(until).await;
            }
            // Under a flood the queue never is empty, and then the drain's deadline must have its turn.
            consume_budget().await;
            // Unconstrained, because a task that has used up its budget is told "pending" too, and here that would
            // mean "empty": the listener would be closed, and those in its queue be reset.
            let now = unconstrained(poll_fn(|cx| Poll::Ready(listener.poll_accept(cx)))).await;
            let accepted = match now {
                Poll::Ready(accepted) => accepted,
                // "Pending" can also mean that the reactor has not yet told of what the kernel has already queued: it
                // is told at its own next turn, and for a listener that has just come back not before that.
                Poll::Pending if listener.socket().is_some_and(has_waiting) => {
                    match timeout(LOOK_AGAIN, poll_fn(|cx| listener.poll_accept(cx))).await {
                        Ok(accepted) => accepted,
                        Err(_elapsed) => continue,
                    }
                }
                Poll::Pending => return Turn::Over,
            };
            let error = match accepted {
                Ok(connection) => {
                    self.episode.succeeded(|| describe(listener.socket(), self.name.as_ref()));
                    return Turn::Accepted(connection);
                }
                Err(error) => error,
            };
            match Verdict::of(&error) {
                Verdict::Next => crate::log::debug!(%error, "a connection failed before it was accepted"),
                // The kernel looks for a free descriptor first, and into the queue only then.
                Verdict::Wait if listener.socket().is_some_and(|socket| !has_waiting(socket)) => return Turn::Over,
                Verdict::Wait if self.shortage == AtTheEnd::WaitedOut || !self.episode.is_long() => {
                    self.episode.failed(&error, || describe(listener.socket(), self.name.as_ref()));
                }
                Verdict::Wait | Verdict::Broken => {
                    let socket = self.describe(listener.socket());
                    crate::log::warn!(socket, %error, "cannot accept what is left in the queue");
                    return Turn::Over;
                }
            }
        }
    }
}

impl Turns {
    /// As the log names the listener: by its name and where it listens.
    pub(super) fn describe(&self, socket: Option<BorrowedFd<'_>>) -> String {
        describe(socket, self.name.as_ref())
    }
}

/// Whether a connection or a datagram waits in the queue, as the kernel sees it.
pub(super) fn has_waiting(socket: BorrowedFd<'_>) -> bool {
    let mut sockets = [PollFd::new(socket, PollFlags::POLLIN)];
    match poll(&mut sockets, PollTimeout::ZERO) {
        Ok(ready) => ready > 0,
        Err(error) => {
            crate::log::debug!(%error, "cannot look into a socket's queue");
            false
        }
    }
}

fn describe(socket: Option<BorrowedFd<'_>>, name: Option<&Name>) -> String {
    let address = socket.and_then(|socket| SockRef::from(&socket).local_addr().ok());
    let address = address.and_then(|address| match address.as_socket() {
        Some(address) => Some(address.to_string()),
        None => address.as_pathname().map(|path| path.display().to_string()),
    });
    match (name, address) {
        (Some(name), Some(address)) => format!("{name} ({address})"),
        (Some(name), None) => name.to_string(),
        (None, Some(address)) => address,
        (None, None) => "unnamed".to_owned(),
    }
}

use std::{
    any::Any,
    convert::Infallible,
    fmt, mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
};

use http_body::SizeHint;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::{
    Io,
    clock::{Wait, Waiting},
    policy::AtomicPolicy,
    settings::Settings,
    socket,
};
use crate::{
    Guard,
    drain::{Kind, Outcome, Policy, Watch},
    handover::{Lane, Permit},
};

/// What the parts of one connection know of each other: our future around hyper, the transport beneath it, the timer
/// that hyper asks for, the service that it calls.
///
/// Written and read by one task, hence Relaxed; atomic, because hyper wants its parts to be `Send` and `Sync`. (After
/// an upgrade the transport is in another task. What matters by then was written before, and the passing orders it.)
pub(super) struct Link {
    pub(super) watch: Watch,
    pub(super) settings: Arc<Settings>,
    ticket: Ticket,
    /// What becomes of the answer that is given now, and of what it has upgraded to.
    policy: AtomicPolicy,
    /// hyper waits for a request head: it says so through its timer, see `HeadTimer`.
    awaits_head: AtomicBool,
    /// A byte of that head has been given to hyper.
    head_begun: AtomicBool,
    /// The number of that head.
    turn: AtomicU32,
    /// The socket has said in this very poll that there is nothing to read, and wakes the task when there is.
    dry: AtomicBool,
    /// hyper has written what it has not flushed.
    unflushed: AtomicBool,
    is_ending: AtomicBool,
    /// An upgrade was offered: the transport may come to be in a task that we do not know of.
    is_offered: AtomicBool,
    is_upgraded: AtomicBool,
    /// Nothing else would say that the answer under way, its last one, is complete.
    ends_by_close: AtomicBool,
    /// Ended by us when it was idle, without a word.
    is_let_go: AtomicBool,
    /// It ends in this process, whatever the exit says.
    stays: AtomicBool,
    /// It wants to leave in this very poll: hyper gets no more bytes between two requests.
    is_leaving: AtomicBool,
    /// The body of the request under way, if any, is of few bytes. Known of what has begun while it wanted to leave.
    is_brief: AtomicBool,
    /// By which it leaves at the end of this poll.
    permit: Mutex<Option<Permit>>,
    /// It came by handover, or has come back: another process may hold its own copy.
    is_shared: AtomicBool,
    home: Mutex<Home>,
}

/// What a connection holds as long as its socket is open, upgraded or not.
#[derive(Debug)]
#[allow(dead_code)] // slot and family are held, and never read
pub(super) struct Ticket {
    pub(super) guard: Guard,
    /// Its place among `max_connections`.
    pub(super) slot: Option<OwnedSemaphorePermit>,
    /// Its `serve` waits until the last of these is dropped.
    pub(super) family: Option<mpsc::Sender<Infallible>>,
}

/// Where a transport's connection goes when hyper drops it although it has not been ended in three steps: after an
/// error, after an upgrade that was offered and not taken, or because we dropped hyper's part.
enum Home {
    Awaits,
    Has(Box<dyn Any + Send>),
    /// Nobody is there to end it.
    Left,
}

/// A body is brief that has at most so many bytes: its handler can be given it in little pieces.
const BRIEF: u64 = 1024;

impl Link {
    pub(super) fn new(watch: Watch, settings: Arc<Settings>, ticket: Ticket) -> Self {
        Self {
            watch,
            settings,
            ticket,
            policy: AtomicPolicy::new(Policy::Finish),
            awaits_head: AtomicBool::new(false),
            head_begun: AtomicBool::new(false),
            // The first head is number 0.
            turn: AtomicU32::new(u32::MAX),
            dry: AtomicBool::new(false),
            unflushed: AtomicBool::new(false),
            is_ending: AtomicBool::new(false),
            is_offered: AtomicBool::new(false),
            is_upgraded: AtomicBool::new(false),
            ends_by_close: AtomicBool::new(false),
            is_let_go: AtomicBool::new(false),
            stays: AtomicBool::new(false),
            is_leaving: AtomicBool::new(false),
            is_brief: AtomicBool::new(false),
            permit: Mutex::new(None),
            is_shared: AtomicBool::new(false),
            home: Mutex::new(Home::Awaits),
        }
    }

    /// Of a connection that came by handover.
    pub(super) fn inherited(watch: Watch, settings: Arc<Settings>, ticket: Ticket) -> Self {
        Self { is_shared: AtomicBool::new(true), ..Self::new(watch, settings, ticket) }
    }

    #[inline]
    pub(super) fn guard(&self) -> &Guard {
        &self.ticket.guard
    }

    pub(super) fn guard_mut(&mut self) -> &mut Guard {
        &mut self.ticket.guard
    }

    // ---- hyper waits for a head, or not: HTTP/1's one sign of being between two requests

    #[inline]
    pub(super) fn awaits_head(&self) {
        self.head_begun.store(false, Relaxed);
        self.turn.store(self.turn.load(Relaxed).wrapping_add(1), Relaxed);
        self.awaits_head.store(true, Relaxed);
    }

    /// The number of the head that is awaited next.
    pub(super) fn next_turn(&self) -> u32 {
        self.turn.load(Relaxed).wrapping_add(1)
    }

    #[inline]
    pub(super) fn has_head(&self) {
        self.awaits_head.store(false, Relaxed);
        // No answer yet: it has until the deadline, whatever became of the one before.
        self.policy.forget();
        // Here, and not only after the poll: a handler that blocks its thread is what one looks for in a status.
        self.guard().set_active(true);
    }

    /// What an HTTP/1 connection waits for, after a poll of hyper's part that was pending.
    ///
    /// Half a head that came in the same read as the request before it counts as idle, for only hyper knows of it. It
    /// gains nothing by it: a client that wants to hold a connection may as well idle.
    #[inline]
    pub(super) fn waiting(&self) -> Waiting {
        let wait = if !self.awaits_head.load(Relaxed) || self.is_unflushed() || self.is_ending() {
            Wait::Busy
        } else if self.head_begun.load(Relaxed) {
            Wait::Head
        } else {
            Wait::Idle
        };
        Waiting { wait, turn: self.turn.load(Relaxed) }
    }

    /// As [`waiting`](Self::waiting), and noted for whoever asks what is open.
    #[inline]
    pub(super) fn note_waiting(&self) -> Waiting {
        let waiting = self.waiting();
        self.guard().set_active(waiting.wait == Wait::Busy);
        waiting
    }

    /// An upgrade's policy is for what comes after its answer: one that is over by then would leave the client without any.
    #[inline]
    pub(super) fn policy(&self) -> Policy {
        if self.is_upgraded() && self.is_unflushed() { Policy::Finish } else { self.policy.get() }
    }

    /// Of the answer to this head.
    pub(super) fn set_policy(&self, policy: Policy) {
        self.policy.set(policy);
    }

    // ---- what the transport has seen

    #[inline]
    pub(super) fn has_read(&self) {
        self.head_begun.store(true, Relaxed);
    }

    #[inline]
    pub(super) fn set_dry(&self, dry: bool) {
        self.dry.store(dry, Relaxed);
    }

    /// hyper looks for the next request up to three times in a poll; the kernel is asked once.
    ///
    /// Not where an upgrade was offered. hyper passes the transport on when the connection ends, also if the upgrade was
    /// refused; its new owner begins no poll of ours, and would be told "dry" for ever, with no waker left anywhere.
    #[inline]
    pub(super) fn is_dry(&self) -> bool {
        self.dry.load(Relaxed) && !self.is_offered.load(Relaxed)
    }

    #[inline]
    pub(super) fn set_unflushed(&self, unflushed: bool) {
        self.unflushed.store(unflushed, Relaxed);
    }

    #[inline]
    pub(super) fn is_unflushed(&self) -> bool {
        self.unflushed.load(Relaxed)
    }

    // ---- whether it leaves for the successor

    /// From now on it ends in this process.
    pub(super) fn stay(&self) {
        self.stays.store(true, Relaxed);
    }

    /// Whether it leaves for the successor when it can, so that nothing need be told or let go.
    pub(super) fn may_leave(&self) -> bool {
        !self.stays.load(Relaxed) && self.settings.exit.is_open()
    }

    /// For this poll, by this permit if there is one.
    pub(super) fn begin_leaving(&self, permit: Option<Permit>) {
        *self.permit() = permit;
        self.is_leaving.store(true, Relaxed);
    }

    /// With the permit by which bytes were withheld, or could have been.
    pub(super) fn end_leaving(&self) -> Option<Permit> {
        self.is_leaving.store(false, Relaxed);
        self.permit().take()
    }

    #[inline]
    pub(super) fn is_leaving(&self) -> bool {
        self.is_leaving.load(Relaxed)
    }

    /// Where it [is leaving](Self::is_leaving): whether hyper gets no byte now, because the connection leaves at the end of this poll.
    ///
    /// A client that pipelines deeply never lets hyper wait for a head: the next request is there before the answer to this
    /// one is out. So the connection would come to no moment at which it may be taken apart.
    #[cold]
    pub(super) fn withholds(&self) -> bool {
        if self.waiting().wait != Wait::Idle || self.is_upgraded() {
            return false;
        }
        let mut permit = self.permit();
        if permit.is_none() {
            *permit = self.settings.exit.try_room(Lane::Serve);
        }
        permit.is_some()
    }

    /// A request with such a body has begun while it wanted to leave.
    #[cold]
    pub(super) fn set_body(&self, body: &SizeHint) {
        self.is_brief.store(body.upper().is_some_and(|length| length <= BRIEF), Relaxed);
    }

    /// Where it [is leaving](Self::is_leaving): whether hyper gets few bytes at a time, less than a request has.
    ///
    /// It reads on while a request is answered, to see the client hang up. A client that always has some requests under way
    /// would by that have the next one in hyper's buffer whenever an answer is out: hyper would ask for no byte between
    /// two requests, and there would be none to withhold.
    #[cold]
    pub(super) fn is_sparing(&self) -> bool {
        self.is_brief.load(Relaxed) && !self.awaits_head.load(Relaxed)
    }

    fn permit(&self) -> MutexGuard<'_, Option<Permit>> {
        self.permit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- how it ends

    pub(super) fn set_ending(&self) {
        self.is_ending.store(true, Relaxed);
    }

    /// Everything has been said; at most the client has not closed yet.
    #[inline]
    pub(super) fn is_ending(&self) -> bool {
        self.is_ending.load(Relaxed)
    }

    pub(super) fn set_let_go(&self) {
        self.is_let_go.store(true, Relaxed);
    }

    /// The client sent something after our end of the connection was closed.
    pub(super) fn has_read_too_late(&self) {
        if self.is_let_go.load(Relaxed) {
            self.guard().set_outcome(Outcome::Raced);
        }
    }

    pub(super) fn offer_upgrade(&self) {
        self.is_offered.store(true, Relaxed);
    }

    /// The answer that upgrades is about to be written.
    pub(super) fn answer_upgrade(&self) {
        self.set_unflushed(true);
        self.upgrade();
    }

    pub(super) fn upgrade(&self) {
        self.guard().set_kind(Kind::Upgraded);
        self.is_upgraded.store(true, Relaxed);
    }

    #[inline]
    pub(super) fn is_upgraded(&self) -> bool {
        self.is_upgraded.load(Relaxed)
    }

    pub(super) fn set_ends_by_close(&self) {
        self.ends_by_close.store(true, Relaxed);
    }

    pub(super) fn ends_by_close(&self) -> bool {
        self.ends_by_close.load(Relaxed)
    }

    // ---- the way home

    pub(super) fn send_home<T: Io>(&self, io: T) {
        let mut home = self.home();
        if matches!(*home, Home::Awaits) {
            *home = Home::Has(Box::new(io));
        } else {
            self.close(&io);
        }
    }

    /// The connection, if hyper has dropped it unended.
    pub(super) fn take_home<T: Io>(&self) -> Option<T> {
        let mut home = self.home();
        if !matches!(*home, Home::Has(_)) {
            return None;
        }
        let Home::Has(io) = mem::replace(&mut *home, Home::Awaits) else { return None };
        io.downcast().ok().map(|io| *io)
    }

    /// Nobody will ask any more: from now on what is dropped is closed.
    pub(super) fn leave_home(&self) {
        if let Home::Has(io) = mem::replace(&mut *self.home(), Home::Left) {
            self.close(&*io);
        }
    }

    /// Said of every connection that is dropped without having been ended: one that was handed over, or offered, is shut
    /// down first. While another process holds a copy of the socket, a mere close would show the client nothing.
    pub(super) fn close(&self, io: &dyn Any) {
        if self.is_shared() {
            socket::shut_down(io);
        }
    }

    /// It was offered, and is ours again: the offer, with a copy of the socket, may lie unread in a channel that somebody
    /// else keeps open.
    pub(super) fn share(&self) {
        self.is_shared.store(true, Relaxed);
    }

    pub(super) fn is_shared(&self) -> bool {
        self.is_shared.load(Relaxed)
    }

    fn home(&self) -> MutexGuard<'_, Home> {
        self.home.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("ticket", &self.ticket).finish_non_exhaustive()
    }
}

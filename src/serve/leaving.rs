//! How a connection leaves for the successor, comes back where it is declined, and begins where it came by handover.

use std::{
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    Connection, Handler, Io,
    clock::{Clock, Wait, Waiting},
    farewell::failed,
    herald::Herald,
    link::{Link, Ticket},
    phase::Phase,
    settings::Settings,
    sniff::Sniffer,
    socket,
    transport::Transport,
};
use crate::{
    Error, ErrorKind,
    drain::{Kind, Level, Outcome, Watch, Why},
    handover::{Fate, Lane, Parcel, Permit},
    wire::{Begun, Destination},
};

/// A connection that came by handover.
pub(super) struct Inherited<T: Io> {
    pub(super) sniffer: Sniffer<T>,
    pub(super) begun: Begun,
    /// What was read of it and not used.
    pub(super) read: Vec<u8>,
    /// Since when it has waited for what it waits for.
    pub(super) since: Instant,
}

/// What came of a poll in which a connection could leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    Yes,
    No,
    /// And hyper may have been kept from reading, in vain: nobody would wake it.
    Withheld,
}

impl<T: Io, S: Handler> Connection<T, S> {
    pub(super) fn inherited(
        inherited: Inherited<T>,
        service: S,
        watch: Watch,
        ticket: Ticket,
        settings: Arc<Settings>,
    ) -> Self {
        let Inherited { sniffer, begun, read, since } = inherited;
        let mut this = Self::at(Phase::Ended, Arc::new(Link::inherited(watch, settings, ticket)));
        if begun == Begun::Fresh {
            this.clock = Clock::since_then(since);
            this.sniff_on(sniffer, &read, service);
        } else {
            this.clock.carry(since, this.next_wait(&read));
            this.serve_on(sniffer.into_io(), read, service);
        }
        this
    }

    /// Whether it leaves for the successor as soon as it can, and is neither told nor let go.
    pub(super) fn may_leave(&self) -> bool {
        self.level >= Level::Draining
            && self.link.may_leave()
            && match &self.phase {
                Phase::Sniffing(..) => true,
                Phase::Http1(_) => !self.link.is_ending() && !self.link.is_upgraded(),
                _ => false,
            }
    }

    /// Before a poll of hyper's part: from here on it gets no bytes where there is room for us.
    pub(super) fn begin_leaving(&mut self, cx: &mut Context<'_>) {
        let mut permit = None;
        if let Some(room) = &mut self.room {
            if let Poll::Ready(turn) = room.poll(cx) {
                (permit, self.room) = (turn, None);
            }
        }
        self.link.begin_leaving(permit);
    }

    /// After that poll, if it was pending: takes the connection apart if it is between two requests and there is room. If
    /// there is none yet, the task is woken when there is.
    ///
    /// Nothing that others wait for is kept over a request.
    pub(super) fn leave(&mut self, cx: &mut Context<'_>) -> Result<Left, Error> {
        let permit = self.link.end_leaving();
        if !self.is_between_requests() || !self.link.may_leave() {
            self.room = None;
            return Ok(if permit.is_some() { Left::Withheld } else { Left::No });
        }
        let exit = &self.link.settings.exit;
        let permit = match permit {
            Some(permit) => Some(permit),
            None => match self.room.get_or_insert_with(|| Box::new(exit.room(Lane::Serve))).poll(cx) {
                Poll::Ready(permit) => permit,
                Poll::Pending => return Ok(Left::No),
            },
        };
        self.room = None;
        match permit {
            Some(permit) => {
                // What travels is the age of this wait, and not of the request before it.
                self.note_wait();
                self.go(permit).map(|()| Left::Yes)
            }
            None => Ok(Left::No),
        }
    }

    /// After a poll that was pending.
    pub(super) fn is_between_requests(&self) -> bool {
        match &self.phase {
            Phase::Sniffing(..) => true,
            Phase::Http1(_) => self.link.waiting().wait != Wait::Busy && !self.link.is_upgraded(),
            _ => false,
        }
    }

    /// hyper waits for a head and everything is flushed, or nothing has come to hyper yet.
    fn go(&mut self, permit: Permit) -> Result<(), Error> {
        let (begun, io, read, service) = match mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Sniffing(sniffer, service) => {
                let (io, read) = sniffer.into_parts();
                (Begun::Fresh, io, read, service)
            }
            Phase::Http1(http1) => {
                let Some((transport, read, herald)) = http1.into_parts() else { return Ok(()) };
                let (io, ahead, _) = transport.into_io();
                (Begun::Http1, io, [read, ahead].concat(), herald.into_handler())
            }
            phase => {
                self.phase = phase;
                return Ok(());
            }
        };
        // For how long half a head has been in hyper's buffer, behind another request, nobody knows.
        let is_half = begun == Begun::Http1 && self.clock.waiting().wait == Wait::Idle && !read.is_empty();
        let since = if is_half { None } else { self.clock.since() };
        let name = self.link.settings.socket.clone().expect("the exit of a socket without a name is closed");
        let parcel = Parcel {
            to: Destination::Serve { socket: name, begun },
            socket: socket::from_io(io).map_err(|error| self.lost("take out of the reactor", &error))?,
            read,
            state: Vec::new(),
            waited: since.map(|since| since.elapsed()).unwrap_or_default(),
        };
        self.phase = Phase::Away(self.link.settings.exit.leave(permit, parcel), service);
        Ok(())
    }

    /// What became of it. Ready: it has ended here, or is at another phase again.
    pub(super) fn poll_away(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let Phase::Away(leaving, _) = &mut self.phase else { return Poll::Ready(Ok(())) };
        let Poll::Ready(fate) = Pin::new(leaving).poll(cx) else { return Poll::Pending };
        let Phase::Away(_, service) = mem::replace(&mut self.phase, Phase::Ended) else { return Poll::Ready(Ok(())) };
        match fate {
            Fate::Taken => {
                self.link.guard().set_outcome(Outcome::HandedOver);
                Poll::Ready(Ok(()))
            }
            Fate::Back(parcel, why) => {
                let name = self.link.settings.socket.as_ref().map(crate::name::Name::as_str);
                crate::log::debug!(socket = name, why, "a connection was not handed over, and is drained");
                Poll::Ready(self.come_back(parcel, service))
            }
            Fate::Undecided => {
                self.link.guard().set_outcome(Outcome::Cut(Why::Undecided));
                let fault = "handed over, and it is not known here whether the successor serves it";
                Poll::Ready(Err(Error::new(ErrorKind::Connection, fault)))
            }
        }
    }

    /// It is ours again, and stays: served as before, and drained as any other.
    fn come_back(&mut self, parcel: Parcel, service: S) -> Result<(), Error> {
        let Parcel { to, socket, read, waited, .. } = parcel;
        self.link.stay();
        self.link.share();
        let io = socket::into_io(socket).map_err(|error| self.lost("take back into the reactor", &error))?;
        let since = before(waited);
        if matches!(to, Destination::Serve { begun: Begun::Fresh, .. }) {
            self.clock = Clock::since_then(since);
            self.sniff_on(Sniffer::shared(io), &read, service);
        } else {
            self.clock.carry(since, self.next_wait(&read));
            self.serve_on(io, read, service);
        }
        Ok(())
    }

    /// Goes on where somebody has stopped who could not tell the protocol, or could, and did not say.
    fn sniff_on(&mut self, mut sniffer: Sniffer<T>, read: &[u8], service: S) {
        let protocol = if read.is_empty() { None } else { sniffer.tell(read) };
        self.phase = Phase::Sniffing(sniffer, service);
        if let Some(protocol) = protocol {
            self.begin(protocol);
        }
    }

    /// Goes on between two requests of HTTP/1.
    fn serve_on(&mut self, io: T, read: Vec<u8>, service: S) {
        let mut transport = Transport::new(io, self.link.clone());
        transport.rewind(read.into());
        // This registration in the reactor has told nothing yet, and would wake nobody.
        self.link.set_dry(false);
        self.link.guard().set_kind(Kind::Http1);
        self.phase = self.phase_http1(transport, Herald::new(service, self.link.clone()));
    }

    /// What a connection that has changed hands waits for, if nothing has come of it since.
    fn next_wait(&self, read: &[u8]) -> Waiting {
        let wait = if read.is_empty() { Wait::Idle } else { Wait::Head };
        Waiting { wait, turn: self.link.next_turn() }
    }

    fn lost(&self, operation: &str, error: &std::io::Error) -> Error {
        self.link.guard().set_outcome(Outcome::Cut(Why::Undecided));
        failed(operation, error)
    }
}

/// So long ago.
pub(super) fn before(time: Duration) -> Instant {
    let now = Instant::now();
    now.checked_sub(time).unwrap_or(now)
}

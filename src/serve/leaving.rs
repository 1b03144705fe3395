//! How a connection leaves for the successor, comes back where it is declined, and begins where it came by handover.

use std::{
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use socket2::SockRef;
use tokio::time::Instant;

use super::{
    Connection, Handler, Io,
    clock::{Clock, Wait},
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
    handover::{Fate, Lane, Leaving, Parcel, Permit},
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
            this.clock.carry(since);
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
        let is_between_requests = match &self.phase {
            Phase::Sniffing(..) => true,
            Phase::Http1(_) => self.link.waiting().wait != Wait::Busy && !self.link.is_upgraded(),
            _ => false,
        };
        if !is_between_requests || !self.link.may_leave() {
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
            Some(permit) => self.go(permit).map(|()| Left::Yes),
            None => Ok(Left::No),
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
        let name = self.link.settings.socket.clone().expect("the exit of a socket without a name is closed");
        let parcel = Parcel {
            to: Destination::Serve { socket: name, begun },
            socket: socket::from_io(io).map_err(|error| self.lost("take out of the reactor", &error))?,
            read,
            state: Vec::new(),
            waited: self.clock.since().map(|since| since.elapsed()).unwrap_or_default(),
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
            Fate::Undecided => Poll::Ready(Err(self.undecided())),
        }
    }

    /// The deadline, while it is away. Whether it was in its middle.
    pub(super) fn cut_away(&mut self, mut leaving: Leaving) -> Result<bool, Error> {
        // What has been decided is known by now, though this task has not been woken for it yet.
        match Pin::new(&mut leaving).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Fate::Taken) => {
                self.link.guard().set_outcome(Outcome::HandedOver);
                Ok(false)
            }
            Poll::Ready(Fate::Back(parcel, _)) => {
                if self.link.is_inherited() {
                    socket::shut_down_socket(&SockRef::from(&parcel.socket));
                }
                Ok(!parcel.read.is_empty())
            }
            Poll::Ready(Fate::Undecided) | Poll::Pending => Err(self.undecided()),
        }
    }

    /// It is ours again, and stays: served as before, and drained as any other.
    fn come_back(&mut self, parcel: Parcel, service: S) -> Result<(), Error> {
        let Parcel { to, socket, read, waited, .. } = parcel;
        self.link.stay();
        let io = socket::into_io(socket).map_err(|error| self.lost("take back into the reactor", &error))?;
        let since = before(waited);
        if matches!(to, Destination::Serve { begun: Begun::Fresh, .. }) {
            self.clock = Clock::since_then(since);
            let sniffer = if self.link.is_inherited() { Sniffer::inherited(io) } else { Sniffer::new(io) };
            self.sniff_on(sniffer, &read, service);
        } else {
            self.clock.carry(since);
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
        self.link.guard().set_kind(Kind::Http1);
        self.phase = self.phase_http1(transport, Herald::new(service, self.link.clone()));
    }

    fn undecided(&self) -> Error {
        self.link.guard().set_outcome(Outcome::Cut(Why::Undecided));
        Error::new(ErrorKind::Connection, "handed over, and the successor has not said whether it serves it")
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

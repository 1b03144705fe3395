use std::{
    any::Any,
    convert::Infallible,
    future::{Ready, poll_fn},
    io,
    pin::pin,
    sync::Arc,
    task::Poll,
};

use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, mpsc},
};

use super::{
    Connection, Handler, Handshake, Io, Make,
    farewell::failed,
    handshake::{Start, prepare},
    intake::{Arrival, Arrived},
    leaving::{Inherited, before},
    link::Ticket,
    server::Setup,
    settings::Settings,
    slots::Slots,
    sniff::Sniffer,
};
use crate::{
    Error, ErrorKind, Listener, Tracker,
    accept::Acceptor,
    drain::{Kind, Level, Outcome, Watch, Why},
    handover::{Parcel, socket::or_shut_down},
};

/// The task of a `serve`: accepts, adopts what comes from a predecessor, and spawns it.
pub(super) struct Accepting<K, H> {
    make: K,
    handshake: H,
    settings: Arc<Settings>,
    slots: Slots,
    nodelay: bool,
    watch: Watch,
    tracker: Tracker,
}

/// What comes next.
enum Next<L: Listener> {
    Accepted(io::Result<(L::Io, L::Addr)>, Option<OwnedSemaphorePermit>),
    Arrived(Arrival),
}

impl<K, H> Accepting<K, H> {
    /// Until accepting has ended and so has the last connection.
    pub(super) async fn run<L>(setup: Setup<L, K, H>) -> io::Result<()>
    where
        L: Listener,
        K: Make<L>,
        H: Handshake<L::Io>,
    {
        let Setup {
            listener,
            make,
            handshake,
            mut settings,
            slots,
            nodelay,
            wiring,
            mut intake,
            rank,
            last_name,
            guard,
        } = setup;
        let local = listener.local_addr();
        settings.socket = wiring.name.clone();
        if intake.is_open() {
            settings.exit = wiring.exit;
        }
        let mut acceptor = Acceptor::new(listener, wiring.gate, wiring.name, rank);
        let broken = |acceptor: &Acceptor<L>, error| {
            let error = Error::io(ErrorKind::Socket, format!("accept from {}", acceptor.describe()), error);
            crate::log::error!(%error, "can never accept again");
            if wiring.failed.send(error.clone()).is_err() {
                crate::log::debug!("nobody is left to tell");
            }
            error.into()
        };
        let local = local.map_err(|error| broken(&acceptor, error))?;
        let (settings, watch, tracker) = (Arc::new(settings), wiring.watch, wiring.tracker);
        let mut accepting = Self { make, handshake, settings, slots, nodelay, watch, tracker };
        while let Some(next) = accepting.next(&mut acceptor, &mut intake.arrivals).await {
            match next {
                Next::Accepted(Ok((io, peer)), slot) => {
                    accepting.spawn(io, peer, &local, slot, intake.family.clone());
                }
                Next::Accepted(Err(error), _) => return Err(broken(&acceptor, error)),
                Next::Arrived(arrival) => accepting.adopt(arrival, &local),
            }
        }
        drop((acceptor, last_name));
        // A predecessor may still hand over to us while we do so to our successor: what comes goes on to that.
        let (mut arrivals, mut last, door) = intake.end();
        loop {
            let arrival = tokio::select! {
                biased;
                Some(arrival) = arrivals.recv() => arrival,
                _none = last.recv() => break,
            };
            tokio::select! {
                biased;
                () = poll_fn(|cx| accepting.make.poll_ready(cx)) => accepting.adopt(arrival, &local),
                () = accepting.watch.reached(Level::Over) => {}
            }
        }
        drop((door, guard));
        Ok(())
    }

    /// `None`: accepting has ended, or the drain's deadline has come.
    ///
    /// First waits for the make-service, then for a place among `max_connections`; while it does, the listener may become
    /// the successor's. Who comes from a predecessor has its place.
    async fn next<L>(
        &mut self,
        acceptor: &mut Acceptor<L>,
        arrivals: &mut mpsc::UnboundedReceiver<Arrival>,
    ) -> Option<Next<L>>
    where
        L: Listener,
        K: Make<L>,
    {
        let Self { make, slots, watch, .. } = self;
        // Asked first, for at a stop a queue that fills as fast as it is emptied must not outlive the deadline.
        if watch.level() == Level::Over {
            return None;
        }
        tokio::select! {
            biased;
            () = poll_fn(|cx| make.poll_ready(cx)) => {}
            () = acceptor.let_go() => return None,
            () = watch.reached(Level::Over) => return None,
        }
        let accepted = async {
            loop {
                tokio::select! {
                    biased;
                    () = slots.free() => {}
                    () = acceptor.let_go() => return None,
                }
                let mut accept = pin!(acceptor.accept());
                let accepted = poll_fn(|cx| match slots.take() {
                    Ok(slot) => accept.as_mut().poll(cx).map(|accepted| Some((accepted, slot))),
                    // Who came by handover has it.
                    Err(_full) => Poll::Ready(None),
                });
                if let Some((accepted, slot)) = accepted.await {
                    return Some(Next::Accepted(accepted?, slot));
                }
            }
        };
        tokio::select! {
            biased;
            Some(arrival) = arrivals.recv() => Some(Next::Arrived(arrival)),
            accepted = accepted => accepted,
            // In a shortage, the queue may not be empty then.
            () = watch.reached(Level::Over) => None,
        }
    }

    fn spawn<L>(
        &mut self,
        io: L::Io,
        peer: L::Addr,
        local: &L::Addr,
        slot: Option<OwnedSemaphorePermit>,
        family: mpsc::Sender<Infallible>,
    ) where
        L: Listener,
        K: Make<L>,
        H: Handshake<L::Io>,
    {
        if self.nodelay {
            set_nodelay(&io);
        }
        let service = self.make.make(&io, peer, local, false);
        let io = self.handshake.start(io);
        let (settings, watch) = (self.settings.clone(), self.watch.clone());
        let ticket = |kind| Ticket { guard: self.tracker.guard_of(kind), slot, family: Some(family) };
        match (io, service) {
            (Start::Done(io), Start::Done(service)) => {
                let connection = Connection::of_serve(io, service, watch, ticket(Kind::Fresh), settings);
                tokio::spawn(run(connection));
            }
            (io, service) => {
                let ticket = ticket(Kind::Handshake);
                tokio::spawn(async move {
                    match prepare(io, service, &watch, &ticket.guard, settings.head_deadline).await {
                        Ok((io, service)) => {
                            ticket.guard.set_kind(Kind::Fresh);
                            run(Connection::of_serve(io, service, watch, ticket, settings)).await;
                        }
                        Err(error) => settings.say_ended(&ticket.guard, Err(&error)),
                    }
                });
            }
        }
    }

    /// As `spawn`, of one that came by handover. From here on it is shut down wherever it is dropped.
    fn adopt<L>(&mut self, arrival: Arrival, local: &L::Addr)
    where
        L: Listener,
        K: Make<L>,
        H: Handshake<L::Io>,
    {
        let Arrived { parcel: Parcel { socket, read, waited, .. }, begun, ticket, .. } = arrival.into_inner();
        let (sniffer, peer) = match or_shut_down(socket, L::adopt) {
            Ok((io, peer)) => (Sniffer::shared(io), peer),
            Err(error) => {
                // Of a client that is gone there is nothing to lose.
                if error.kind() != io::ErrorKind::NotConnected {
                    ticket.guard.set_outcome(Outcome::Cut(Why::Undecided));
                }
                return self.settings.say_ended(&ticket.guard, Err(&failed("adopt", &error)));
            }
        };
        if self.nodelay {
            set_nodelay(sniffer.io());
        }
        let service = self.make.make(sniffer.io(), peer, local, true);
        let io = match self.handshake.adopt(sniffer.into_io()) {
            Ok(io) => io,
            // It was offered while `handshake` was being set, and admitted just before.
            Err(io) => {
                ticket.guard.set_outcome(Outcome::Cut(Why::Undecided));
                return drop(Sniffer::shared(io));
            }
        };
        let inherited = Inherited { sniffer: Sniffer::shared(io), begun, read, since: before(waited) };
        let (settings, watch) = (self.settings.clone(), self.watch.clone());
        match service {
            Start::Done(service) => {
                tokio::spawn(run(Connection::inherited(inherited, service, watch, ticket, settings)));
            }
            service => {
                tokio::spawn(async move {
                    let io = Start::<_, Ready<io::Result<_>>>::Done(inherited);
                    match prepare(io, service, &watch, &ticket.guard, settings.head_deadline).await {
                        Ok((inherited, service)) => {
                            run(Connection::inherited(inherited, service, watch, ticket, settings)).await;
                        }
                        Err(error) => settings.say_ended(&ticket.guard, Err(&error)),
                    }
                });
            }
        }
    }
}

async fn run<T: Io, S: Handler>(mut connection: Connection<T, S>) {
    let ended = (&mut connection).await;
    connection.link.settings.say_ended(connection.link.guard(), ended.as_ref().copied());
}

fn set_nodelay<T: Io>(io: &T) {
    let io: &dyn Any = io;
    if let Some(tcp) = io.downcast_ref::<TcpStream>() {
        if let Err(error) = tcp.set_nodelay(true) {
            // The client has gone already, which its connection will find out.
            crate::log::debug!(%error, "cannot set TCP_NODELAY");
        }
    }
}

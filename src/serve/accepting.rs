use std::{any::Any, convert::Infallible, future::poll_fn, io, sync::Arc};

use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};

use super::{
    Connection, Handler, Handshake, Io, Make,
    handshake::{Start, prepare},
    link::Ticket,
    server::Setup,
    settings::Settings,
};
use crate::{
    Error, ErrorKind, Listener, Tracker,
    accept::Acceptor,
    drain::{Kind, Level, Watch},
};

/// The task of a `serve`: accepts, and spawns what it accepts.
pub(super) struct Accepting<K, H> {
    make: K,
    handshake: H,
    settings: Arc<Settings>,
    nodelay: bool,
    watch: Watch,
    tracker: Tracker,
    /// Cloned into each connection: when the last is gone, so is the last connection.
    family: mpsc::Sender<Infallible>,
}

impl<K, H> Accepting<K, H> {
    /// Until accepting has ended and so has the last connection.
    pub(super) async fn run<L>(setup: Setup<L, K, H>) -> io::Result<()>
    where
        L: Listener,
        K: Make<L>,
        H: Handshake<L::Io>,
    {
        let Setup { listener, make, handshake, mut settings, slots, nodelay, wiring, rank, last_name, guard } = setup;
        let local = listener.local_addr();
        settings.socket = wiring.name.clone();
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
        let (family, mut last) = mpsc::channel(1);
        let mut accepting = Self {
            make,
            handshake,
            settings: Arc::new(settings),
            nodelay,
            watch: wiring.watch,
            tracker: wiring.tracker,
            family,
        };
        while let Some(slot) = accepting.ready(&mut acceptor, slots.as_ref()).await {
            let accepted = tokio::select! {
                biased;
                accepted = acceptor.accept() => accepted,
                // In a shortage, the queue may not be empty then.
                () = accepting.watch.reached(Level::Over) => None,
            };
            match accepted {
                Some(Ok((io, peer))) => accepting.spawn(io, peer, &local, slot),
                Some(Err(error)) => return Err(broken(&acceptor, error)),
                None => break,
            }
        }
        drop((acceptor, accepting, last_name));
        last.recv().await;
        drop(guard);
        Ok(())
    }

    /// Waits for a place among `max_connections`, and for the make-service. `None`: while it waited, the listener
    /// became the successor's, or the drain's deadline came.
    async fn ready<L>(
        &mut self,
        acceptor: &mut Acceptor<L>,
        slots: Option<&Arc<Semaphore>>,
    ) -> Option<Option<OwnedSemaphorePermit>>
    where
        L: Listener,
        K: Make<L>,
    {
        let Self { make, watch, .. } = self;
        // Asked first, for at a stop a queue that fills as fast as it is emptied must not outlive the deadline.
        if watch.level() == Level::Over {
            return None;
        }
        let ready = async {
            poll_fn(|cx| make.poll_ready(cx)).await;
            match slots {
                Some(slots) => Some(slots.clone().acquire_owned().await.expect("nobody closes the semaphore")),
                None => None,
            }
        };
        tokio::select! {
            biased;
            slot = ready => Some(slot),
            () = acceptor.let_go() => None,
            () = watch.reached(Level::Over) => None,
        }
    }

    fn spawn<L>(&mut self, io: L::Io, peer: L::Addr, local: &L::Addr, slot: Option<OwnedSemaphorePermit>)
    where
        L: Listener,
        K: Make<L>,
        H: Handshake<L::Io>,
    {
        if self.nodelay {
            set_nodelay(&io);
        }
        let service = self.make.make(&io, peer, local);
        let io = self.handshake.start(io);
        let (settings, watch) = (self.settings.clone(), self.watch.clone());
        let ticket = |kind| Ticket { guard: self.tracker.guard_of(kind), slot, family: Some(self.family.clone()) };
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

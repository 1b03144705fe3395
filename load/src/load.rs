//! A load, planned and running.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::JoinSet};

use crate::{
    Exchange, Stalled, Tally, Target, Timeline, Window,
    clients::{self, Client, Pace},
    meter::Meter,
    target::{Duplex, Handshake, Stream},
    witness::{Incident, Listener, Witness},
};

/// What each client of a load does.
#[derive(Clone, Debug)]
pub enum Mode {
    /// Asks again and again on one kept-alive HTTP/1.1 connection.
    KeepAlive(Exchange),
    /// The same when a request is due, whether or not the answers before it came in time (an open loop): each client asks
    /// every so often. Latency counts from when a request was due, so a server that stops for a while has been slow for all
    /// that would have been asked meanwhile. A client does not think.
    Steady {
        /// What is asked.
        exchange: Exchange,
        /// From one request of a client to its next. The clients' requests are spread evenly in time.
        every: Duration,
    },
    /// Opens a connection for each request, which asks the server to close it.
    Fresh(Exchange),
    /// Writes `depth` HTTP/1.1 requests in one go, then reads the answers.
    Pipelined {
        /// What is asked.
        exchange: Exchange,
        /// How many at a time.
        depth: usize,
    },
    /// Keeps so many streams open on one HTTP/2 connection.
    Http2 {
        /// What is asked on each stream.
        exchange: Exchange,
        /// How many at a time.
        streams: usize,
    },
    /// Sends messages on one WebSocket ([`Exchange::messages`]) and waits for the echo of each.
    WebSocket(Exchange),
}

/// A load, planned: a target, a mode, and knobs.
#[derive(Clone, Debug)]
#[must_use = "a load does nothing until `start`"]
pub struct Load {
    target: Target,
    mode: Mode,
    clients: u32,
    think: Duration,
    deadline: Duration,
    window: Window,
    handshake: Option<Handshake>,
    listener: Option<Listener>,
}

/// A load that runs. Dropping it ends it at once, in the middle of requests.
#[derive(Debug)]
#[must_use = "the load ends when this is dropped"]
pub struct Running {
    meter: Arc<Meter>,
    clients: JoinSet<()>,
    /// Its drop is the message.
    stop: watch::Sender<()>,
}

impl Load {
    /// How long a request may take.
    pub const DEADLINE: Duration = Duration::from_secs(10);

    /// One client that does not think.
    pub fn new(target: impl Into<Target>, mode: Mode) -> Self {
        let target = target.into();
        let (think, deadline, window) = (Duration::ZERO, Self::DEADLINE, Window::default());
        Self { target, mode, clients: 1, think, deadline, window, handshake: None, listener: None }
    }

    /// How many clients there are (1), each with its own connection.
    pub fn clients(self, clients: u32) -> Self {
        Self { clients, ..self }
    }

    /// How long a client pauses between an answer and its next request (not at all). The clients' pauses are spread
    /// evenly in time. A client that pauses sees the end of its connection, and does not use it again.
    pub fn think(self, think: Duration) -> Self {
        Self { think, ..self }
    }

    /// How long a request may take, with the connection that it needs ([`DEADLINE`](Self::DEADLINE)).
    pub fn deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// Keeps apart the latency of requests within this window.
    pub fn window(self, window: &Window) -> Self {
        Self { window: window.clone(), ..self }
    }

    /// What is done with each connection before anything is asked on it: TLS, say.
    pub fn handshake<F, Fut, Io>(self, handshake: F) -> Self
    where
        F: Fn(Stream) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<Io>> + Send + 'static,
        Io: Duplex + 'static,
    {
        Self { handshake: Some(Handshake::new(handshake)), ..self }
    }

    /// Who is told of each loss and each reconnect when it happens, and of which connection.
    pub fn witness(self, tell: impl Fn(Incident) + Send + Sync + 'static) -> Self {
        Self { listener: Some(Listener(Arc::new(tell))), ..self }
    }

    /// Starts all clients. Each makes at least one request.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn start(self) -> Running {
        let (stop, stopped) = watch::channel(());
        let meter = Arc::new(Meter::new(self.window.clone()));
        let mut clients = JoinSet::new();
        let every = if let Mode::Steady { every, .. } = self.mode { Some(every) } else { None };
        for number in 0..self.clients {
            let late = every.unwrap_or(self.think) * number / self.clients;
            let pace = Pace { deadline: self.deadline, think: self.think, every, late };
            let place = (self.target.clone(), self.handshake.clone());
            let witness = Witness::new(self.listener.clone());
            let client = Client::new(place, Arc::clone(&meter), stopped.clone(), pace, witness);
            match self.mode.clone() {
                Mode::KeepAlive(exchange) | Mode::Steady { exchange, .. } => {
                    clients.spawn(clients::keep_alive(client, exchange))
                }
                Mode::Fresh(exchange) => clients.spawn(clients::fresh(client, exchange)),
                Mode::Pipelined { exchange, depth } => clients.spawn(clients::pipelined(client, exchange, depth)),
                Mode::Http2 { exchange, streams } => clients.spawn(clients::http2(client, exchange, streams)),
                Mode::WebSocket(exchange) => clients.spawn(clients::websocket(client, exchange)),
            };
        }
        Running { meter, clients, stop }
    }
}

impl Running {
    /// How long [`reach`](Self::reach) and [`generation`](Self::generation) wait.
    pub const BARRIER: Duration = Duration::from_secs(30);

    /// How many requests were answered until now.
    pub fn answered(&self) -> u64 {
        self.meter.read(Tally::answered)
    }

    /// How many requests were lost until now.
    pub fn lost(&self) -> u64 {
        self.meter.read(Tally::lost)
    }

    /// What ended when, until now; afterwards the tally tells it ([`Tally::timeline`]).
    pub fn timeline(&self) -> Timeline {
        self.meter.read(|tally| tally.timeline().clone())
    }

    /// All figures until now.
    pub fn tally(&self) -> Tally {
        self.meter.tally()
    }

    /// Counts from now on, and forgets what was before: connects and first requests are a warm-up. Nobody may wait in
    /// [`reach`](Self::reach) meanwhile.
    pub fn begin_anew(&self) {
        self.meter.begin_anew();
    }

    /// Waits until at least `n` more requests were answered: a barrier for tests.
    ///
    /// # Errors
    ///
    /// They were not by [`BARRIER`](Self::BARRIER). The error prints the tally.
    pub async fn reach(&self, n: u64) -> Result<(), Stalled> {
        self.meter.reach(n, Self::BARRIER).await
    }

    /// Waits for the first answer of this generation, and tells when it was whole.
    ///
    /// # Errors
    ///
    /// There was none by [`BARRIER`](Self::BARRIER). The error prints the tally.
    pub async fn generation(&self, number: u64) -> Result<Instant, Stalled> {
        self.meter.generation(number, Self::BARRIER).await
    }

    /// Ends the load after the running requests, which takes at most their deadline.
    ///
    /// # Panics
    ///
    /// Where a client has panicked.
    pub async fn stop(mut self) -> Tally {
        drop(self.stop);
        while let Some(client) = self.clients.join_next().await {
            client.expect("no client panics");
        }
        self.meter.tally()
    }
}

//! Clients of every kind, more of them and fewer.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use load::{Exchange, Load, Mode, Running, Tally, Target};
use tokio::{runtime::Handle, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{
    book::Book,
    lines::{self, Seen},
};

/// How a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Get,
    Post,
    Fresh,
    Pipelined,
    Slow,
    Stream,
    WebSocket,
    Http2,
    Unix,
    Lines,
}

/// Those that ask.
pub(super) struct Clients {
    http: SocketAddr,
    lines: SocketAddr,
    unix: PathBuf,
    book: Arc<Book>,
    /// Theirs, and nobody else's.
    pub(super) runtime: Handle,
    running: Vec<(Kind, Asking)>,
    done: BTreeMap<Kind, Tally>,
    pub(super) seen: Arc<Seen>,
}

enum Asking {
    Load(Running),
    Lines(CancellationToken, Vec<JoinHandle<()>>),
}

impl Kind {
    pub(super) const ALL: [Self; 10] = [
        Self::Get,
        Self::Post,
        Self::Fresh,
        Self::Pipelined,
        Self::Slow,
        Self::Stream,
        Self::WebSocket,
        Self::Http2,
        Self::Unix,
        Self::Lines,
    ];

    /// Whose connection nobody ends, but by a word.
    fn keeps(self) -> bool {
        matches!(
            self,
            Self::Get | Self::Post | Self::Pipelined | Self::Slow | Self::Stream | Self::WebSocket | Self::Unix
        )
    }

    fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "post",
            Self::Fresh => "fresh",
            Self::Pipelined => "pipelined",
            Self::Slow => "slow",
            Self::Stream => "stream",
            Self::WebSocket => "websocket",
            Self::Http2 => "http2",
            Self::Unix => "unix",
            Self::Lines => "lines",
        }
    }

    /// What it asks, and how long it pauses: all of them together leave the machine usable.
    fn mode(self) -> (Mode, u64) {
        const MS: Duration = Duration::from_millis(1);
        match self {
            Self::Get | Self::Unix => (Mode::KeepAlive(Exchange::get()), 40),
            Self::Post => (Mode::KeepAlive(Exchange::post(60_000)), 100),
            Self::Fresh => (Mode::Fresh(Exchange::get()), 60),
            Self::Pipelined => (Mode::Pipelined { exchange: Exchange::get(), depth: 6 }, 150),
            Self::Slow => (Mode::KeepAlive(Exchange::slow(400 * MS)), 50),
            Self::Stream => (Mode::KeepAlive(Exchange::stream(300 * MS)), 50),
            Self::WebSocket => (Mode::WebSocket(Exchange::messages(300)), 60),
            Self::Http2 => (Mode::Http2 { exchange: Exchange::get(), streams: 4 }, 60),
            Self::Lines => unreachable!("they are no HTTP"),
        }
    }
}

impl Clients {
    /// Most that ask at a time, so that the machine stays usable.
    const MOST: usize = 24;

    pub(super) fn new([http, lines]: [SocketAddr; 2], unix: PathBuf, book: Arc<Book>, runtime: Handle) -> Self {
        Self { http, lines, unix, book, runtime, running: Vec::new(), done: BTreeMap::new(), seen: Arc::default() }
    }

    pub(super) fn more(&mut self, kind: Kind, count: u32) {
        if self.running.len() >= Self::MOST {
            return;
        }
        let asking = if kind == Kind::Lines { self.more_lines(count) } else { self.more_http(kind, count) };
        self.running.push((kind, asking));
    }

    fn more_lines(&self, count: u32) -> Asking {
        let stop = CancellationToken::new();
        let one = |_| {
            let (book, seen) = (Arc::clone(&self.book), Arc::clone(&self.seen));
            self.runtime.spawn(lines::ask(self.lines, Duration::from_millis(40), book, seen, stop.clone()))
        };
        let tasks = (0..count).map(one).collect();
        Asking::Lines(stop, tasks)
    }

    fn more_http(&self, kind: Kind, count: u32) -> Asking {
        let target = if kind == Kind::Unix { Target::from(self.unix.clone()) } else { Target::from(self.http) };
        let (mode, think) = kind.mode();
        let _theirs = self.runtime.enter();
        let load = Load::new(target, mode).clients(count).think(Duration::from_millis(think)).deadline(Book::PATIENCE);
        Asking::Load(load.witness(self.book.witness(kind.name(), kind.keeps())).start())
    }

    /// The oldest of those that have come later than the first of each kind go.
    pub(super) async fn fewer(&mut self) {
        if self.running.len() > Kind::ALL.len() {
            let (kind, asking) = self.running.remove(Kind::ALL.len());
            self.stop(kind, asking).await;
        }
    }

    /// All of them; what all have seen, by kind.
    pub(super) async fn end(mut self) -> (BTreeMap<Kind, Tally>, Arc<Seen>) {
        for (kind, asking) in std::mem::take(&mut self.running) {
            self.stop(kind, asking).await;
        }
        (self.done, self.seen)
    }

    async fn stop(&mut self, kind: Kind, asking: Asking) {
        match asking {
            Asking::Load(running) => *self.done.entry(kind).or_default() += running.stop().await,
            Asking::Lines(stop, tasks) => {
                stop.cancel();
                for task in tasks {
                    if let Err(error) = task.await {
                        self.book.violated(format!("clients of lines go on: {error}"));
                    }
                }
            }
        }
    }
}

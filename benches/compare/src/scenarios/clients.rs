use std::time::Duration;

use load::{Exchange, Load, Mode, Window};

use crate::systems::Running;

/// Who asks, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clients {
    /// 64, back to back, on kept-alive connections.
    Busy,
    /// 64, together 4,000 requests a second: a twentieth of what the slowest answers. Latency is from when they were due.
    Steady,
    /// 64, each with a body of 3 kB, back to back.
    Post,
    /// 16, with a connection for each request.
    Fresh,
    /// 256, who think for 20 ms between an answer and the next request.
    Thinking,
    /// 5,000, who think for 2 s, and 16 steady ones beside them.
    MostlyIdle,
    /// 8 connections with 8 streams each.
    Http2,
    /// 64, whose answers take 300 ms.
    Slow,
    /// 64, who send messages back to back.
    WebSocket,
    /// 8, together 1,000 requests a second.
    Few,
    /// wrk with 64 connections, by this script.
    Wrk(&'static str),
}

const MS: Duration = Duration::from_millis(1);

/// No client that asks again at once is later.
pub(crate) const AT_ONCE: Duration = Duration::from_millis(50);

const LONG: Duration = Duration::from_secs(2);

impl Clients {
    /// What they would do; wrk is another program.
    pub(crate) fn loads(self, system: &Running, window: &Window) -> Vec<Load> {
        let load = |mode, clients| Load::new(system.address(), mode).clients(clients).window(window);
        let get = Exchange::get;
        let steady = |every| Mode::Steady { exchange: get(), every };
        match self {
            Self::Busy => vec![load(Mode::KeepAlive(get()), 64)],
            Self::Steady => vec![load(steady(16 * MS), 64)],
            Self::Post => vec![load(Mode::KeepAlive(Exchange::post(3_000).answered_by("hello world")), 64)],
            Self::Fresh => vec![load(Mode::Fresh(get()), 16)],
            Self::Thinking => vec![load(Mode::KeepAlive(get()), 256).think(20 * MS)],
            Self::MostlyIdle => {
                let idle = load(Mode::KeepAlive(get()), 5_000).think(LONG);
                vec![idle, load(steady(16 * MS), 16)]
            }
            Self::Http2 => {
                let mode = Mode::Http2 { exchange: get(), streams: 8 };
                vec![Load::new(system.http2_address(), mode).clients(8).window(window)]
            }
            Self::Slow => vec![load(Mode::KeepAlive(Exchange::slow(300 * MS)), 64)],
            Self::WebSocket => vec![load(Mode::WebSocket(Exchange::messages(64)), 64)],
            Self::Few => vec![load(steady(8 * MS), 8)],
            Self::Wrk(_) => Vec::new(),
        }
    }

    /// For how long they do nothing between an answer and the next request, at most: they open no connection before.
    pub(crate) fn think(self) -> Duration {
        if self == Self::MostlyIdle { LONG } else { AT_ONCE }
    }

    /// How many answers say that all of them are connected.
    pub(crate) fn warm(self) -> u64 {
        match self {
            Self::MostlyIdle => 5_000,
            Self::Slow => 64,
            Self::Few => 24,
            _ => 500,
        }
    }
}

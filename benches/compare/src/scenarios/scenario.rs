use std::time::Duration;

use super::Clients;
use crate::{measure::Pace, server::Setup};

/// What clients do while a system is restarted, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) clients: Clients,
    pub(crate) course: Course,
    /// Whether all cores are wanted by others as well.
    pub(crate) machine: Machine,
    pub(crate) sockets: usize,
    pub(crate) start_ms: u64,
    pub(crate) gib: usize,
}

/// What is done to a system meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    /// Nothing: what it does when it is left alone.
    Nothing,
    /// Restarts, spread evenly.
    Restarts,
    /// One.
    OneRestart,
    /// One into a release that is broken, and then one into a good one.
    BrokenRelease,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Machine {
    Free,
    /// As many threads spin as there are cores, and as many ask.
    Saturated,
}

/// The script by which wrk opens a connection for each request.
pub(crate) const FRESH: &str = "fresh";

/// For how many sockets what each adds to a restart is found.
pub(crate) const SOCKETS: [usize; 3] = [1, 100, 1_000];

const PLAIN: Scenario = Scenario {
    name: "",
    clients: Clients::Busy,
    course: Course::Restarts,
    machine: Machine::Free,
    sockets: 1,
    start_ms: 0,
    gib: 0,
};

const fn asked_by(name: &'static str, clients: Clients) -> Scenario {
    Scenario { name, clients, ..PLAIN }
}

const fn sockets(name: &'static str, sockets: usize) -> Scenario {
    Scenario { name, clients: Clients::Few, sockets, ..PLAIN }
}

impl Scenario {
    pub(crate) const ALL: [Self; 21] = [
        asked_by("busy keep-alive", Clients::Busy),
        asked_by("constant rate", Clients::Steady),
        asked_by("POST of 3 kB", Clients::Post),
        asked_by("fresh connections", Clients::Fresh),
        asked_by("thinking clients", Clients::Thinking),
        asked_by("5,000 mostly idle", Clients::MostlyIdle),
        asked_by("HTTP/2", Clients::Http2),
        asked_by("slow responses", Clients::Slow),
        asked_by("WebSocket", Clients::WebSocket),
        Self { machine: Machine::Saturated, ..asked_by("saturated machine", Clients::Busy) },
        Self { start_ms: 300, ..asked_by("300 ms to start", Clients::Steady) },
        Self { course: Course::BrokenRelease, ..asked_by("broken release", Clients::Steady) },
        Self { course: Course::OneRestart, gib: 4, ..asked_by("4 GiB resident", Clients::Steady) },
        sockets("1 socket", SOCKETS[0]),
        sockets("100 sockets", SOCKETS[1]),
        sockets("1,000 sockets", SOCKETS[2]),
        Self { course: Course::Nothing, ..asked_by("wrk, no restart", Clients::Wrk("get")) },
        asked_by("wrk", Clients::Wrk("get")),
        asked_by("wrk, POST", Clients::Wrk("post")),
        asked_by("wrk, pipelined", Clients::Wrk("pipeline")),
        asked_by("wrk, fresh connections", Clients::Wrk(FRESH)),
    ];

    /// Half of it, where what is looked for is there at each restart, or at none.
    pub(crate) fn pace(&self, pace: Pace) -> Pace {
        let is_brief = self.clients == Clients::Few || matches!(self.course, Course::Nothing | Course::OneRestart);
        match self.clients {
            // They think for two seconds: in less, too few of them ask before the restart.
            Clients::MostlyIdle => Pace { time: pace.time.max(Duration::from_secs(2)), ..pace },
            _ if is_brief => pace.brief(),
            _ => pace,
        }
    }

    pub(crate) fn setup(&self, default: &Setup) -> Setup {
        Setup { sockets: self.sockets, start_ms: self.start_ms, gib: self.gib, ..default.clone() }
    }
}

//! A restart that fails while clients are served, and what has to hold then.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use load::{Exchange, Load, Mode, Running, Tally};
use tokio::runtime::Runtime;

use super::{Fleet, Setup, echo, process};

/// What a process holds on to: the same before and after a restart that failed.
#[derive(Debug, PartialEq, Eq)]
pub struct Footprint {
    descriptors: Vec<PathBuf>,
    threads: usize,
    /// Zombies among them.
    children: Vec<i32>,
}

impl Footprint {
    pub fn of(pid: i32) -> Self {
        let mut descriptors: Vec<_> = process::descriptors(pid).into_iter().map(|it| it.target).collect();
        descriptors.sort();
        Self { descriptors, threads: process::threads(pid), children: process::children(pid) }
    }

    pub fn descriptors(&self) -> &[PathBuf] {
        &self.descriptors
    }

    /// Waits until the process is as it was: a thread that has said its last word may still be about to end.
    #[track_caller]
    pub fn returns(&self, pid: i32) {
        let mut now = Self::of(pid);
        let end = Instant::now() + Duration::from_secs(30);
        while now != *self {
            assert!(Instant::now() < end, "it was {self:#?}, and stays {now:#?}");
            std::thread::park_timeout(Duration::from_millis(1));
            now = Self::of(pid);
        }
    }
}

/// What became of all clients.
#[derive(Debug)]
pub struct Outcomes {
    pub lines: echo::Tally,
    pub kept: Tally,
    pub fresh: Tally,
}

/// Clients of both listeners: they send lines, requests on kept-alive connections, and requests on fresh ones.
#[derive(Debug)]
pub struct Clients {
    lines: echo::Load,
    requests: [Running; 2],
    runtime: Runtime,
}

impl Clients {
    pub const EACH: u32 = 2;

    /// On, and all of them served.
    pub fn on(fleet: &Fleet) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let here = runtime.enter();
        let start = |mode: fn(Exchange) -> Mode| {
            let load = Load::new(fleet.http, mode(Exchange::get())).clients(Self::EACH);
            // Not as fast as possible: all tests share the machine.
            load.think(Duration::from_millis(2)).start()
        };
        let requests = [Mode::KeepAlive, Mode::Fresh].map(start);
        drop(here);
        let clients = Self { lines: echo::Load::on(fleet.echo), requests, runtime };
        clients.until_served();
        clients
    }

    /// Waits until each was served once more, at least on average.
    #[track_caller]
    pub fn until_served(&self) {
        self.lines.until_served(2 * echo::Load::CLIENTS);
        for requests in &self.requests {
            let reached = self.runtime.block_on(requests.reach(2 * u64::from(Self::EACH)));
            reached.unwrap_or_else(|stalled| panic!("{stalled}"));
        }
    }

    /// Off, and nobody was lost. How often a kept-alive connection had to be opened anew.
    #[track_caller]
    pub fn off(self) -> u64 {
        let Outcomes { lines, kept, fresh } = self.outcomes();
        assert_eq!((lines.refused, lines.cut), (0, 0), "{lines:?}");
        assert_eq!((kept.lost(), fresh.lost()), (0, 0), "{kept}\n{fresh}");
        kept.reconnects()
    }

    /// Off, and what became of each.
    pub fn outcomes(self) -> Outcomes {
        let lines = self.lines.off();
        let [kept, fresh] = self.requests.map(|requests| self.runtime.block_on(requests.stop()));
        Outcomes { lines, kept, fresh }
    }
}

/// A server that restarts and fails, and must not be changed by that.
#[derive(Debug)]
pub struct Trial {
    pub fleet: Fleet,
    before: Footprint,
}

impl Trial {
    pub fn new() -> Self {
        Self::of(Setup::new())
    }

    pub fn of(setup: Setup) -> Self {
        let fleet = setup.start();
        let before = Footprint::of(fleet.first());
        Self { fleet, before }
    }

    /// Asks for a restart, which must fail as this kind: clients are served meanwhile and afterwards, not one is lost, and
    /// nothing is left of it. The message.
    #[track_caller]
    pub fn fails(&mut self, kind: &str) -> String {
        let said = self.outcome();
        let message = said.strip_prefix(&format!("{kind}: "));
        message.unwrap_or_else(|| panic!("it did not fail as {kind}: {said}\nlog:\n{}", self.fleet.log())).to_owned()
    }

    /// The same, however it fails: `Kind: message`.
    #[track_caller]
    pub fn outcome(&mut self) -> String {
        let clients = Clients::on(&self.fleet);
        self.fleet.ask(self.fleet.first());
        let said = self.fleet.answer(0);
        clients.until_served();
        assert_eq!(clients.off(), 0, "a restart that fails ends no connection");
        self.before.returns(self.fleet.first());
        said
    }

    /// The same server can be restarted after all, and nobody is lost then either.
    #[track_caller]
    pub fn succeeds(&mut self) {
        self.fleet.release.good();
        self.succeeds_with_this();
    }

    /// The same with the release as it is.
    #[track_caller]
    pub fn succeeds_with_this(&mut self) {
        let clients = Clients::on(&self.fleet);
        self.fleet.restart(0, self.fleet.first());
        clients.until_served();
        clients.off();
        assert_eq!(self.fleet.until("done generation=0").number("code"), 0);
        assert!(self.fleet.first_exit().success());
    }
}

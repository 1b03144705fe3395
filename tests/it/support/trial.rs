//! A restart that fails while clients are served, and what has to hold then.

use std::path::PathBuf;

use super::{
    Fleet, Setup,
    echo::{Load, Tally},
    process,
};

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

    /// Waits until the process is as it was: a thread that has said its last word may still be about to end.
    #[track_caller]
    pub fn returns(&self, pid: i32) {
        let mut now = Self::of(pid);
        let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while now != *self {
            assert!(std::time::Instant::now() < end, "it was {self:#?}, and stays {now:#?}");
            std::thread::park_timeout(std::time::Duration::from_millis(1));
            now = Self::of(pid);
        }
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
        let load = Load::on(self.fleet.echo);
        self.fleet.ask(self.fleet.first());
        let said = self.fleet.answer(0);
        assert!(!said.starts_with("replaced"), "it did not fail");
        load.until_served(2 * Load::CLIENTS);
        nobody_is_lost(load.off());
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
        let load = Load::on(self.fleet.echo);
        self.fleet.restart(0, self.fleet.first());
        load.until_served(2 * Load::CLIENTS);
        nobody_is_lost(load.off());
        assert_eq!(self.fleet.until("done generation=0").number("code"), 0);
        assert!(self.fleet.first_exit().success());
    }
}

#[track_caller]
fn nobody_is_lost(Tally { served, refused, cut }: Tally) {
    assert_eq!((refused, cut), (0, 0), "{served} were served");
}

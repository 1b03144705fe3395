//! One restart under load in which something befalls one generation at one step.

use std::{
    fs::File,
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
    path::PathBuf,
    time::{Duration, Instant},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::Signal,
};

use super::{
    seen::{Moved, Seen, has_logged},
    step::{Cell, Side, Step},
};
use crate::{
    shortage::limit,
    support::{
        Clients, Fleet, Footprint, Line, Outcomes, Setup,
        fault::{ALLOCATOR, Fault},
        http::Client,
        process,
    },
};

/// A bound for a broken run, and never part of what is tested.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is looked, and how often an hour passes for whoever is to come to its deadlines.
const PAUSE: Duration = Duration::from_millis(5);

/// How many descriptors a server may have when nothing is short.
const FILES: u32 = 1024;

/// How long the successors are on probation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probation {
    Short,
    /// Somebody who is to end on probation has the time to, and is not waited for for ever.
    Long,
    /// No probation ends but by what befalls, or when an hour has passed.
    Endless,
}

impl Probation {
    fn milliseconds(self) -> &'static str {
        match self {
            Self::Short => "50",
            Self::Long => "2000",
            Self::Endless => "60000",
        }
    }
}

#[derive(Debug)]
pub struct Trial {
    cell: Cell,
    fleet: Fleet,
    before: Footprint,
    heir: Option<i32>,
    answer: Option<String>,
}

impl Trial {
    #[track_caller]
    pub fn run(cell: Cell, probation: Probation) -> Seen {
        let (generation, mark, word) = (cell.step.side().generation(), cell.step.mark(), cell.fault.word());
        let mut at = format!("{generation}:{mark}:{word}");
        if cell.waits_for_ready() {
            at += ",1:SayReady:note";
        }
        // Nobody is let go for idling, however slow the machine is, and a drain has all the time that it needs.
        let setup = Setup::new().with("AT", at).with("GRACE_MS", "60000").with("AT_ONCE", "1");
        let setup = setup.with("STOP_DEADLINE_MS", "120000").with("PROBATION_MS", probation.milliseconds());
        // So that a generation says one thing after the other.
        let setup = if matches!(cell.fault, Fault::Stop | Fault::Full | Fault::Stderr) {
            setup.with("THREADS", "1")
        } else {
            setup
        };
        let setup = match cell.fault {
            Fault::Memory | Fault::Heap => {
                ALLOCATOR.into_iter().fold(setup, |setup, (name, value)| setup.variable(name, value))
            }
            _ => setup,
        };
        let fleet = setup.variable("RUST_BACKTRACE", "0").start();
        if cell.step.is_of_declining() {
            // It serves the sockets, and takes no live connection of them. Its successors are like it.
            fleet.release.after("export HR_HAND_OVER=never");
        }
        let before = Footprint::of(fleet.first());
        let mut trial = Self { cell, fleet, before, heir: None, answer: None };
        let clients = Clients::on(&trial.fleet);
        trial.fleet.ask(trial.fleet.first());
        trial.befall();
        trial.settle();
        trial.lift();
        trial.see(clients, probation)
    }

    /// Until it has happened, and not only been said: whoever is killed or exits has gone then. Where somebody stands still, until everything that the other one waits for has come to its
    /// deadline.
    fn befall(&mut self) {
        let struck = format!("struck at={} ", self.cell.step.mark().replace(' ', "_"));
        self.until(|this| this.fleet.look(&struck).is_some());
        let victim = self.fleet.until(&struck).pid();
        match self.cell.fault {
            Fault::Stop => process::until(|| process::state(victim) == 'T'),
            Fault::Full => return self.outlast_full_channel(victim),
            Fault::Stderr => return self.outlast_full_stderr(victim),
            _ => {
                let suffers = format!("suffers at={} ", self.cell.step.mark().replace(' ', "_"));
                return self.until(|this| this.fleet.look(&suffers).is_some() || !Fleet::lives(victim));
            }
        }
        match self.cell.step.side() {
            Side::Predecessor => self.outlast_predecessor(),
            Side::Successor => {
                self.heir = Some(victim);
                if self.cell.step == Step::SaysDeclined {
                    self.until(|this| this.shared(victim).is_empty());
                }
                let first = self.fleet.first();
                self.until(|_| {
                    Fleet::pass_an_hour(first);
                    !Fleet::lives(first) || !Fleet::lives(victim)
                });
            }
        }
        process::go_on(victim);
    }

    /// Until it can do nothing more, because the other generation stands still.
    fn outlast_full_channel(&mut self, victim: i32) {
        self.fleet.until(&format!("suffers at={} ", self.cell.step.mark().replace(' ', "_")));
        self.meet_heir();
        let other = match self.cell.step.side() {
            Side::Predecessor => self.heir.expect("it stands still"),
            Side::Successor => self.fleet.first(),
        };
        // It has one thread, and more than one look tells a wait for the other from one for something else. Or it has nothing
        // left to say, and has ended.
        let mut looks = 0;
        self.until(|_| {
            looks = if process::state(victim) == 'S' { looks + 1 } else { 0 };
            looks == 4 || !Fleet::lives(victim)
        });
        process::go_on(other);
    }

    /// Until it waits in a write, because the other generation, which reads that, stands still.
    fn outlast_full_stderr(&mut self, victim: i32) {
        let first = self.fleet.first();
        self.until(|_| process::state(first) == 'T' && is_full(victim));
        process::go_on(first);
        let suffers = format!("suffers at={} ", self.cell.step.mark().replace(' ', "_"));
        self.until(|this| this.fleet.look(&suffers).is_some());
    }

    /// A successor waits for its sockets by a deadline, and for nothing else.
    fn outlast_predecessor(&mut self) {
        self.meet_heir();
        let Some(heir) = self.heir else { return };
        if self.cell.waits_for_ready() {
            self.fleet.until("struck at=SayReady");
        }
        let (gives_up, mut hours) = (self.cell.step == Step::HelloSaid, 0);
        let hour = format!("hour pid={heir}");
        self.until(|this| {
            Fleet::pass_an_hour(heir);
            while this.fleet.look(&hour).is_some() {
                this.fleet.until(&hour);
                hours += 1;
            }
            // The second one is said when what followed from the first was done.
            !Fleet::lives(heir) || !gives_up && hours >= 2
        });
    }

    /// The sockets that both have. Whoever says DECLINED has closed what it declines, and the predecessor, which has not
    /// heard it, has it still: one that is in both was given back and kept. Its listeners the predecessor may be about to
    /// let go.
    fn shared(&self, heir: i32) -> Vec<PathBuf> {
        let sockets = |pid| {
            let all = process::descriptors(pid).into_iter().map(|it| it.target);
            all.filter(|target| target.to_string_lossy().starts_with("socket:")).collect::<Vec<_>>()
        };
        let (ours, mut theirs) = (sockets(self.fleet.first()), sockets(heir));
        theirs.retain(|socket| ours.contains(socket));
        theirs
    }

    /// The successor's pid, as soon as it can be known.
    fn meet_heir(&mut self) {
        let said = self.fleet.look("started generation=1").map(Line::pid);
        let first = self.fleet.first();
        self.heir = said.or(self.heir).or_else(|| process::children(first).first().copied());
    }

    /// Until one generation is left, or none.
    fn settle(&mut self) {
        let first = self.fleet.first();
        self.until(|this| {
            this.meet_heir();
            this.hear_answer();
            if !Fleet::lives(first) {
                let is_over = this.fleet.look("ready generation=1").is_some() || this.fleet.have_all_ended();
                // It may have been heard of only now.
                this.meet_heir();
                return is_over;
            }
            let failed = this.answer.as_ref().is_some_and(|answer| answer != "replaced");
            failed && !this.heir.is_some_and(Fleet::lives)
        });
        // What it has said may still be in the pipe.
        if !Fleet::lives(first) && matches!(self.fleet.first_exit().code(), Some(0 | 1)) {
            self.until(|this| this.fleet.look("done generation=0").is_some());
        }
        self.hear_answer();
    }

    fn hear_answer(&mut self) {
        if self.fleet.look("answer generation=0").is_some() {
            let said = self.fleet.answer(0);
            self.answer = said.split([' ', ':']).next().map(str::to_owned);
        }
    }

    /// What was short is there again.
    fn lift(&self) {
        let victim = match self.cell.step.side() {
            Side::Predecessor => Some(self.fleet.first()),
            Side::Successor => self.heir,
        };
        let Some(victim) = victim.filter(|victim| Fleet::lives(*victim)) else { return };
        match self.cell.fault {
            Fault::Files => limit(victim, "nofile", FILES),
            Fault::Memory => limit(victim, "as", "unlimited"),
            _ => {}
        }
    }

    #[track_caller]
    fn see(mut self, clients: Clients, probation: Probation) -> Seen {
        let first = self.fleet.first();
        let serves = self.who_serves();
        if serves.is_some() {
            clients.until_served();
        }
        let clients = clients.outcomes();
        let code = (!Fleet::lives(first)).then(|| self.fleet.first_exit().code());
        let done = self.fleet.look("done generation=0").cloned();
        let moved = |done: &Line| Moved { handed: done.number("handed"), told: done.number("told") };
        let moved = done.as_ref().map(moved);
        let done = done.map(|done| (&done["lost"] == "true", done.number("cut")));
        let left = match serves {
            Some(0) => {
                self.before.returns(first);
                None
            }
            Some(_) => self.left(self.heir.expect("it serves")),
            None => None,
        };
        let log = self.log(serves, code);
        let lost_again = serves.map(|serves| self.restart(serves, probation));
        Seen { answer: self.answer, serves, clients, code, done, moved, left, lost_again, log }
    }

    /// With the last that whoever is left has to say of it, which may still be in the pipe.
    fn log(&mut self, serves: Option<u64>, code: Option<Option<i32>>) -> String {
        let (generation, last) = match (serves, code) {
            (Some(0), _) => (0, "the restart failed"),
            (_, Some(Some(0 | 1))) => (0, ": drained "),
            (Some(_), _) => (1, ": ready"),
            (None, _) => return self.fleet.log(),
        };
        self.until(|this| has_logged(&this.fleet.log(), generation, last));
        self.fleet.log()
    }

    #[track_caller]
    fn who_serves(&self) -> Option<u64> {
        loop {
            let mut client = Client::try_connect(self.fleet.http)?;
            match client.try_get("/") {
                Ok(answer) => return Some(answer.generation),
                // The last who had the socket has just gone.
                Err(_) if !self.heir.is_some_and(Fleet::lives) => {}
                Err(error) => panic!("{}: whoever is connected is served: {error}\n{}", self.cell, self.fleet.log()),
            }
        }
    }

    /// What the successor has in the end that its predecessor had not when nobody had come, or the other way round.
    fn left(&self, heir: i32) -> Option<String> {
        let mut left = String::new();
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let (had, has) = (self.before.kinds(), Footprint::of(heir).kinds());
            let children = process::children(heir);
            if had == has && children.is_empty() {
                return None;
            }
            left = format!("descriptors {has:?}, and not {had:?}; children {children:?}");
            std::thread::park_timeout(PAUSE);
        }
        Some(left)
    }

    /// Another restart, in which nothing befalls anybody. How many clients it loses.
    #[track_caller]
    fn restart(&mut self, from: u64, probation: Probation) -> u64 {
        let pid = if from == 0 { self.fleet.first() } else { self.heir.expect("it serves") };
        let ready = format!("ready generation={}", from + 1);
        // What one has said that has failed since.
        while self.fleet.look(&ready).is_some() {
            self.fleet.until(&ready);
        }
        self.fleet.release.after("unset HR_AT");
        let clients = Clients::on(&self.fleet);
        self.fleet.signal(pid, Signal::SIGUSR2);
        self.fleet.until(&ready);
        if probation == Probation::Endless {
            self.end_probation(from, pid);
        }
        self.fleet.until(&format!("done generation={from}"));
        clients.until_served();
        let Outcomes { lines, kept, fresh } = clients.outcomes();
        // Whose hours end its probation accepts meanwhile: who has connected and not asked yet has had its time.
        let aged = if probation == Probation::Endless { u64::from(Clients::EACH) } else { 0 };
        (lines.cut + lines.refused) as u64 + kept.lost() + fresh.lost().saturating_sub(aged)
    }

    /// An hour ends it. One that passes too early, before its deadline is set, does nothing, and one that passes too late
    /// ends the drain: so one after the other, slowly.
    fn end_probation(&mut self, from: u64, pid: i32) {
        let (mut next, ending) = (Instant::now(), format!("ending generation={from}"));
        self.until(|this| {
            if Instant::now() >= next {
                Fleet::pass_an_hour(pid);
                next = Instant::now() + Duration::from_secs(1);
            }
            this.fleet.look(&ending).is_some()
        });
    }

    #[track_caller]
    fn until(&mut self, mut holds: impl FnMut(&mut Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(Instant::now() < end, "{}: it never came to hold\nlog:\n{}", self.cell, self.fleet.log());
            std::thread::park_timeout(PAUSE);
        }
    }
}

impl Cell {
    /// The predecessor has only to hear READY: then it must lie there when that one goes on.
    fn waits_for_ready(self) -> bool {
        self.step == Step::AcceptedHeard && self.fault == Fault::Stop
    }
}

/// Whether its standard error, a pipe, takes nothing more.
fn is_full(pid: i32) -> bool {
    let mut open = File::options();
    let pipe = open.write(true).custom_flags(libc::O_NONBLOCK).open(format!("/proc/{pid}/fd/2")).expect("a pipe");
    poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLOUT)], PollTimeout::ZERO) == Ok(0)
}

impl Footprint {
    /// What its descriptors are, and not which.
    fn kinds(&self) -> Vec<PathBuf> {
        let kind = |target: &PathBuf| {
            target.to_string_lossy().trim_end_matches(|c: char| c.is_ascii_digit() || c == ']').into()
        };
        self.descriptors().iter().map(kind).collect()
    }
}

//! Carrying out one operation after the other, and looking whether all is as it should be.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use nix::sys::signal::Signal;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_hotrestart::control;

use super::{
    asking::Outcome,
    book::Book,
    clients::Clients,
    fleet::{Fleet, Ready},
    held::{Held, holds},
    level::Level,
    operation::{Moment, Operation, Way, Whom},
    process::Process,
    server::DRAIN_DEADLINE,
};

/// Carries out what is drawn.
pub(super) struct Conductor {
    pub(super) fleet: Arc<Fleet>,
    pub(super) book: Arc<Book>,
    pub(super) clients: Clients,
    pub(super) http: SocketAddr,
    pub(super) storms: JoinSet<()>,
    pub(super) level: Level,
    /// How often each operation ended how.
    pub(super) done: BTreeMap<String, BTreeMap<String, u64>>,
}

/// Whether the serving generation may have been killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    None,
    Possible,
}

impl Conductor {
    /// An error: something that must come did not come.
    pub(super) async fn carry_out(&mut self, number: u64, operation: Operation) -> anyhow::Result<()> {
        self.make_room().await?;
        let (generation, serving) = self.serving(Loss::None).await?;
        self.book.log(&format!("#{number} {operation:?}, generation {generation}"));
        let began = Instant::now();
        let (outcome, loss) = self.operate(operation, serving).await?;
        let (after, _) = self.serving(loss).await?;
        self.book.log(&format!("   {outcome}; generation {after}, {} ms", began.elapsed().as_millis()));
        *self.done.entry(operation.name()).or_default().entry(outcome).or_default() += 1;
        Ok(())
    }

    async fn operate(&mut self, operation: Operation, serving: Ready) -> anyhow::Result<(String, Loss)> {
        let pid = serving.process;
        let outcome = match operation {
            Operation::Restart { by } => {
                let outcome = self.fleet.ask(by, pid).await?;
                self.expect(&outcome, outcome == Outcome::Replaced, "a good binary replaces");
                outcome
            }
            Operation::BadBinary { fault, by } => {
                self.fleet.place.install(Some(fault))?;
                let outcome = self.fleet.ask(by, pid).await?;
                self.fleet.place.install(None)?;
                let kind = format!("{:?}", fault.told_as());
                self.expect(&outcome, outcome.failed_as(&[&kind]), "a bad binary fails, and is told as what it is");
                outcome
            }
            Operation::Freeze { whom, after, time } => self.freeze(pid, whom, after, time).await?,
            Operation::KillSuccessor { when, after } => {
                return self.kill_successor(pid, when, after).await;
            }
            Operation::KillPredecessor { after } => return self.kill_predecessor(serving, after).await,
            Operation::KillDraining { after } => {
                let outcome = self.fleet.ask(Way::Control, pid).await?;
                self.expect(&outcome, outcome == Outcome::Replaced, "a good binary replaces");
                sleep(after).await;
                let killed = self.kill(serving).await?;
                return Ok((if killed { "killed" } else { "too late" }.into(), Loss::None));
            }
            Operation::KillServing { down } => {
                self.kill(serving).await?;
                sleep(down).await;
                return Ok(("killed".into(), Loss::Possible));
            }
            Operation::TwoAtOnce { ways: [one, other], apart } => {
                let other = async {
                    sleep(apart).await;
                    self.fleet.ask(other, pid).await
                };
                let (one, other) = tokio::join!(self.fleet.ask(one, pid), other);
                let mut outcomes = [one?, other?];
                outcomes.sort_by_key(|outcome| *outcome != Outcome::Replaced);
                let [best, other] = &outcomes;
                let fine = ["Busy", "Ending", "NotReady", "TookNotOver"];
                let is_fine = *best == Outcome::Replaced && (other == best || other.failed_as(&fine));
                let is_fine = is_fine || (*best == Outcome::Replaced && *other == Outcome::Nobody);
                self.expect(&outcomes[1], is_fine, "of two restarts at once one replaces, and the other is told");
                return Ok((format!("{:?} and {:?}", outcomes[0], outcomes[1]), Loss::None));
            }
            Operation::AskDraining { by_signal } => {
                let outcome = self.fleet.ask(Way::Control, pid).await?;
                self.expect(&outcome, outcome == Outcome::Replaced, "a good binary replaces");
                if by_signal {
                    // It may have ended meanwhile.
                    let asked = pid.signal(Signal::SIGUSR2);
                    return Ok((if asked { "asked" } else { "too late" }.into(), Loss::None));
                }
                let outcome = self.fleet.ask(Way::Method, pid).await?;
                let is_fine = outcome == Outcome::Nobody || outcome.failed_as(&["Ending"]);
                self.expect(&outcome, is_fine, "who has been replaced says that it ends");
                outcome
            }
            Operation::More { kind, clients } => {
                self.clients.more(kind, clients);
                return Ok(("more".into(), Loss::None));
            }
            Operation::Fewer => {
                self.clients.fewer().await;
                return Ok(("fewer".into(), Loss::None));
            }
            Operation::Storm { storm, count, time } => {
                let blown = storm.blow(self.http, count, time, Arc::clone(&self.book));
                self.storms.spawn_on(blown, &self.clients.runtime);
                return Ok(("blown".into(), Loss::None));
            }
            Operation::Shortage { spare, time, restart } => {
                let outcome = self.shortage(pid, spare, time, restart).await?;
                if !restart {
                    return Ok(("short".into(), Loss::None));
                }
                outcome
            }
        };
        Ok((format!("{outcome:?}"), Loss::None))
    }

    fn expect(&self, outcome: &Outcome, is_so: bool, invariant: &str) {
        if !is_so {
            self.book.violated(format!("{invariant}: {outcome:?}"));
        }
    }

    async fn freeze(&self, pid: Process, whom: Whom, after: Duration, time: Duration) -> anyhow::Result<Outcome> {
        let freeze = async |whom: Process| {
            let _hold = self.book.hold();
            // Either fails where it has just ended.
            let _ended = whom.signal(Signal::SIGSTOP);
            sleep(time).await;
            let _ended = whom.signal(Signal::SIGCONT);
        };
        let held_up = async {
            sleep(after).await;
            match whom {
                Whom::Predecessor => freeze(pid).await,
                Whom::Successor => {
                    if let Some(successor) = self.successor(pid).await? {
                        freeze(successor).await;
                    }
                }
                Whom::Draining => {}
            }
            anyhow::Ok(())
        };
        let (outcome, ()) = self.fleet.ask_while(held_up).await?;
        if whom == Whom::Draining && pid.is_alive() {
            freeze(pid).await;
        }
        let is_long = time > Duration::from_secs(1);
        let is_fine = outcome == Outcome::Replaced || (is_long && outcome.failed_as(&["Deadline"]));
        self.expect(&outcome, is_fine, "who goes on within the deadlines is as if it had not stood still");
        Ok(outcome)
    }

    /// The one that is being started by this one.
    async fn successor(&self, pid: Process) -> anyhow::Result<Option<Process>> {
        let end = Instant::now() + Duration::from_secs(3);
        while Instant::now() < end && pid.is_alive() {
            let known = |child: &Process| self.fleet.facts().ready.values().any(|ready| ready.process == *child);
            if let Some(child) = self.fleet.children(pid)?.into_iter().find(|child| !known(child)) {
                return Ok(Some(child));
            }
            sleep(Duration::from_millis(1)).await;
        }
        Ok(None)
    }

    async fn kill_successor(&self, pid: Process, when: Moment, after: Duration) -> anyhow::Result<(String, Loss)> {
        let before = self.fleet.newest().map(|(_, ready)| ready.inodes);
        let killed = async {
            let Some(successor) = self.successor(pid).await? else { return Ok(false) };
            if when == Moment::OnProbation {
                let is_ready = |facts: &mut super::fleet::Facts| {
                    let is_it = facts.ready.values().any(|ready| ready.process == successor);
                    (is_it || !successor.is_alive()).then_some(())
                };
                self.fleet.until("successor that is ready", Duration::from_secs(10), is_ready).await?;
            }
            sleep(after).await;
            self.kill(Ready { process: successor, inodes: before.unwrap_or_default() }).await
        };
        let (outcome, killed) = self.fleet.ask_while(killed).await?;
        // Where it has stood still for so long before, on a busy machine, the deadline was faster.
        let is_fine = outcome.failed_as(&["Killed", "Probation"]) && killed || outcome.failed_as(&["Deadline"]);
        let is_fine = is_fine || outcome == Outcome::Replaced;
        self.expect(&outcome, is_fine, "a successor that is killed has failed");
        Ok((format!("{outcome:?}"), Loss::Possible))
    }

    /// In the middle of a restart: the successor serves, if it has all.
    async fn kill_predecessor(&self, serving: Ready, after: Duration) -> anyhow::Result<(String, Loss)> {
        let killed = async {
            // It has spawned somebody, or else this would be an end outside of a restart.
            self.successor(serving.process).await?;
            sleep(after).await;
            self.kill(serving).await
        };
        let (outcome, killed) = self.fleet.ask_while(killed).await?;
        let is_fine = outcome == Outcome::Replaced || killed && outcome.failed_as(&["ChannelClosed", "Ending"]);
        self.expect(&outcome, is_fine, "who asks a server that is killed is told that it has ended");
        Ok((format!("{outcome:?}"), Loss::Possible))
    }

    async fn shortage(&self, pid: Process, spare: u64, time: Duration, restart: bool) -> anyhow::Result<Outcome> {
        use rustix::process::{Resource, Rlimit, prlimit};
        let limited = |who: Process, limit: Rlimit| {
            prlimit(rustix::process::Pid::from_raw(who.pid.as_raw()), Resource::Nofile, limit)
        };
        let _hold = self.book.hold();
        let numbers = std::fs::read_dir(format!("/proc/{pid}/fd"))?.flatten();
        let highest = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<u64>().ok()).max().unwrap_or(0);
        let all = rustix::process::getrlimit(Resource::Nofile);
        limited(pid, Rlimit { current: Some(highest + 1 + spare), maximum: all.maximum })?;
        let outcome = if restart { self.fleet.ask(Way::Control, pid).await? } else { Outcome::Replaced };
        sleep(time).await;
        // Those that it has started meanwhile have inherited it.
        for pid in self.fleet.processes()?.0 {
            // It may have just ended.
            let _ended = limited(pid, all);
        }
        let kinds = ["NoDescriptors", "Exited", "Killed", "Torn", "Protocol", "ChannelClosed", "Socket", "Refused"];
        let is_fine = outcome == Outcome::Replaced || outcome.failed_as(&kinds);
        self.expect(&outcome, is_fine, "a restart without descriptors is told as that");
        Ok(outcome)
    }

    /// Stops a process, writes down what it holds, and kills it. `false`: it had ended by itself.
    async fn kill(&self, victim: Ready) -> anyhow::Result<bool> {
        // Whoever asks meanwhile may stand behind it.
        let _hold = self.book.hold();
        let stopped = Instant::now();
        if !self.fleet.freeze(victim.process).await? {
            return Ok(false);
        }
        let [http, lines, _] = self.fleet.place.ports;
        let held = match Held::by(victim.process.pid, &[http, lines], &self.fleet.place.file("unix")) {
            // Whoever had given it up by a deadline has killed it meanwhile.
            Err(_) if !victim.process.is_alive() => return Ok(false),
            held => held?,
        };
        let others: Vec<_> = self.fleet.processes()?.0.into_iter().filter(|other| *other != victim.process).collect();
        // One that is not ready yet may have no time to be: then what is asked until a supervisor comes is lost, too.
        let accepts = |other: &Process| {
            let is_ready = self.fleet.facts().ready.values().any(|ready| ready.process == *other);
            is_ready && victim.inodes.iter().all(|inode| holds(other.pid, *inode))
        };
        let held = if others.iter().any(accepts) {
            held
        } else {
            self.book.down(stopped);
            held.with_queues()
        };
        self.book.log(&format!(
            "   kill {}, which holds {} and {} by Unix",
            victim.process,
            held.clients.len(),
            held.unix
        ));
        self.book.condemn(&held, stopped);
        if let Some(before) = self.fleet.predecessor(victim.process) {
            // An error: it has just ended.
            if let Ok(held) = Held::by(before.pid, &[http, lines], &self.fleet.place.file("unix")) {
                self.book.orphan(&held);
            }
        }
        Ok(victim.process.signal(Signal::SIGKILL))
    }

    /// The generation that serves, by the control path: it must be the newest. Where it may have been killed, a supervisor
    /// starts another one.
    async fn serving(&self, loss: Loss) -> anyhow::Result<(u64, Ready)> {
        let end = Instant::now() + Duration::from_secs(20);
        let mut seen = String::new();
        while Instant::now() < end {
            match control::status(self.fleet.place.file("control")).await {
                Ok(status) => {
                    let newest = self.fleet.newest();
                    seen = format!(
                        "{} of pid {} is {}, the newest is {newest:?}",
                        status.generation, status.pid, status.state
                    );
                    if let Some((generation, ready)) = newest {
                        let is_it =
                            status.pid == ready.process.pid.as_raw().unsigned_abs() && status.generation == generation;
                        if is_it && status.state == "ready" {
                            self.book.up();
                            return Ok((generation, ready));
                        }
                    }
                }
                Err(error) => seen = format!("nobody: {error}"),
            }
            let (living, _) = self.fleet.processes()?;
            let draining = self.fleet.draining();
            if living.iter().all(|pid| draining.contains(pid)) {
                anyhow::ensure!(loss == Loss::Possible, "somebody serves at any time: all drain or have ended; {seen}");
                self.book.log("   a supervisor starts the server");
                self.fleet.start_anew().await?;
            }
            sleep(Duration::from_millis(20)).await;
        }
        anyhow::bail!("the newest generation is ready, and answers at the control path: {seen}")
    }

    /// So many drain at most, lest a restart is refused.
    async fn make_room(&mut self) -> anyhow::Result<()> {
        if self.fleet.draining().len() > 5 {
            self.until_drained(2).await?;
        }
        Ok(())
    }

    async fn until_drained(&self, most: usize) -> anyhow::Result<()> {
        let end = Instant::now() + DRAIN_DEADLINE + Duration::from_secs(10);
        while self.fleet.draining().len() > most {
            anyhow::ensure!(Instant::now() < end, "a drain ends by its deadline: {:?}", self.fleet.draining());
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// When nothing is under way: whether the serving generation has no more of anything than those before it.
    pub(super) async fn rest(&mut self) -> anyhow::Result<()> {
        while let Some(ended) = self.storms.join_next().await {
            ended.context("storms end")?;
        }
        self.until_drained(0).await?;
        let (generation, ready) = self.serving(Loss::None).await?;
        let [http, lines, _] = self.fleet.place.ports;
        let held = Held::by(ready.process.pid, &[http, lines], &self.fleet.place.file("unix"))?;
        let line = self.level.look(ready.process.pid, &held, &self.book)?;
        self.book.log(&format!("   rest: generation {generation} has {line}"));
        Ok(())
    }
}

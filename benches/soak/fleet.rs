//! All processes of the server, and what they say.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fs::File,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, bail};
use nix::{
    errno::Errno,
    sys::{
        signal::Signal,
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Notify,
    time::{Instant, timeout},
};

use super::{
    book::Book,
    place::Place,
    process::{self, Process},
};

/// All processes of the server: each becomes ours when its parent has ended, so none can get lost.
pub(super) struct Fleet {
    pub(super) place: Place,
    threads: usize,
    stdout: File,
    shared: Arc<Shared>,
    pub(super) book: Arc<Book>,
}

struct Shared {
    facts: Mutex<Facts>,
    news: Notify,
}

/// What is known of them.
#[derive(Default)]
pub(super) struct Facts {
    /// All that were ever ready, since a server was last started from nothing.
    pub(super) ready: BTreeMap<u64, Ready>,
    pub(super) states: HashMap<Process, String>,
    /// Of restarts that were asked for by the method: from whom, and how it went.
    pub(super) answers: VecDeque<(Process, String)>,
    /// How those ended that have become ours, by number: who is started anew takes its number's place.
    pub(super) ended: HashMap<Pid, WaitStatus>,
    pub(super) generations: u64,
    /// What drains have reported, in sum.
    pub(super) handed: u64,
    pub(super) raced: u64,
    pub(super) cut: u64,
    /// A server that is started from nothing is expected to be generation 0 of other sockets.
    anew: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Ready {
    pub(super) process: Process,
    /// HTTP, Unix, lines, datagrams.
    pub(super) inodes: [u64; 4],
}

impl Fleet {
    pub(super) fn new(place: Place, threads: usize, book: Arc<Book>) -> anyhow::Result<Self> {
        nix::sys::prctl::set_child_subreaper(true)?;
        let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
        let shared = Arc::new(Shared { facts: Mutex::default(), news: Notify::new() });
        let (heard, noted) = (Arc::clone(&shared), Arc::clone(&book));
        // A thread, because it is to read also while clients keep the runtime busy.
        std::thread::spawn(move || {
            for line in BufReader::new(File::from(read)).lines().map_while(Result::ok) {
                if let Err(error) = heard.hear(&line, &noted) {
                    noted.violated(format!("servers say what is expected: {line:?}: {error:#}"));
                }
            }
        });
        tokio::spawn(Arc::clone(&shared).reap(signal(SignalKind::child())?));
        let stdout = File::from(write);
        Ok(Self { place, threads, stdout, shared, book })
    }

    /// Starts a process: generation 0 where nobody serves, and else one that takes over.
    pub(super) fn start(&self) -> anyhow::Result<Process> {
        let log = File::options().create(true).append(true).open(self.place.file("log"))?;
        let ports = self.place.ports.map(|port| port.to_string()).join(",");
        let mut command = Command::new(self.place.file("program"));
        command.arg("--be").arg(self.place.path()).args(["--ports", &ports]);
        command.args(["--threads", &self.threads.to_string()]);
        command
            .env("RUST_LOG", "info")
            .env_remove("RUST_BACKTRACE")
            .stdin(Stdio::null())
            .stdout(self.stdout.try_clone()?)
            .stderr(log);
        // Whoever buries it waits for these, so what is forgotten here is the end of another one with the same number.
        let mut facts = self.facts();
        let child = command.spawn().context("start a server")?;
        let pid = Pid::from_raw(child.id().try_into()?);
        facts.ended.remove(&pid);
        Ok(Process::now(pid))
    }

    /// Starts generation 0.
    pub(super) async fn start_anew(&self) -> anyhow::Result<()> {
        {
            let mut facts = self.facts();
            facts.anew = true;
        }
        let process = self.start()?;
        let ready = self.until("generation 0", Duration::from_secs(20), |facts| {
            let is_it = facts.ready.get(&0).is_some_and(|ready| ready.process == process);
            is_it.then_some(Ok(())).or_else(|| facts.ended.get(&process.pid).map(|status| Err(*status)))
        });
        if let Err(status) = ready.await? {
            bail!("a server that is started where nobody serves ends: {status:?}");
        }
        self.book.up();
        Ok(())
    }

    /// Waits until something is so.
    pub(super) async fn until<T>(
        &self,
        what: &str,
        deadline: Duration,
        mut look: impl FnMut(&mut Facts) -> Option<T>,
    ) -> anyhow::Result<T> {
        let looked = async {
            loop {
                let mut news = std::pin::pin!(self.shared.news.notified());
                news.as_mut().enable();
                if let Some(found) = look(&mut self.facts()) {
                    return found;
                }
                // Deaths of processes that are not ours yet are told by nobody.
                let _elapsed = timeout(Duration::from_millis(10), news).await;
            }
        };
        timeout(deadline, looked).await.with_context(|| format!("no {what} within {deadline:?}"))
    }

    pub(super) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.shared.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest generation that lives.
    pub(super) fn newest(&self) -> Option<(u64, Ready)> {
        let facts = self.facts();
        facts.ready.iter().rev().map(|(number, ready)| (*number, *ready)).find(|(_, ready)| ready.process.is_alive())
    }

    /// Those that have been replaced and live on: also the last of all, where its successor has been killed.
    pub(super) fn draining(&self) -> Vec<Process> {
        let facts = self.facts();
        let drains = |(who, state): (&Process, &String)| (state == "draining" && who.is_alive()).then_some(*who);
        facts.states.iter().filter_map(drains).collect()
    }

    /// Whoever drains and counts on this one, which has replaced it.
    pub(super) fn predecessor(&self, successor: Process) -> Option<Process> {
        let facts = self.facts();
        let (generation, _) = facts.ready.iter().find(|(_, ready)| ready.process == successor)?;
        let before = facts.ready.get(&generation.checked_sub(1)?)?.process;
        (facts.states.get(&before)? == "draining" && before.is_alive()).then_some(before)
    }

    /// All that live, zombies apart.
    pub(super) fn processes(&self) -> anyhow::Result<(Vec<Process>, Vec<Process>)> {
        let mut children: HashMap<Pid, Vec<process::Stat>> = HashMap::new();
        for stat in process::all()? {
            children.entry(stat.parent).or_default().push(stat);
        }
        let (mut living, mut zombies, mut parents) = (Vec::new(), Vec::new(), vec![Pid::this()]);
        while let Some(parent) = parents.pop() {
            for stat in children.remove(&parent).unwrap_or_default() {
                if stat.lives() { &mut living } else { &mut zombies }.push(stat.process);
                parents.push(stat.process.pid);
            }
        }
        Ok((living, zombies))
    }

    /// Those whom this process has started and that live.
    pub(super) fn children(&self, parent: Process) -> anyhow::Result<Vec<Process>> {
        let its = |stat: process::Stat| (stat.parent == parent.pid && stat.lives()).then_some(stat.process);
        Ok(process::all()?.into_iter().filter_map(its).collect())
    }

    /// The end of the servers' log.
    pub(super) fn log_tail(&self) -> String {
        let log = std::fs::read(self.place.file("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log).into_owned();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// Stops a process, and waits until it stands still. `false`: it has ended.
    pub(super) async fn freeze(&self, process: Process) -> anyhow::Result<bool> {
        if !process.signal(Signal::SIGSTOP) {
            return Ok(false);
        }
        let end = Instant::now() + Duration::from_secs(5);
        loop {
            match process.stands_still() {
                Some(true) => return Ok(true),
                None => return Ok(false),
                Some(false) if Instant::now() > end => bail!("{process} does not stop"),
                Some(false) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // Again and again, because one of them may just be starting another.
        while let Ok((living, _)) = self.processes() {
            if living.is_empty() {
                return;
            }
            for process in living {
                // It may have just ended, and that is how it should be.
                let _ended = process.signal(Signal::SIGKILL);
                let _not_ours = waitpid(process.pid, None);
            }
        }
    }
}

impl Shared {
    /// Whoever has become ours is buried here, and nowhere else.
    async fn reap(self: Arc<Self>, mut died: tokio::signal::unix::Signal) {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => {
                    if died.recv().await.is_none() {
                        return;
                    }
                }
                Ok(status) => {
                    if let Some(pid) = status.pid() {
                        self.facts().ended.insert(pid, status);
                        self.news.notify_waiters();
                    }
                }
                Err(_) => {}
            }
        }
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, line: &str, book: &Book) -> anyhow::Result<()> {
        let (word, rest) = line.split_once(' ').context("a word")?;
        let fields: HashMap<_, _> = rest.split(' ').filter_map(|field| field.split_once('=')).collect();
        let field = |name: &str| fields.get(name).copied().with_context(|| format!("no {name}"));
        let number = |name: &str| Ok::<u64, anyhow::Error>(field(name)?.parse()?);
        let (generation, process) = (number("generation")?, Process::said(field("process")?)?);
        let mut facts = self.facts();
        match word {
            "ready" => {
                let inodes = field("inodes")?.split(',').map(str::parse).collect::<Result<Vec<u64>, _>>()?;
                let ready = Ready { process, inodes: inodes.try_into().ok().context("four inodes")? };
                if let Some(wrong) = facts.welcome(generation, ready) {
                    book.violated(wrong);
                }
            }
            "state" => {
                facts.states.retain(|who, _| who.is_alive());
                facts.states.insert(process, field("is")?.to_owned());
            }
            "answer" => {
                // Some are waited for by nobody.
                facts.answers.truncate(100);
                facts.answers.push_front((process, field("kind")?.to_owned()));
            }
            "done" => {
                facts.handed += number("handed")?;
                facts.raced += number("raced")?;
                facts.cut += number("cut")?;
            }
            _ => bail!("what does it mean?"),
        }
        drop(facts);
        self.news.notify_waiters();
        Ok(())
    }
}

impl Facts {
    /// `Some`: an invariant that does not hold.
    fn welcome(&mut self, generation: u64, ready: Ready) -> Option<String> {
        self.generations += 1;
        if generation == 0 {
            let anew = std::mem::take(&mut self.anew);
            self.ready = BTreeMap::from([(0, ready)]);
            return (!anew).then(|| format!("nobody begins anew while somebody serves: {ready:?}"));
        }
        let before = self.ready.get(&(generation - 1)).copied();
        let same = self.ready.insert(generation, ready).filter(|same| same.process.is_alive());
        if let Some(same) = same {
            return Some(format!("a generation is one process: {generation} is {ready:?} and {same:?}"));
        }
        match before {
            None => Some(format!("generations rise by one: {generation} is ready, and none was before it")),
            Some(before) if before.inodes != ready.inodes => {
                Some(format!("each generation has the same sockets: {before:?}, and then {ready:?}"))
            }
            Some(_) => None,
        }
    }
}

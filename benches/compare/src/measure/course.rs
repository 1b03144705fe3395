//! What is done to a system while it is asked.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::Context;
use load::Window;
use tokio::{
    runtime,
    sync::oneshot,
    time::{sleep, sleep_until, timeout},
};

use super::{Pace, cpu::Cpu, ports::Ports};
use crate::{
    process::has_ended,
    results::Run,
    scenarios::Course,
    systems::{Running, Told, pid_of},
};

/// For how long a successor is looked for.
const PATIENCE: Duration = Duration::from_secs(10);

/// For how long at least what clients see is a restart's, after it: connections are still being moved or closed.
pub(crate) const AFTERMATH: Duration = Duration::from_millis(500);

/// And for how long at most, where the old process is still there: in the percentiles of one that drains for seconds, its
/// quiet time would hide the rest.
pub(crate) const CLOSING: Duration = Duration::from_secs(1);

/// For how long at most clients ask on: as long as the old process is there, those who are still with it have their restart
/// before them. Ours tells them over five seconds.
pub(crate) const CONSEQUENCES: Duration = Duration::from_secs(8);

/// What it is called how long the old process was there, among the figures.
const OLD: &str = "until the old process had ended, ms";

/// Where the restarts of a run are noted.
pub(super) struct Log<'a> {
    pub(super) run: &'a mut Run,
    pub(super) window: &'a Window,
    pub(super) began: Instant,
    /// Of clients who don't count their reconnects.
    pub(super) ports: Option<Ports>,
    /// How late a client may notice that its connection has ended.
    pub(super) think: Duration,
    /// Until the first restart, where somebody counts answers.
    pub(super) cpu: Option<Cpu<'a>>,
}

impl Course {
    /// Takes as long as the pace says, and until the last restart has no more consequences.
    pub(super) async fn take(self, system: &mut Running, pace: Pace, mut log: Log<'_>) -> anyhow::Result<()> {
        let end = log.began + pace.time;
        match self {
            Self::Nothing => {}
            Self::Restarts => log.restarts(system, pace, pace.restarts).await?,
            Self::OneRestart => log.restarts(system, pace, 1).await?,
            Self::BrokenRelease => log.broken_release(system, pace).await?,
        }
        sleep_until(end.into()).await;
        Ok(())
    }
}

impl Log<'_> {
    async fn restarts(&mut self, system: &mut Running, pace: Pace, restarts: u32) -> anyhow::Result<()> {
        let each = pace.time / restarts.max(1);
        for number in 0..restarts {
            // After a quarter of its share, so that there is some time before the first, and more after the last.
            let due = self.began + each * number + each / 4;
            sleep_until(due.into()).await;
            self.note_cpu(system)?;
            let open = self.window.open();
            let before = whoever_serves(system).await?;
            let asked = Instant::now();
            let old = self.restart(system, before).await?.then_some(before);
            let next = self.began + each * (number + 1) + each / 4;
            let last = Instant::now() + CONSEQUENCES;
            self.consequences(old, asked, if number + 1 < restarts { next } else { last }, open).await;
            if let Some(ports) = &mut self.ports {
                self.run.reconnects += ports.appeared()?;
            }
        }
        Ok(())
    }

    fn note_cpu(&mut self, system: &Running) -> anyhow::Result<()> {
        if let Some(cpu) = self.cpu.take() {
            self.run.cpu_us = cpu.until_now(system)?;
        }
        Ok(())
    }

    /// Waits while a restart has consequences: for the end of the old process, where another serves, because one that keeps
    /// its clients would look as if it lost none; and then until each of them has noticed.
    async fn consequences(&mut self, old: Option<u64>, asked: Instant, latest: Instant, window: impl Sized) {
        let (mut until, closes) = (Instant::now() + AFTERMATH, Instant::now() + CLOSING);
        let mut window = Some(window);
        if let Some(old) = old {
            while !has_ended(old) && Instant::now() < latest {
                sleep(Duration::from_millis(2)).await;
                window = window.filter(|_| Instant::now() < closes);
            }
            if has_ended(old) {
                self.run.figures.insert(OLD.into(), 1e3 * asked.elapsed().as_secs_f64());
            } else {
                self.run.notes.push(format!("the old process was still there {:.1?} after a restart", asked.elapsed()));
            }
            until = until.max(Instant::now() + self.think);
        }
        sleep_until(until.min(latest).into()).await;
    }

    /// Asks for one, and looks for the successor meanwhile.
    async fn restart(&mut self, system: &mut Running, before: u64) -> anyhow::Result<bool> {
        let asked = Instant::now();
        self.run.restarts.push((asked - self.began).as_secs_f64());
        let successor = look_for_successor(system.address(), before, asked)?;
        if let Told::Failed(why) = system.restart(before).await? {
            return Ok(self.failed(&why));
        }
        match successor.await? {
            Some(took) => self.run.restart_ms.push(1e3 * took.as_secs_f64()),
            None => return Ok(self.failed(&format!("no successor within {PATIENCE:?}"))),
        }
        Ok(true)
    }

    fn failed(&mut self, why: &str) -> bool {
        self.run.failed_restarts += 1;
        self.run.notes.push(format!("a restart failed: {}", why.trim()));
        false
    }

    async fn broken_release(&mut self, system: &mut Running, pace: Pace) -> anyhow::Result<()> {
        let quarter = pace.time / 4;
        sleep_until((self.began + quarter).into()).await;
        self.note_cpu(system)?;
        let (before, said) = (whoever_serves(system).await?, system.log().len());
        system.break_release()?;
        let open = self.window.open();
        self.run.restarts.push(self.began.elapsed().as_secs_f64());
        let told = system.restart(before).await?;
        sleep_until((self.began + 2 * quarter).into()).await;
        let serves = timeout(quarter, system.check()).await.unwrap_or_default();
        let log = system.log();
        let word =
            log.get(said..).unwrap_or_default().lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        self.run.notes.push(match told {
            Told::Failed(why) => format!("whoever asked was told: {}", one_line(&why)),
            Told::Nothing if word.is_empty() => "nobody was told anything".into(),
            Told::Nothing => format!("whoever asked was told nothing; the log says: {}", one_line(word)),
            Told::Succeeded => "whoever asked was told that it had succeeded".into(),
        });
        self.run.failed_restarts += usize::from(serves.is_none_or(|serves| serves == before));
        self.run.notes.push(match serves {
            None => "nobody served".into(),
            Some(serves) if serves == before => "the old one served on".into(),
            Some(_) => "another process served".into(),
        });
        drop(open);
        system.mend_release()?;
        let (old, open, asked) = (serves.unwrap_or(before), self.window.open(), Instant::now());
        let succeeded = self.restart(system, old).await?;
        let again = if succeeded { "succeeded" } else { "failed too" };
        self.run.notes.push(format!("the next restart, into a good release, {again}"));
        self.consequences(succeeded.then_some(old), asked, Instant::now() + CONSEQUENCES, open).await;
        Ok(())
    }
}

/// The process that is about to be replaced. Without it, it would be taken for its own successor.
async fn whoever_serves(system: &Running) -> anyhow::Result<u64> {
    let serves = async {
        loop {
            if let Some(pid) = system.check().await {
                return pid;
            }
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, serves).await.with_context(|| format!("nobody answers within {PATIENCE:?}"))
}

/// On a thread of its own: on that of the clients, it would wait in their queue. Ends when nobody waits for it.
fn look_for_successor(
    address: SocketAddr,
    before: u64,
    asked: Instant,
) -> anyhow::Result<oneshot::Receiver<Option<Duration>>> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut found, look) = oneshot::channel();
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                took = successor(address, before, asked) => drop(found.send(took)),
                () = found.closed() => {}
            }
        });
    });
    Ok(look)
}

/// How long it took until another process than this one answered a new connection.
async fn successor(address: SocketAddr, before: u64, asked: Instant) -> Option<Duration> {
    let answered = async {
        loop {
            match pid_of(address).await {
                Some(pid) if pid != before => return asked.elapsed(),
                _ => sleep(Duration::from_millis(1)).await,
            }
        }
    };
    timeout(PATIENCE, answered).await.ok()
}

/// The whole of it, on one line of a table.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

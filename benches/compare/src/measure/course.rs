//! What is done to a system while it is asked.

use std::time::{Duration, Instant};

use anyhow::Context;
use load::Window;
use tokio::time::{sleep, sleep_until, timeout};

use super::{
    Pace,
    cpu::Cpu,
    lookout::{Lookout, PATIENCE},
    ports::Ports,
};
use crate::{
    results::Run,
    scenarios::Course,
    systems::{Running, Told},
};

/// For how long at least what clients see is a restart's, after the new process has answered: connections are still being
/// moved or closed.
pub(crate) const AFTERMATH: Duration = Duration::from_millis(500);

/// And for how long at most, where the old process is still there: in the percentiles of one that drains for seconds, its
/// quiet time would hide the rest. As long where a release is broken, after whoever asked for
/// the restart was told what it is told.
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
            let before = whoever_serves(system).await?;
            let next = self.began + each * (number + 1) + each / 4;
            self.restart(system, before, (number + 1 < restarts).then_some(next)).await?;
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

    /// Asks for one, and waits while it has consequences: for the end of the old process, because one that keeps its clients
    /// would look as if it lost none; and then until each of them has noticed. `false`: it has failed.
    async fn restart(&mut self, system: &mut Running, before: u64, latest: Option<Instant>) -> anyhow::Result<bool> {
        let asked = Instant::now();
        self.run.restarts.push((asked - self.began).as_secs_f64());
        let mut lookout = Lookout::post(system.address(), before)?;
        let _closing = lookout.clone().close(self.window.open());
        if let Told::Failed(why) = system.restart(before).await? {
            return Ok(self.failed(&why));
        }
        let Some(answered) = lookout.answered().await else {
            return Ok(self.failed(&format!("no successor within {PATIENCE:?}")));
        };
        self.run.restart_ms.push(1e3 * (answered - asked).as_secs_f64());
        let latest = latest.unwrap_or_else(|| Instant::now() + CONSEQUENCES);
        let noticed = match lookout.ended(latest).await {
            Some(ended) => {
                self.run.figures.insert(OLD.into(), 1e3 * (ended - asked).as_secs_f64());
                ended + self.think
            }
            None => {
                self.run.notes.push(format!("the old process was still there {:.1?} after a restart", asked.elapsed()));
                latest
            }
        };
        sleep_until(noticed.max(answered + AFTERMATH).min(latest).into()).await;
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
        let half = self.began + 2 * quarter;
        sleep_until(half.min(Instant::now() + CLOSING).into()).await;
        drop(open);
        sleep_until(half.into()).await;
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
        system.mend_release()?;
        let succeeded = self.restart(system, serves.unwrap_or(before), None).await?;
        let again = if succeeded { "succeeded" } else { "failed too" };
        self.run.notes.push(format!("the next restart, into a good release, {again}"));
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

/// The whole of it, on one line of a table.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

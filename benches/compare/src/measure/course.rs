//! What is done to a system while it is asked.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use load::Window;
use tokio::time::{sleep, sleep_until, timeout};

use super::Pace;
use crate::{
    results::Run,
    scenarios::Course,
    systems::{Running, Told, pid_of},
};

/// For how long a successor is looked for.
const PATIENCE: Duration = Duration::from_secs(10);

/// For how long what clients see is a restart's, after it: connections are still being moved or closed.
const AFTERMATH: Duration = Duration::from_millis(500);

/// Where the restarts of a run are noted.
pub(super) struct Log<'a> {
    pub(super) run: &'a mut Run,
    pub(super) window: &'a Window,
    pub(super) began: Instant,
}

impl Course {
    /// Takes as long as the pace says.
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
            let open = self.window.open();
            let before = system.check().await;
            self.restart(system, before).await?;
            let next = self.began + each * (number + 1) + each / 4;
            sleep_until((Instant::now() + AFTERMATH).min(next).into()).await;
            drop(open);
        }
        Ok(())
    }

    /// Asks for one, and looks for the successor meanwhile.
    async fn restart(&mut self, system: &mut Running, before: Option<u64>) -> anyhow::Result<bool> {
        let asked = Instant::now();
        self.run.restarts.push((asked - self.began).as_secs_f64());
        let successor = tokio::spawn(successor(system.address(), before, asked));
        if let Told::Failed(why) = system.restart().await? {
            successor.abort();
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
        let (before, said) = (system.check().await, system.log().len());
        system.break_release()?;
        let open = self.window.open();
        self.run.restarts.push(self.began.elapsed().as_secs_f64());
        let told = system.restart().await?;
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
        self.run.failed_restarts += usize::from(serves.is_none() || serves == before);
        self.run.notes.push(if serves.is_some() { "the old one served on" } else { "nobody served" }.into());
        drop(open);
        system.mend_release()?;
        let again = if self.restart(system, before).await? { "succeeded" } else { "failed too" };
        self.run.notes.push(format!("the next restart, into a good release, {again}"));
        Ok(())
    }
}

/// How long it took until another process than this one answered a new connection.
async fn successor(address: SocketAddr, before: Option<u64>, asked: Instant) -> Option<Duration> {
    let answered = async {
        loop {
            match pid_of(address).await {
                Some(pid) if Some(pid) != before => return asked.elapsed(),
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

//! Asking for a restart, and what one is told.

use std::time::{Duration, SystemTime};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::time::{Instant, sleep, timeout};
use tokio_hotrestart::{Error, Successor, control};

use super::{
    fleet::{Fleet, is_alive},
    operation::Way,
};

/// How a restart went, as whoever had asked was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Replaced,
    /// By the kind of the error.
    Failed(String),
    /// Whom one had asked has ended without a word.
    Nobody,
}

impl Outcome {
    fn of(answer: Result<Successor, Error>) -> Self {
        answer.map_or_else(|error| Self::Failed(format!("{:?}", error.kind())), |_| Self::Replaced)
    }

    pub(super) fn failed_as(&self, kinds: &[&str]) -> bool {
        matches!(self, Self::Failed(kind) if kinds.contains(&kind.as_str()))
    }
}

/// By then everybody has an answer: the ready deadline, the longest time for which somebody stands still, and some more.
const ANSWER: Duration = Duration::from_secs(15);

impl Fleet {
    /// Asks this generation, and waits for the answer.
    pub(super) async fn ask(&self, way: Way, pid: Pid) -> anyhow::Result<Outcome> {
        match way {
            Way::Control => self.ask_at_path().await,
            Way::Method => self.ask_by_method(pid).await,
            Way::Signal => self.ask_by_signal(pid).await,
            Way::TakeOver => self.take_over().await,
        }
    }

    async fn ask_at_path(&self) -> anyhow::Result<Outcome> {
        let answer = timeout(ANSWER, control::restart(self.place.file("control"))).await;
        let answer = answer.map_err(|_| anyhow::anyhow!("no answer at the control path within {ANSWER:?}"))?;
        Ok(Outcome::of(answer))
    }

    async fn ask_by_method(&self, pid: Pid) -> anyhow::Result<Outcome> {
        if kill(pid, Signal::SIGHUP).is_err() {
            return Ok(Outcome::Nobody);
        }
        self.until("answer of the method", ANSWER, |facts| {
            let Some(at) = facts.answers.iter().position(|(who, _)| *who == pid) else {
                return (!is_alive(pid)).then_some(Outcome::Nobody);
            };
            let (_, kind) = facts.answers.remove(at)?;
            Some(if kind.starts_with("replaced-by-") { Outcome::Replaced } else { Outcome::Failed(kind) })
        })
        .await
    }

    /// Nobody answers a signal: the status at the path does.
    async fn ask_by_signal(&self, pid: Pid) -> anyhow::Result<Outcome> {
        let asked = SystemTime::now();
        if kill(pid, Signal::SIGUSR2).is_err() {
            return Ok(Outcome::Nobody);
        }
        let end = Instant::now() + ANSWER;
        while Instant::now() < end {
            if let Ok(status) = control::status(self.place.file("control")).await {
                if status.pid != pid.as_raw().unsigned_abs() {
                    return Ok(Outcome::Replaced);
                }
                if let Some(last) = status.last_restart.filter(|last| last.at >= asked) {
                    return Ok(Outcome::of(last.outcome));
                }
            } else if !is_alive(pid) {
                return Ok(Outcome::Nobody);
            }
            sleep(Duration::from_millis(20)).await;
        }
        anyhow::bail!("the status tells nothing of a restart that was asked for by a signal, within {ANSWER:?}")
    }

    async fn take_over(&self) -> anyhow::Result<Outcome> {
        let pid = self.start()?;
        self.until("end of a take-over", ANSWER, |facts| {
            if facts.ready.values().any(|ready| ready.pid == pid) {
                return Some(Outcome::Replaced);
            }
            facts.ended.contains_key(&pid).then(|| Outcome::Failed("TookNotOver".into()))
        })
        .await
    }
}

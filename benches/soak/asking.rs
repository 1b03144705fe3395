//! Asking for a restart, and what one is told.

use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep};
use tokio_hotrestart::{Error, Successor, control};

use super::{fleet::Fleet, operation::Way, process::Process};

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
    pub(super) async fn ask(&self, way: Way, whom: Process) -> anyhow::Result<Outcome> {
        match way {
            Way::Control => Ok(self.ask_while(async { Ok(()) }).await?.0),
            Way::Method => self.ask_by_method(whom).await,
            Way::Signal => self.ask_by_signal(whom).await,
            Way::TakeOver => self.take_over().await,
        }
    }

    /// Asks at the control path, and does something to them meanwhile. Only when that is done does the time for an answer
    /// begin: whoever is to be killed stands still for as long as it takes to write down what it holds.
    pub(super) async fn ask_while<T>(
        &self,
        deed: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<(Outcome, T)> {
        let (doing, done) = tokio::sync::oneshot::channel::<()>();
        let deed = async {
            let _until_done = doing;
            deed.await
        };
        let answer = async {
            let late = async {
                let _done = done.await;
                sleep(ANSWER).await;
            };
            tokio::select! {
                answer = control::restart(self.place.file("control")) => Ok(Outcome::of(answer)),
                () = late => anyhow::bail!("no answer at the control path within {ANSWER:?}"),
            }
        };
        let (answer, deed) = tokio::join!(answer, deed);
        let deed = deed?;
        Ok((answer?, deed))
    }

    async fn ask_by_method(&self, whom: Process) -> anyhow::Result<Outcome> {
        if !whom.signal(Signal::SIGHUP) {
            return Ok(Outcome::Nobody);
        }
        // What it has said before its end may still be on its way.
        const ON_ITS_WAY: Duration = Duration::from_secs(1);
        let mut ended = None;
        self.until("answer of the method", ANSWER, |facts| {
            let Some(at) = facts.answers.iter().position(|(who, _)| *who == whom) else {
                if whom.is_alive() {
                    return None;
                }
                let ended = ended.get_or_insert_with(Instant::now);
                return (ended.elapsed() > ON_ITS_WAY).then_some(Outcome::Nobody);
            };
            let (_, kind) = facts.answers.remove(at)?;
            Some(if kind.starts_with("replaced-by-") { Outcome::Replaced } else { Outcome::Failed(kind) })
        })
        .await
    }

    /// Nobody answers a signal: the status at the path does.
    async fn ask_by_signal(&self, whom: Process) -> anyhow::Result<Outcome> {
        // The status tells milliseconds, and a restart may have failed within one.
        let asked = SystemTime::now() - Duration::from_millis(1);
        if !whom.signal(Signal::SIGUSR2) {
            return Ok(Outcome::Nobody);
        }
        let end = Instant::now() + ANSWER;
        while Instant::now() < end {
            if let Ok(status) = control::status(self.place.file("control")).await {
                if status.pid != whom.pid.as_raw().unsigned_abs() {
                    return Ok(Outcome::Replaced);
                }
                if let Some(last) = status.last_restart.filter(|last| last.at >= asked) {
                    return Ok(Outcome::of(last.outcome));
                }
            } else if !whom.is_alive() {
                return Ok(Outcome::Nobody);
            }
            sleep(Duration::from_millis(20)).await;
        }
        anyhow::bail!("the status tells nothing of a restart that was asked for by a signal, within {ANSWER:?}")
    }

    async fn take_over(&self) -> anyhow::Result<Outcome> {
        let process = self.start()?;
        self.until("end of a take-over", ANSWER, |facts| {
            if facts.ready.values().any(|ready| ready.process == process) {
                return Some(Outcome::Replaced);
            }
            facts.ended.contains_key(&process.pid).then(|| Outcome::Failed("TookNotOver".into()))
        })
        .await
    }
}

use std::{any::Any, pin::Pin, sync::Arc, time::Duration};

use tokio::{
    task::{JoinError, JoinHandle},
    time::{Instant, Sleep, sleep},
};

use super::Hook;
use crate::{Error, ErrorKind};

/// How long one that was aborted may take to be gone. It is gone when it next awaits something, so only one that blocks its
/// thread takes longer.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// Which part of a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Run,
    Undo,
}

/// A hook that runs, in a task that is aborted when this is dropped.
#[derive(Debug)]
pub(super) struct Call {
    hook: Arc<Hook>,
    act: Act,
    began: Instant,
    task: JoinHandle<Result<(), String>>,
    limit: Pin<Box<Sleep>>,
    abort: Option<Abort>,
}

/// Why it was aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Abort {
    Late,
    CalledOff,
}

impl Call {
    pub(super) fn begin(hook: Arc<Hook>, act: Act) -> Self {
        crate::log::debug!(hook = hook.name, moment = moment(&hook, act), "a hook begins");
        let limit = Box::pin(sleep(hook.deadline));
        let this = Arc::clone(&hook);
        let task = tokio::spawn(async move {
            // In the task as well: the closure may panic before there is a future.
            match (act, &this.undo) {
                (Act::Run, _) => (this.run)().await,
                (Act::Undo, Some(undo)) => undo().await,
                (Act::Undo, None) => Ok(()),
            }
        });
        Self { hook, act, began: Instant::now(), task, limit, abort: None }
    }

    /// Nobody wants it any more: it ends as soon as it can, and no failure of it counts.
    pub(super) fn call_off(&mut self) {
        self.abort(Abort::CalledOff);
    }

    fn abort(&mut self, why: Abort) {
        self.task.abort();
        self.limit = Box::pin(sleep(LAST_MOMENT));
        self.abort = Some(why);
    }

    /// How it ended. Cancel safe.
    pub(super) async fn end(&mut self) -> Result<(), Error> {
        let ended = loop {
            tokio::select! {
                biased; // what is done by its deadline is done
                ended = &mut self.task => break self.judge(Some(ended)),
                () = &mut self.limit => match self.abort {
                    None => self.abort(Abort::Late),
                    Some(_) => break self.judge(None),
                },
            }
        };
        let (hook, moment, elapsed) = (&self.hook.name, moment(&self.hook, self.act), self.began.elapsed());
        match ended {
            Ok(()) => crate::log::debug!(hook, moment, ?elapsed, "a hook is done"),
            Err(what) if self.abort == Some(Abort::CalledOff) => {
                crate::log::debug!(hook, moment, ?elapsed, what, "a hook was called off");
            }
            Err(what) => {
                let error = Error::new(ErrorKind::Hook, what);
                crate::log::error!(%error, hook, moment, ?elapsed, "a hook failed");
                return Err(error);
            }
        }
        Ok(())
    }

    /// `None`: aborted, and still not gone.
    fn judge(&self, ended: Option<Result<Result<(), String>, JoinError>>) -> Result<(), String> {
        let who = match self.act {
            Act::Run => format!("the hook `{}`", self.hook.name),
            Act::Undo => format!("the undo of the hook `{}`", self.hook.name),
        };
        let why = match ended {
            Some(Ok(Ok(()))) => return Ok(()),
            Some(Ok(Err(why))) if self.act == Act::Run && self.hook.moment.is_decisive() => {
                return Err(format!("{who} refused the restart: {why}"));
            }
            Some(Ok(Err(why))) => return Err(format!("{who} failed: {why}")),
            Some(Err(error)) => match error.try_into_panic() {
                Ok(payload) => return Err(format!("{who} panicked: {}", sentence(&*payload))),
                Err(_) if self.abort.is_none() => "was dropped with its runtime",
                Err(_) => "",
            },
            None => ", and blocks its thread",
        };
        match self.abort {
            None => Err(format!("{who} {why}")),
            Some(_) => Err(format!("{who} was not done within {:?}{why}", self.hook.deadline)),
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn moment(hook: &Hook, act: Act) -> &'static str {
    match act {
        Act::Run => hook.moment.name(),
        Act::Undo => "undo",
    }
}

/// What `panic!` was given.
fn sentence(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}

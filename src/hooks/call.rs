use std::{pin::Pin, sync::Arc, time::Duration};

use tokio::{
    task::{JoinError, JoinHandle},
    time::{Instant, Sleep, sleep, sleep_until},
};

use super::{Hook, Moment};
use crate::{Error, ErrorKind, guarded::said_by};

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
    task: JoinHandle<Deed>,
    limit: Pin<Box<Sleep>>,
    abort: Option<Abort>,
    /// When the log next says that it still runs.
    still: Instant,
    is_over: bool,
}

/// Whoever waits for a restart or an end that takes long wants to know why.
const BETWEEN_WORDS: Duration = Duration::from_secs(5);

/// What came of it, and when: of one that has blocked its thread that may be heard long after its deadline.
type Deed = (Result<(), String>, Instant);

/// Why it was aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Abort {
    Late,
    CalledOff,
}

impl Call {
    pub(super) fn begin(hook: Arc<Hook>, act: Act) -> Self {
        crate::log::debug!(hook = hook.name, moment = moment(&hook, act), "a hook begins");
        let this = Arc::clone(&hook);
        let task = tokio::spawn(async move {
            // In the task as well: the closure may panic before there is a future.
            let done = match (act, &this.undo) {
                (Act::Run, _) => (this.run)().await,
                (Act::Undo, Some(undo)) => undo().await,
                (Act::Undo, None) => Ok(()),
            };
            (done, Instant::now())
        });
        Self::of(hook, act, task)
    }

    fn of(hook: Arc<Hook>, act: Act, task: JoinHandle<Deed>) -> Self {
        let limit = Box::pin(sleep(hook.deadline));
        let began = Instant::now();
        Self { hook, act, began, task, limit, abort: None, still: began + BETWEEN_WORDS, is_over: false }
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
        let (ended, is_gone) = loop {
            tokio::select! {
                biased; // what is done by its deadline is done
                ended = &mut self.task => break (self.judge(Some(ended)), true),
                () = &mut self.limit => match self.abort {
                    None => self.abort(Abort::Late),
                    Some(_) => break (self.judge(None), false),
                },
                () = sleep_until(self.still) => {
                    self.still += BETWEEN_WORDS;
                    let (hook, moment, elapsed) = (&self.hook.name, moment(&self.hook, self.act), self.began.elapsed());
                    crate::log::info!(hook, moment, ?elapsed, "a hook still runs");
                }
            }
        };
        self.is_over = true;
        let (hook, moment, elapsed) = (&self.hook.name, moment(&self.hook, self.act), self.began.elapsed());
        match ended {
            Ok(()) => crate::log::debug!(hook, moment, ?elapsed, "a hook is done"),
            Err(what) if self.abort == Some(Abort::CalledOff) && is_gone => {
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
    fn judge(&self, ended: Option<Result<Deed, JoinError>>) -> Result<(), String> {
        let Hook { name, moment, deadline, .. } = &*self.hook;
        let why = match ended {
            Some(Ok((Ok(()), at))) if at.duration_since(self.began) > *deadline => {
                format!("was not done within {deadline:?}, and has blocked its thread")
            }
            Some(Ok((Ok(()), _))) => return Ok(()),
            Some(Ok((Err(why), _))) if *moment == Moment::BeforeSpawn => format!("refused the restart: {why}"),
            Some(Ok((Err(why), _))) => format!("failed: {why}"),
            Some(Err(error)) => match error.try_into_panic() {
                Ok(payload) => format!("panicked: {}", said_by(&*payload)),
                Err(_) if self.abort.is_some() => format!("was not done within {deadline:?}"),
                Err(_) => "was dropped with its runtime".to_owned(),
            },
            None => format!("was not done within {deadline:?}, and blocks its thread"),
        };
        match self.act {
            Act::Run => Err(format!("the hook `{name}` {why}")),
            Act::Undo => Err(format!("the undo of the hook `{name}` {why}")),
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.is_over {
            crate::log::warn!(
                hook = self.hook.name,
                moment = moment(&self.hook, self.act),
                "a hook was dropped in its middle: this generation ends"
            );
        }
        self.task.abort();
    }
}

fn moment(hook: &Hook, act: Act) -> &'static str {
    match act {
        Act::Run => hook.moment.name(),
        Act::Undo => "undo",
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, sync::mpsc};

    use tokio::runtime::Builder;

    use super::*;

    /// On a runtime of its own, for this one's clock goes on only while this thread is idle.
    #[test]
    fn a_hook_that_blocks_its_thread_is_given_up_a_second_after_its_deadline() {
        let elsewhere = Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let (release, released) = mpsc::channel::<()>();
        let (begin, begun) = mpsc::channel();
        let done = move || {
            begin.send(()).expect("it is waited for");
            released.recv().map_err(|error| error.to_string())
        };
        let task = elsewhere.spawn(async move { (done(), Instant::now()) });
        // Where it has not begun, it does not block, and is called off in time.
        begun.recv().unwrap();
        let here = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        here.block_on(async {
            let hook = Hook::at_exit("flush", || async { Ok::<_, Infallible>(()) });
            let began = Instant::now();
            let error = Call::of(Arc::new(hook), Act::Run, task).end().await.unwrap_err();
            assert_eq!(error.message(), "the hook `flush` was not done within 5s, and blocks its thread");
            assert_eq!(began.elapsed(), Duration::from_secs(6));
        });
        release.send(()).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_hook_that_is_done_too_late_has_failed_however_soon_that_is_heard() {
        let hook = Hook::at_exit("flush", || async { Ok::<_, Infallible>(()) });
        let late = Instant::now() + Duration::from_millis(5_001);
        let error = Call::of(Arc::new(hook), Act::Run, tokio::spawn(async move { (Ok(()), late) })).end().await;
        let message = "the hook `flush` was not done within 5s, and has blocked its thread";
        assert_eq!(error.unwrap_err().message(), message);
    }
}

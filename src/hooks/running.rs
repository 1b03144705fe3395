use std::{collections::VecDeque, sync::Arc};

use super::{
    Hook, Moment,
    call::{Act, Call},
};
use crate::Error;

/// Hooks of one moment, one after the other, each in a task of its own: so a panic is caught, and one that hangs does not
/// stop the loop. Dropped, it aborts the one that runs, and begins no other.
#[derive(Debug)]
pub(crate) struct Running {
    moment: Moment,
    act: Act,
    waiting: VecDeque<Arc<Hook>>,
    /// The last of them is the one that runs, if one does.
    begun: Vec<Arc<Hook>>,
    call: Option<Call>,
    failures: Vec<Error>,
}

/// How the hooks of a moment went.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) failures: Vec<Error>,
}

#[cfg(test)]
impl Outcome {
    pub(crate) fn is_ok(&self) -> bool {
        self.failures.is_empty()
    }
}

impl Running {
    pub(super) fn of(moment: Moment, hooks: impl IntoIterator<Item = Arc<Hook>>) -> Self {
        let waiting = hooks.into_iter().collect();
        Self { moment, act: Act::Run, waiting, begun: Vec::new(), call: None, failures: Vec::new() }
    }

    /// Waits until all have run; before a spawn and before a commit, until the first that fails. Asked again, it says the
    /// same at once. Nothing begins before the first poll.
    ///
    /// Cancel safe: the hook that runs goes on, and is waited for the next time.
    pub(crate) async fn next(&mut self) -> Outcome {
        loop {
            if let Some(call) = &mut self.call {
                let ended = call.end().await;
                self.call = None;
                self.note(ended);
            }
            let Some(hook) = self.waiting.pop_front() else {
                return Outcome { failures: self.failures.clone() };
            };
            self.call = Some(Call::begin(Arc::clone(&hook), self.act));
            self.begun.push(hook);
        }
    }

    /// Of those that have ended by now.
    pub(crate) fn failures(&self) -> &[Error] {
        &self.failures
    }

    fn note(&mut self, ended: Result<(), Error>) {
        let Err(error) = ended else {
            return;
        };
        self.failures.push(error);
        // An undo is one of many things that are wanted back, and the others are wanted as before.
        if self.moment.is_decisive() && self.act == Act::Run {
            self.waiting.clear();
        }
    }

    /// The undos of everything that was begun, the latest first. What runs is aborted, and seen to have ended before its
    /// undo begins: else the lock that is taken back here could be released there a moment later. (One that blocks its thread
    /// can't be seen to end: that is said, and is a failure of the undo.)
    pub(crate) fn undo(mut self) -> Self {
        let mut call = self.call.take();
        if let Some(call) = &mut call {
            call.call_off();
        }
        let waiting = self.begun.drain(..).rev().filter(|hook| hook.undo.is_some()).collect();
        Self { moment: self.moment, act: Act::Undo, waiting, begun: Vec::new(), call, failures: Vec::new() }
    }
}

//! What the application does in the middle of a restart or an end: its hooks, and the state that it passes on.

use std::mem;

use super::life::{Leaving, Life};
use crate::{
    drain::Kind,
    estate::{Taken, Taking},
    hooks::{Moment, Outcome, Running},
    phase::Event,
    process::Predecessor,
};

/// What the phase waits for.
#[derive(Debug)]
pub(super) enum Work {
    /// Whether a restart may be.
    Asking(Running),
    /// What the successor gets besides sockets.
    Taking(Taking),
    Releasing(Running),
    Undoing(Running),
    Leaving(Running),
}

/// A piece of it that is done.
#[derive(Debug)]
pub(super) enum Done {
    Hooks(Outcome),
    State(Taken),
}

impl Work {
    /// Cancel safe.
    pub(super) async fn next(&mut self) -> Done {
        match self {
            Self::Asking(hooks) | Self::Releasing(hooks) | Self::Undoing(hooks) | Self::Leaving(hooks) => {
                Done::Hooks(hooks.next().await)
            }
            Self::Taking(state) => Done::State(state.next().await),
        }
    }
}

impl Life {
    pub(super) fn prepare(&mut self) -> Option<Event> {
        self.begin_restart();
        let hooks = self.shared.hooks().run(Moment::BeforeSpawn);
        self.work = Some(Work::Asking(hooks));
        None
    }

    /// `Some`: there is nothing to give up, and READY is followed by COMMIT with nothing in between.
    pub(super) fn release(&mut self) -> Option<Event> {
        let mut hooks = self.shared.hooks();
        if !hooks.has(Moment::BeforeCommit) {
            return Some(Event::Released);
        }
        self.work = Some(Work::Releasing(hooks.run(Moment::BeforeCommit)));
        None
    }

    /// Also when the release still runs.
    pub(super) fn undo(&mut self) -> Option<Event> {
        let released = match self.work.take() {
            Some(Work::Releasing(running)) => Some(running),
            _ => self.released.take(),
        };
        let Some(released) = released else {
            return Some(Event::Undone);
        };
        self.work = Some(Work::Undoing(released.undo()));
        None
    }

    /// `Some`: a second stop has ended the drain at once, and this too.
    pub(super) fn run_exit_hooks(&mut self) -> Option<Event> {
        self.leaving = Leaving::Hooks;
        if self.is_cut {
            crate::log::warn!("no exit hook runs after a second stop");
            return Some(Event::Left);
        }
        let hooks = self.shared.hooks().run(Moment::AtExit);
        self.work = Some(Work::Leaving(hooks));
        None
    }

    /// A second stop does not wait for them.
    pub(super) fn call_exit_hooks_off(&mut self) -> Option<Event> {
        match self.work {
            Some(Work::Leaving(_)) => {
                self.work = None;
                crate::log::warn!("exit hooks were called off by a second stop");
                Some(Event::Left)
            }
            _ => None,
        }
    }

    /// This generation ends, and what it waits for in a restart does not concern it any more.
    pub(super) fn drop_work(&mut self) {
        self.work = None;
        self.released = None;
    }

    /// What follows from a piece of work that is done.
    pub(super) fn done(&mut self, done: Done) -> Option<Event> {
        match (mem::take(&mut self.work)?, done) {
            (Work::Asking(_), Done::Hooks(Outcome { failures })) => match failures.into_iter().next() {
                Some(error) => Some(Event::Unprepared(error)),
                // It would not understand any.
                None if self.settings.foreign.is_some() => Some(Event::Prepared),
                None => {
                    self.work = Some(Work::Taking(self.shared.providers.take()));
                    None
                }
            },
            (Work::Taking(_), Done::State(taken)) => match taken.all() {
                Ok(state) => {
                    self.state = state;
                    Some(Event::Prepared)
                }
                Err(error) => Some(Event::Unprepared(error)),
            },
            (Work::Releasing(running), Done::Hooks(Outcome { failures })) => {
                self.released = Some(running);
                Some(failures.into_iter().next().map_or(Event::Released, Event::Unreleased))
            }
            (Work::Undoing(_), Done::Hooks(outcome)) => {
                self.note_hooks(outcome);
                Some(Event::Undone)
            }
            (Work::Leaving(_), Done::Hooks(outcome)) => {
                self.note_hooks(outcome);
                Some(Event::Left)
            }
            (Work::Taking(_), Done::Hooks(_)) | (_, Done::State(_)) => None,
        }
    }

    /// Also those that are registered when it is gone already.
    pub(super) fn after_predecessor(&mut self) {
        let is_gone = self.departing.is_none() && self.predecessor.as_ref().is_some_and(Predecessor::is_gone);
        let mut hooks = self.shared.hooks();
        if is_gone && self.aftermath.is_none() && hooks.has(Moment::AfterPredecessor) {
            self.aftermath = Some(hooks.run(Moment::AfterPredecessor));
        }
    }

    /// This generation has stopped: what it passes on now is true until its end. It does not end before the successor has
    /// it, or its deadline comes.
    pub(super) fn begin_final_state(&mut self) {
        let taking = self.shared.final_providers.take();
        if taking.is_empty() {
            // Said all the same, for somebody may wait for it there; but nothing is lost if it is not heard.
            let Some(successor) = &mut self.successor else { return };
            return successor.pass_final(Vec::new(), Vec::new(), Box::new(()));
        }
        let until_taken = self.shared.tracker.guard_of(Kind::State);
        self.final_state = Some((taking, until_taken));
    }

    pub(super) fn pass_final_state(&mut self, taken: Taken) {
        taken.errors().for_each(|error| self.shared.drain.failed(error));
        let Taken { states, failed } = taken;
        if let (Some((_, until_taken)), Some(successor)) = (self.final_state.take(), &mut self.successor) {
            successor.pass_final(states, failed, Box::new(until_taken));
        }
    }

    pub(super) fn note_hooks(&self, outcome: Outcome) {
        outcome.failures.into_iter().for_each(|error| self.shared.drain.failed(error));
    }
}

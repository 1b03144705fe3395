//! What the application does in the middle of a restart or an end: its hooks, and the state that it passes on.

use super::life::{Leaving, Life};
use crate::{
    Error, ErrorKind, Guard,
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
    Asked(Outcome),
    Taken(Taken),
    Released(Outcome),
    Undone(Outcome),
    Left(Outcome),
}

/// What is passed on when this generation has stopped, and the guard that keeps it alive until the successor has it.
#[derive(Debug)]
pub(super) enum FinalState {
    /// The predecessor's is still to come, and may be a part of it.
    Expecting(Guard),
    Taking(Taking, Guard),
}

impl Work {
    /// Cancel safe.
    pub(super) async fn next(&mut self) -> Done {
        match self {
            Self::Asking(hooks) => Done::Asked(hooks.next().await),
            Self::Taking(state) => Done::Taken(state.next().await),
            Self::Releasing(hooks) => Done::Released(hooks.next().await),
            Self::Undoing(hooks) => Done::Undone(hooks.next().await),
            Self::Leaving(hooks) => Done::Left(hooks.next().await),
        }
    }
}

impl Life {
    /// `Some`: something forbids it here, and the application is not asked.
    pub(super) fn prepare(&mut self) -> Option<Event> {
        self.begin_restart();
        if let Some(error) = self.forbids_restart() {
            return Some(Event::Unprepared(error));
        }
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
            return Some(Event::Undone(Vec::new()));
        };
        self.work = Some(Work::Undoing(released.undo()));
        None
    }

    /// `Some`: a second stop has ended the drain at once, and this too.
    pub(super) fn run_exit_hooks(&mut self) -> Option<Event> {
        self.leaving = Leaving::Hooks;
        if self.is_cut {
            if self.shared.hooks().has(Moment::AtExit) {
                self.call_off();
            }
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
                self.call_off();
                Some(Event::Left)
            }
            _ => None,
        }
    }

    fn call_off(&self) {
        let error = Error::new(ErrorKind::Hook, "the exit hooks were called off by a second stop");
        crate::log::warn!(%error, "a second stop");
        self.shared.drain.failed(error);
    }

    /// This generation ends, and what it waits for in a restart does not concern it any more.
    pub(super) fn drop_work(&mut self) {
        self.work = None;
        self.released = None;
    }

    /// What follows from a piece of work that is done.
    pub(super) fn done(&mut self, done: Done) -> Option<Event> {
        let work = self.work.take();
        match done {
            Done::Asked(Outcome { failures }) => match failures.into_iter().next() {
                Some(error) => Some(Event::Unprepared(error)),
                // It would not understand any.
                None if self.settings.foreign.is_some() => Some(Event::Prepared),
                None => {
                    self.work = Some(Work::Taking(self.shared.providers.take()));
                    None
                }
            },
            Done::Taken(taken) => match taken.all() {
                Ok(state) => {
                    self.state = state;
                    Some(Event::Prepared)
                }
                Err(error) => Some(Event::Unprepared(error)),
            },
            Done::Released(Outcome { failures }) => {
                self.released = match work {
                    Some(Work::Releasing(running)) => Some(running),
                    _ => None,
                };
                Some(failures.into_iter().next().map_or(Event::Released, Event::Unreleased))
            }
            Done::Undone(Outcome { failures }) => {
                self.note_hooks(&failures);
                Some(Event::Undone(failures))
            }
            Done::Left(Outcome { failures }) => {
                self.note_hooks(&failures);
                Some(Event::Left)
            }
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
        let Some(successor) = &mut self.successor else { return };
        if self.shared.final_providers.is_empty() {
            // Said all the same, for somebody may wait for it there; but nothing is lost if it is not heard.
            successor.pass_final(Vec::new(), Vec::new(), Box::new(()));
            return self.departures.open();
        }
        if !successor.takes_final_state() {
            crate::log::warn!("the successor does not know of a final state: it starts without");
            return self.departures.open();
        }
        self.final_state = Some(FinalState::Expecting(self.shared.tracker.guard_of(Kind::State)));
        self.take_final_state();
    }

    /// Not before the predecessor's own has come, or never will: a restart that follows it closely would pass on a count
    /// from which that one's is missing, and nobody would ever add it.
    pub(super) fn take_final_state(&mut self) {
        if self.expected.is_some() {
            return;
        }
        self.final_state = match self.final_state.take() {
            Some(FinalState::Expecting(guard)) => Some(FinalState::Taking(self.shared.final_providers.take(), guard)),
            other => other,
        };
    }

    pub(super) fn pass_final_state(&mut self, taken: Taken) {
        taken.errors().for_each(|error| self.shared.drain.failed(error));
        self.pass_final_states(taken);
        // In this order, on one channel: a connection comes to a successor that has what belongs to it.
        self.departures.open();
    }

    fn pass_final_states(&mut self, taken: Taken) {
        let Taken { states, failed } = taken;
        if let (Some(FinalState::Taking(_, guard)), Some(successor)) = (self.final_state.take(), &mut self.successor) {
            if !successor.takes_final_state() {
                let error =
                    Error::new(ErrorKind::State, "the successor ended before it could be given the final state");
                crate::log::error!(%error, "the final state is lost");
                return self.shared.drain.failed(error);
            }
            successor.pass_final(states, failed, Box::new(guard));
        }
    }

    /// It is on its way, and comes at once: an application that ends without it would write its count without what came
    /// before.
    pub(super) fn await_final_state(&mut self) {
        if self.owns_names && self.expected.is_some() {
            self.expecting = Some(self.shared.tracker.guard_of(Kind::State));
        }
    }

    /// They are in the log already.
    pub(super) fn note_hooks(&self, failures: &[Error]) {
        failures.iter().cloned().for_each(|error| self.shared.drain.failed(error));
    }
}

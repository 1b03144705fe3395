//! What the actions of `phase` mean in this process.

use std::{collections::HashSet, mem, sync::Arc, time::Duration};

use super::{
    life::{Ground, Leaving, Life},
    meter,
    visits::tell_refused,
};
use crate::{
    Error,
    accept::{Ending, Gate},
    generation::Cause,
    phase::{Action, Event},
    process::{DEATH, Successor},
    wire::{Answer, Message},
};

/// How long a successor that has closed its channel may take to end by itself, before it is killed.
const LAST_WORDS: Duration = Duration::from_secs(1);

impl Life {
    /// Does it, and says what has come of it where that is known at once.
    pub(super) fn carry_out(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::AnswerReady(answer) => self.answer_ready(&answer),
            Action::AnswerFailed(error) => self.answer_failed(error),
            Action::NoteEarlyRestart => {
                crate::log::warn!("a restart was signalled before `ready()` was called: it waits for that");
            }
            Action::Refuse(error) => self.refuse(&error),
            Action::OpenGate => self.open_gate(),
            Action::ShutGate => self.set_gate(Gate::Shut),
            Action::CloseLeftovers => self.close_leftovers(),
            Action::OwnNames => self.own_names(),
            Action::GiveStderrBack => self.give_stderr_back(),
            Action::SayReady => {
                let claimed = self.shared.registry().claimed();
                self.tell_predecessor(&Message::Ready { claimed });
            }
            Action::SayExtend(by) => {
                let milliseconds = by.as_millis().try_into().unwrap_or(u64::MAX);
                self.tell_predecessor(&Message::Extend { milliseconds });
                self.tell_more_time(by);
            }
            Action::SayStopping(why) => self.tell_predecessor(&Message::Stopping { why }),
            Action::Prepare => return self.prepare(),
            Action::Release => return self.release(),
            Action::Undo => return self.undo(),
            Action::Spawn => return self.spawn().err().map(Event::SpawnFailed),
            Action::Welcome => return self.welcome().err().map(Event::SpawnFailed),
            Action::TurnAway(why) => self.turn_candidate_away(why),
            Action::ExtendReadyDeadline(by) => self.extend_ready_deadline(by),
            Action::Confirm => self.confirm(),
            Action::TakeBack(why) => self.tell_successor(&Message::Abort { why }),
            Action::PutDown => self.set_end_deadline(Duration::ZERO),
            Action::Kill => {
                self.set_deadline(DEATH, Event::EndDeadline);
                self.successor.as_ref().inspect(|successor| successor.kill());
            }
            Action::Dismiss => match &self.successor {
                Some(successor) if !successor.accepts_unconfirmed() => successor.kill(),
                _ => self.forget_successor(),
            },
            Action::AwaitEnd => self.set_end_deadline(LAST_WORDS),
            Action::Forget => self.forget_successor(),
            Action::NameSuccessor => return self.name_successor(),
            Action::LetGo => self.let_go(),
            Action::BeginLameDuck(cause) => return self.begin_lame_duck(cause),
            Action::Withdraw => return self.withdraw(),
            Action::BeginDrain(cause) => self.begin_drain(cause),
            Action::OwnNamesAtLast => self.own_names_at_last(),
            Action::NoteFailure(error) => self.shared.drain.failed(error),
            Action::NoteUnheard(error) => {
                crate::log::warn!(%error, "the successor is not heard any more: should it die while this generation drains, nobody tells");
            }
            Action::SuccessorLost => {
                crate::log::error!("the successor died while this generation drains: nobody else serves");
                self.shared.drain.successor_lost();
                if let Leaving::Over(report) = &mut self.leaving {
                    report.lose_successor();
                }
                self.shorten_drain();
            }
            Action::ShortenDrain => self.shorten_drain(),
            Action::CutDrain => {
                self.is_cut = true;
                self.lingering.cut();
                self.shared.drain.cut();
                return self.call_exit_hooks_off();
            }
            Action::RunExitHooks => return self.run_exit_hooks(),
            Action::EndLast => self.end_last(),
            Action::Finish => self.finish(),
        }
        None
    }

    // --------------------------------------------------------------------------------------- towards the application

    fn answer_ready(&mut self, answer: &Result<(), Error>) {
        for asker in self.ready_askers.drain(..) {
            // Whoever dropped the future has called nothing off.
            let _ = asker.send(answer.clone());
        }
    }

    /// In a task of its own: the last words of a successor may take a moment, and this generation serves meanwhile.
    fn answer_failed(&mut self, error: Error) {
        let askers: Vec<_> = self.restart_askers.drain(..).collect();
        let successor = self.successor.take();
        // A stop waits for its death: it has duplicates of the listeners until then.
        self.dying =
            successor.as_ref().filter(|it| !it.accepts_unconfirmed()).and_then(Successor::handle).map(Arc::new);
        // The one that this restart was for, if it has not begun to come in.
        if let Some(visitor) = self.candidate.take() {
            tell_refused(visitor, error.clone());
        }
        // Its last words follow.
        self.note_outcome(Err(error.clone()));
        self.tell_restart_failed();
        meter::restart_ended(&Err::<(), _>(error.clone()));
        let failures = self.failures.clone();
        let told = async move {
            let error = match successor {
                Some(successor) => successor.epitaph(error).await,
                None => error,
            };
            crate::log::warn!(%error, "the restart failed");
            // Only the loop's end closes it, and then nobody asks for a status any more.
            let _ = failures.send(error.clone());
            for asker in askers {
                asker.answer(Err(error.clone()));
            }
        };
        tokio::spawn(crate::log::here().around(told));
    }

    fn close_leftovers(&mut self) {
        self.shared.registry().close_leftovers();
        for name in self.shared.inherited.drop_rest() {
            crate::log::info!(%name, "state that was passed, and that nobody has taken: dropped");
        }
    }

    fn refuse(&mut self, error: &Error) {
        crate::log::info!(%error, "a restart was refused");
        meter::restart_ended(&Err::<(), _>(error.clone()));
        for asker in self.restart_askers.drain(..) {
            asker.answer(Err(error.clone()));
        }
    }

    fn open_gate(&mut self) {
        self.confirmed = true;
        self.set_gate(Gate::Open);
    }

    pub(super) fn set_gate(&self, gate: Gate) {
        self.shared.gate.set(gate);
    }

    fn own_names(&mut self) {
        self.owns_names = true;
        crate::log::info!("ready");
        self.name_in_pid_file(std::process::id());
        self.tell_ready();
    }

    /// A server without its pid file still serves: the failure is logged and is in the report. 0: the pid of one that lives
    /// in a pid namespace which can't be seen from here, and names itself.
    pub(super) fn name_in_pid_file(&self, pid: u32) {
        let Some(Ground { pid_file: Some(file), .. }) = &self.ground else {
            return;
        };
        if pid == 0 {
            return file.remove_if_ours();
        }
        if let Err(error) = file.write(pid) {
            crate::log::error!(%error, "the pid file");
            self.shared.drain.failed(error);
        }
    }

    // --------------------------------------------------------------------------------------- towards the predecessor

    fn give_stderr_back(&mut self) {
        if let Some(stderr) = self.stderr.take() {
            stderr.give_back();
        }
    }

    pub(super) fn tell_predecessor(&mut self, message: &Message) {
        if let Some(predecessor) = &mut self.predecessor {
            predecessor.say(message);
        }
    }

    // --------------------------------------------------------------------------------------------------------- drain

    /// `Some`: there is none.
    fn begin_lame_duck(&mut self, cause: Cause) -> Option<Event> {
        self.decline_connections();
        self.drop_work();
        let time = self.settings.on_stop.until_drain();
        if time.is_zero() {
            return Some(Event::LameDuckOver);
        }
        crate::log::info!(%cause, remaining = ?time, "lame duck");
        self.tell_stopping();
        self.shared.drain.begin_lame_duck(cause, &self.settings.on_stop);
        self.set_deadline(time, Event::LameDuckOver);
        None
    }

    fn begin_drain(&mut self, cause: Cause) {
        if let Cause::Failed { why } = &cause {
            self.shared.drain.failed(why.clone());
        }
        if let Some(service) = &mut self.service {
            service.say_stopping();
        }
        self.decline_connections();
        self.end_accepting();
        self.await_final_state();
        self.shared.drain.begin(cause.clone(), &self.settings.on_stop);
        self.tell_that_accepting_has_ended(cause);
    }

    /// Our duplicates go first: as long as one is open, clients queue up after the loop over the plain listener has found
    /// the queue empty and closed it, and nobody ever serves them.
    fn end_accepting(&self) {
        let mut registry = self.shared.registry();
        // A generation that was never confirmed has a predecessor that serves: it takes nobody out of the shared queue.
        let (gate, last) = match self.confirmed {
            true => (Gate::EndedButForTheLast(Ending::Emptied), self.shared.last_names()),
            false => (Gate::Ended(Ending::Claimed(Arc::new(registry.names().collect()))), HashSet::new()),
        };
        registry.close(&HashSet::new(), self.owns_names, &last);
        drop(registry);
        self.set_gate(gate);
    }

    /// Nobody is left to be told how this generation is.
    fn end_last(&mut self) {
        self.leaving = Leaving::Last;
        // Nobody waits for the rest, but what has failed by now belongs to the report.
        if let Some(aftermath) = self.aftermath.take() {
            self.note_hooks(aftermath.failures());
        }
        // One that was replaced has nothing that is last: its successor accepts.
        if !self.is_replaced() && self.confirmed {
            self.shared.registry().close(&HashSet::new(), self.owns_names, &HashSet::new());
        }
        self.shared.end_last();
    }

    /// It ended when its predecessor could still take over, and so has removed nothing. Now nobody else will.
    fn own_names_at_last(&mut self) {
        if !self.confirmed || self.owns_names {
            return;
        }
        self.owns_names = true;
        self.shared.registry().clear_away();
        self.own_service_at_last();
    }

    pub(super) fn tell_that_accepting_has_ended(&self, cause: Cause) {
        crate::log::info!(%cause, "draining");
        self.shared.token.cancel();
        self.shared.cause.send_replace(Some(cause));
    }

    fn shorten_drain(&self) {
        self.shared.drain.shorten(&self.settings.on_stop);
    }

    fn finish(&mut self) {
        // Nothing follows from what it says any more but for connections. Before the channel's end says that whatever was
        // offered is the successor's.
        self.hear_successor_out();
        self.departures.deadline();
        // One that was replaced has named its successor there. In another pid namespace, that one may bear the same number.
        if let Some(Ground { pid_file: Some(file), .. }) = self.ground.as_ref().filter(|_| !self.is_replaced()) {
            file.remove_if_ours();
        }
        // The control path answers until here.
        self.door = None;
        self.shared.registry().close_control(&HashSet::new(), self.owns_names);
        if let Leaving::Over(report) = &self.leaving {
            meter::drained(report);
            crate::log::info!(%report, "drained");
            for asker in self.stop_askers.drain(..) {
                asker.answer(Answer::Stopped { code: report.exit_code(), report: report.to_string() });
            }
        }
        if let Leaving::Over(report) = mem::replace(&mut self.leaving, Leaving::Last) {
            self.shared.report.send_replace(Some(*report));
        }
    }
}

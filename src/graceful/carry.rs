//! What the actions of `phase` mean in this process.

use std::{collections::HashSet, os::fd::AsFd, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::life::{Ground, Life};
use crate::{
    Error, ErrorKind,
    accept::{Ending, Gate},
    drain::later,
    generation::{Cause, Successor as Identity},
    name::Name,
    phase::{Action, Event},
    process::{Legacy, Successor},
    sys,
    wire::{self, Message},
};

/// How long a successor that has closed its channel may take to end by itself, before it is killed.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long a killed process may take to be dead. Only one that hangs in the kernel takes longer.
const DEATH: Duration = Duration::from_secs(5);

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
            Action::CloseLeftovers => self.shared.registry().close_leftovers(),
            Action::OwnNames => self.own_names(),
            Action::GiveStderrBack => self.give_stderr_back(),
            Action::SayReady => {
                let claimed = self.shared.registry().claimed();
                self.tell_predecessor(&Message::Ready { claimed });
            }
            Action::SayExtend(by) => {
                let milliseconds = by.as_millis().try_into().unwrap_or(u64::MAX);
                self.tell_predecessor(&Message::Extend { milliseconds });
            }
            Action::SayStopping(why) => self.tell_predecessor(&Message::Stopping { why }),
            Action::Spawn => return self.spawn().err().map(Event::SpawnFailed),
            Action::ExtendReadyDeadline(by) => self.extend_ready_deadline(by),
            Action::Confirm => self.confirm(),
            Action::TakeBack(why) => self.tell_successor(&Message::Abort { why }),
            Action::Kill => {
                self.set_deadline(DEATH, Event::EndDeadline);
                self.successor.as_ref().inspect(|successor| successor.kill());
            }
            Action::AwaitEnd => self.set_deadline(LAST_WORDS, Event::EndDeadline),
            Action::Forget => {
                if let Some(successor) = self.successor.take() {
                    successor.forget();
                }
            }
            Action::LetGo => self.let_go(),
            Action::BeginDrain(cause) => self.begin_drain(cause),
            Action::NoteFailure(error) => self.shared.drain.failed(error),
            Action::SuccessorLost => {
                crate::log::error!("the successor died while this generation drains: nobody else serves");
                self.shared.drain.successor_lost();
                self.shorten_drain();
            }
            Action::ShortenDrain => self.shorten_drain(),
            Action::CutDrain => self.shared.drain.cut(),
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
        let generation = self.shared.generation;
        tokio::spawn(async move {
            let error = match successor {
                Some(successor) => successor.epitaph(error).await,
                None => error,
            };
            crate::log::warn!(generation, %error, "the restart failed");
            for asker in askers {
                let _ = asker.send(Err(error.clone()));
            }
        });
    }

    fn refuse(&mut self, error: &Error) {
        crate::log::info!(%error, "a restart was refused");
        for asker in self.restart_askers.drain(..) {
            let _ = asker.send(Err(error.clone()));
        }
    }

    fn open_gate(&mut self) {
        self.confirmed = true;
        self.set_gate(Gate::Open);
    }

    fn set_gate(&self, gate: Gate) {
        self.shared.gate.send_replace(gate);
    }

    fn own_names(&mut self) {
        self.owns_names = true;
        crate::log::info!(generation = self.shared.generation, pid = std::process::id(), "ready");
        self.write_pid_file(std::process::id());
    }

    /// A server without its pid file still serves: the failure is logged and is in the report.
    fn write_pid_file(&self, pid: u32) {
        let Some(Ground { pid_file: Some(file), .. }) = &self.ground else {
            return;
        };
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

    fn tell_predecessor(&mut self, message: &Message) {
        if let Some(predecessor) = &mut self.predecessor {
            predecessor.say(message);
        }
    }

    // ----------------------------------------------------------------------------------------- towards the successor

    fn tell_successor(&mut self, message: &Message) {
        if let Some(successor) = &mut self.successor {
            successor.say(message, Vec::new());
        }
    }

    fn spawn(&mut self) -> Result<(), Error> {
        self.restart_began = Instant::now();
        let Some(Ground { program, .. }) = &self.ground else {
            return Err(Error::new(ErrorKind::Unsupported, "a detached handle does not restart"));
        };
        if std::process::id() == 1 && !self.settings.restart_as_pid_1 {
            let what = "this process is PID 1, whose end would kill the successor: run it under an init, or insist with `restart_as_pid_1`";
            return Err(Error::new(ErrorKind::Unsupported, what));
        }
        self.ancestors.retain(|(_, handle)| !sys::has_ended(handle.as_fd()));
        if self.ancestors.len() >= self.settings.max_draining {
            let what = format!("{} earlier generations are still draining", self.ancestors.len());
            return Err(Error::new(ErrorKind::Busy, what));
        }
        let unchanged = program.is_unchanged();
        let path = program.path().display();
        crate::log::info!(generation = self.shared.generation, program = %path, unchanged, "restarting");
        let legacy = Legacy {
            generation: self.shared.generation + 1,
            sockets: self.shared.registry().to_pass(),
            ancestors: self.lineage()?,
            capture_stderr: self.settings.capture_stderr,
            watchdog: None,
        };
        self.successor = Some(Successor::spawn(program, legacy, sys::Kinship::Child)?);
        self.set_deadline(self.settings.ready_deadline, Event::ReadyDeadline);
        Ok(())
    }

    /// Those that drain, and this process, which will.
    fn lineage(&self) -> Result<Vec<(wire::Ancestor, Arc<std::os::fd::OwnedFd>)>, Error> {
        let mut lineage = self.ancestors.clone();
        let this = wire::Ancestor { generation: self.shared.generation, pid: std::process::id() };
        match sys::process_handle(this.pid) {
            Ok(handle) => lineage.push((this, Arc::new(handle))),
            // Without pidfds nobody counts the draining generations; everything else works.
            Err(error) if sys::is_refused_here(&error) => {
                crate::log::debug!(%error, "no pidfd here: draining generations are not counted");
            }
            Err(error) => return Err(Error::io(ErrorKind::Spawn, "open a handle of this process", error)),
        }
        Ok(lineage)
    }

    fn extend_ready_deadline(&mut self, by: Duration) {
        if let Some((at, Event::ReadyDeadline)) = &mut self.deadline {
            *at = later(Instant::now(), by).max(*at);
        }
    }

    fn set_deadline(&mut self, after: Duration, event: Event) {
        self.deadline = Some((later(Instant::now(), after), event));
    }

    fn confirm(&mut self) {
        self.tell_successor(&Message::Commit);
        let elapsed = self.restart_began.elapsed();
        crate::log::info!(
            generation = self.shared.generation,
            ?elapsed,
            "the successor is ready and serves, on probation"
        );
        self.set_deadline(self.settings.probation, Event::ProbationOver);
    }

    /// Step 7 of a restart: nothing after this can be taken back.
    fn let_go(&mut self) {
        let successor = self.successor.as_mut().expect("a successor on probation is held until it has ended");
        successor.release_stderr();
        let by = successor.identity();
        let claimed: Arc<HashSet<Name>> = Arc::new(successor.claimed().iter().cloned().collect());
        self.shared.registry().close(&claimed, self.owns_names);
        self.set_gate(Gate::Ended(Ending::Claimed(claimed)));
        // Before the successor knows that the file is its own: written after that, it could overwrite a later one.
        self.write_pid_file(by.pid);
        self.tell_successor(&Message::LetGo);
        let Identity { pid, generation } = by;
        self.tell_predecessor(&Message::Replaced { pid, generation });
        for asker in self.restart_askers.drain(..) {
            let _ = asker.send(Ok(by.clone()));
        }
        self.shared.drain.begin(Cause::Replaced { by: by.clone() }, &self.settings.on_restart);
        self.tell_that_accepting_has_ended(Cause::Replaced { by });
    }

    // --------------------------------------------------------------------------------------------------------- drain

    fn begin_drain(&mut self, cause: Cause) {
        if let Cause::Failed { why } = &cause {
            self.shared.drain.failed(why.clone());
        }
        self.end_accepting();
        self.shared.drain.begin(cause.clone(), &self.settings.on_stop);
        self.tell_that_accepting_has_ended(cause);
    }

    /// Our duplicates go first: as long as one is open, clients queue up after the loop over the plain listener has found
    /// the queue empty and closed it, and nobody ever serves them.
    fn end_accepting(&self) {
        let mut registry = self.shared.registry();
        // A generation that was never confirmed has a predecessor that serves: it takes nobody out of the shared queue.
        let ending = match self.confirmed {
            true => Ending::Emptied,
            false => Ending::Claimed(Arc::new(registry.names().collect())),
        };
        registry.close(&HashSet::new(), self.owns_names);
        drop(registry);
        self.set_gate(Gate::Ended(ending));
    }

    fn tell_that_accepting_has_ended(&self, cause: Cause) {
        crate::log::info!(generation = self.shared.generation, %cause, "draining");
        self.shared.token.cancel();
        self.shared.cause.send_replace(Some(cause));
    }

    fn shorten_drain(&self) {
        self.shared.drain.shorten(&self.settings.on_stop);
    }

    fn finish(&mut self) {
        if let Some(Ground { pid_file: Some(file), .. }) = &self.ground {
            file.remove_if_ours();
        }
        if let Some(report) = &self.report {
            crate::log::info!(generation = self.shared.generation, %report, "drained");
        }
        self.shared.report.send_replace(self.report.take());
    }
}

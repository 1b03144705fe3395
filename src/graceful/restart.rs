//! A restart's actions: from the spawn, or the welcome of one that came by itself, to the point of no return.

use std::{
    collections::HashSet,
    mem,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::{
    life::{Ground, Life},
    meter::{self, Part},
    service::Service,
};
use crate::{
    Error, ErrorKind, PassedState,
    accept::{Ending, Gate},
    drain::later,
    generation::{Cause, Successor as Identity},
    phase::Event,
    process::{Legacy, Successor},
    sys::{self, Kinship},
    wire::{self, Answer, Message},
};

impl Life {
    pub(super) fn tell_successor(&mut self, message: &Message) {
        if let Some(successor) = &mut self.successor {
            successor.say(message, Vec::new());
        }
    }

    /// Starts the program, if nothing forbids it here.
    pub(super) fn spawn(&mut self) -> Result<(), Error> {
        let state = mem::take(&mut self.state);
        let Some(Ground { program, .. }) = &self.ground else {
            return Err(detached());
        };
        let unchanged = program.is_unchanged();
        let path = program.path().display();
        crate::log::info!(program = %path, unchanged, "restarting");
        let program = program.clone();
        let legacy = self.legacy(state)?;
        let kinship = self.kinship();
        self.successor = Some(match self.settings.foreign {
            None => Successor::spawn(&program, legacy, kinship)?,
            Some(alive) => Successor::foreign(&program, legacy, kinship, alive)?,
        });
        self.set_deadline(self.settings.ready_deadline, Event::ReadyDeadline);
        Ok(())
    }

    /// What makes a restart impossible here, whatever the application says.
    pub(super) fn forbids_restart(&mut self) -> Option<Error> {
        self.ancestors.retain(|(_, handle)| !sys::has_ended(handle.as_fd()));
        if self.ancestors.len() >= self.settings.max_draining {
            let what = format!("{} earlier generations are still draining", self.ancestors.len());
            return Some(Error::new(ErrorKind::Busy, what));
        }
        // One that has come by itself is nobody's child here.
        if self.candidate.is_some() {
            return None;
        }
        if self.ground.is_none() {
            return Some(detached());
        }
        if std::process::id() == 1 && !self.settings.restart_as_pid_1 {
            let what = "this process is PID 1, whose end would kill the successor: it takes a PID 1 that stays, or insist with `restart_as_pid_1`";
            return Some(Error::new(ErrorKind::Unsupported, what));
        }
        None
    }

    /// Takes the one at the control path for the successor.
    pub(super) fn welcome(&mut self) -> Result<(), Error> {
        let state = mem::take(&mut self.state);
        let visitor = self.candidate.take().expect("who has come is held until it is welcomed or turned away");
        let pid = visitor.pid();
        crate::log::info!(successor_pid = pid, "a successor came by itself");
        match self.legacy(state) {
            Ok(legacy) => {
                self.successor = Some(Successor::met(visitor.into_channel(), pid, legacy));
                self.set_deadline(self.settings.ready_deadline, Event::ReadyDeadline);
                Ok(())
            }
            Err(error) => {
                visitor.answer(Answer::Failed(error.clone()));
                Err(error)
            }
        }
    }

    /// Before anything that can fail: systemd takes READY for a reload's end only where one has begun.
    pub(super) fn begin_restart(&mut self) {
        self.restart_began = Instant::now();
        self.part_began = self.restart_began;
        self.parts.clear();
        self.tell_reloading();
    }

    /// systemd decides once whether a main process is its child, and watches no other: so the successor must be one. The
    /// init of a pid namespace has no siblings.
    fn kinship(&self) -> Kinship {
        let has_manager = self.service.as_ref().is_some_and(Service::is_managers_child);
        if has_manager && std::process::id() != 1 { Kinship::Sibling } else { Kinship::Child }
    }

    /// Everything that a successor gets.
    fn legacy(&mut self, state: Vec<PassedState>) -> Result<Legacy, Error> {
        Ok(Legacy {
            generation: self.shared.generation + 1,
            sockets: self.shared.registry().to_pass(),
            ancestors: self.lineage()?,
            capture_stderr: self.settings.capture_stderr,
            watchdog: self.service.as_ref().and_then(Service::watchdog_interval),
            state,
        })
    }

    /// Those that drain, and this process, which will.
    fn lineage(&self) -> Result<Vec<(wire::Ancestor, Arc<OwnedFd>)>, Error> {
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

    /// It ends in its own time, which the main process of a unit waits for. A foreign one knows of no deadline of ours, and has
    /// a stop's.
    pub(super) fn forget_successor(&mut self) {
        if let Some(successor) = self.successor.take() {
            self.note_straggler(&successor);
            match successor.accepts_unconfirmed() {
                true => self.lingering.add(successor, later(Instant::now(), self.settings.on_stop.until_deadline())),
                false => successor.forget(),
            }
        }
    }

    /// Who asks for none gets none: heard when the deadline has come, it would put it off to this moment, again and again.
    pub(super) fn extend_ready_deadline(&mut self, by: Duration) {
        if by.is_zero() {
            return;
        }
        if let Some((at, Event::ReadyDeadline)) = &mut self.deadline {
            *at = later(Instant::now(), by).max(*at);
            self.overheard = 0;
        }
        self.tell_more_time(by);
    }

    pub(super) fn set_deadline(&mut self, after: Duration, event: Event) {
        self.deadline = Some((later(Instant::now(), after), event));
        self.overheard = 0;
    }

    /// A part of the restart is over.
    pub(super) fn measure(&mut self, event: &Event) {
        let part = match event {
            Event::Spawned => Part::Spawn,
            Event::Ready => Part::Ready,
            _ => return,
        };
        self.took(part);
    }

    fn took(&mut self, part: Part) {
        let now = Instant::now();
        self.parts.push((part, now - mem::replace(&mut self.part_began, now)));
    }

    pub(super) fn confirm(&mut self) {
        self.tell_successor(&Message::Commit);
        let elapsed = self.restart_began.elapsed();
        crate::log::info!(
            successor_pid = self.successor.as_ref().map(|it| it.identity().pid),
            ?elapsed,
            "the successor is ready and serves, on probation"
        );
        self.set_deadline(self.settings.probation, Event::ProbationOver);
    }

    /// After which it is killed. One that may serve has the time of a stop: a kill would cut its clients.
    pub(super) fn set_end_deadline(&mut self, time: Duration) {
        let may_serve = self.successor.as_ref().is_some_and(Successor::accepts_unconfirmed);
        let time = if may_serve { time.max(self.settings.on_stop.until_deadline()) } else { time };
        self.set_deadline(time, Event::EndDeadline);
    }

    /// Step 7 of a restart: nothing after this can be taken back.
    pub(super) fn let_go(&mut self) {
        let successor = self.successor.as_mut().expect("a successor on probation is held until it has ended");
        let by = successor.identity();
        let claimed: Arc<HashSet<_>> = Arc::new(successor.claimed().iter().cloned().collect());
        // Its listener is the successor's now, as the others are; who has come through it is passed on.
        if let Some(door) = &mut self.door {
            door.shut();
        }
        let mut registry = self.shared.registry();
        registry.close(&claimed, self.owns_names, &HashSet::new());
        registry.close_control(&claimed, self.owns_names);
        drop(registry);
        self.set_gate(Gate::Ended(Ending::Claimed(claimed)));
        // Before the successor knows that the file is its own: written after that, it could overwrite a later one.
        self.name_in_pid_file(by.pid);
        self.tell_successor(&Message::LetGo);
        let Identity { pid, generation } = by;
        self.tell_predecessor(&Message::Replaced { pid, generation });
        self.took(Part::Probation);
        self.parts.push((Part::Total, self.restart_began.elapsed()));
        self.parts.drain(..).for_each(|(part, elapsed)| meter::restart_took(part, elapsed));
        meter::restart_ended(&Ok(()));
        for asker in self.restart_askers.drain(..) {
            asker.answer(Ok(by.clone()));
        }
        self.expect_departures();
        self.shared.drain.begin(Cause::Replaced { by: by.clone() }, &self.settings.on_restart);
        self.tell_that_accepting_has_ended(Cause::Replaced { by });
        // The drain ends only in the loop's turn, so its guard comes in time.
        self.begin_final_state();
        // The successor learns what is waited for as soon as anything is.
        self.news = Instant::now();
        // Told to stop while the supervisor was told of the successor: it is that one which is to stop now.
        for visitor in mem::take(&mut self.stop_askers) {
            let here = self.pass_on(visitor);
            self.stop_askers.extend(here);
        }
    }
}

fn detached() -> Error {
    Error::new(ErrorKind::Unsupported, "a detached handle does not restart")
}

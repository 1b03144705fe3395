//! What is wanted at the control path: a successor that somebody else has started, and operators.

use std::{os::fd::AsFd, sync::Arc, time::SystemTime};

use super::{asker::Asker, life::Life, meter};
use crate::{
    Error, ErrorKind, State,
    control::Visitor,
    phase::Event,
    status::{Draining, LastRestart, Status},
    sys,
    wire::{Answer, Message, Wish},
};

/// How many may wait for the end of a restart or of a drain. They hold no place at the door, or those who have gone away
/// again would keep everybody else out; each is a descriptor.
const MOST_ASKERS: usize = 256;

impl Life {
    /// `None`: it is answered, or will be when something else happens.
    pub(super) fn receive(&mut self, visitor: Visitor) -> Option<Event> {
        let mut visitor = self.pass_on(visitor)?;
        match visitor.wish() {
            // Whoever watches a server asks every few seconds.
            Wish::Status => crate::log::debug!(visitor_pid = visitor.pid(), "asked how it is at the control path"),
            wish => crate::log::info!(?wish, visitor_pid = visitor.pid(), "asked at the control path"),
        }
        match visitor.wish() {
            Wish::Status => {
                visitor.answer(Answer::Status(Box::new(self.status())));
                None
            }
            Wish::Restart | Wish::Stop if self.restart_askers.len() + self.stop_askers.len() >= MOST_ASKERS => {
                visitor.answer(Answer::Failed(Error::new(ErrorKind::Busy, "too many wait for an answer already")));
                None
            }
            Wish::Restart => {
                visitor.give_place();
                self.restart_askers.push(Asker::Visitor(visitor));
                Some(Event::RestartAsked)
            }
            // Answered at the drain's end. Asked twice, it is the second stop, which ends the drain at once.
            Wish::Stop => {
                visitor.give_place();
                self.stop_askers.push(visitor);
                Some(Event::StopAsked(None))
            }
            // One waits already, until it is known whether it may come in: in its place, nobody would answer it.
            Wish::TakeOver if self.candidate.is_some() => {
                turn_away(visitor, Error::new(ErrorKind::Busy, "a restart is under way already"));
                None
            }
            Wish::TakeOver => {
                self.candidate = Some(visitor);
                Some(Event::Met)
            }
            // The door lets nobody in who wants what this version does not know.
            Wish::Other(_) => None,
        }
    }

    /// Who came to a generation that has been replaced meanwhile is the successor's guest: it gets the connection itself,
    /// and the visitor notices nothing. It comes back where there is no successor.
    pub(super) fn pass_on(&mut self, visitor: Visitor) -> Option<Visitor> {
        let replaced = self.is_replaced();
        let Some(successor) = self.successor.as_mut().filter(|it| replaced && it.hears()) else {
            return Some(visitor);
        };
        if let Some((want, socket)) = visitor.into_socket() {
            successor.say(&Message::Forward(want), vec![Arc::new(socket)]);
        }
        None
    }

    /// No restart begins for it.
    pub(super) fn turn_candidate_away(&mut self, why: Error) {
        if let Some(visitor) = self.candidate.take() {
            turn_away(visitor, why);
        }
    }

    fn status(&self) -> Status {
        let (sockets, leftovers) = self.shared.registry().status();
        let program = self.ground.as_ref().map(|ground| &ground.program);
        Status {
            generation: self.shared.generation,
            pid: std::process::id(),
            since: self.since,
            state: self.phase.state().to_string(),
            program: program.map(|program| program.path().to_owned()).unwrap_or_default(),
            program_file: program.and_then(|program| program.image()).unwrap_or_default(),
            sockets,
            leftovers,
            connections: self.shared.tracker.census(),
            draining: self.draining_ancestors(),
            last_restart: self.last_restart.clone(),
        }
    }

    /// Those before this generation that live on, with what they have said of themselves.
    pub(super) fn draining_ancestors(&self) -> Vec<Draining> {
        // Before it has let go, the predecessor may still take the restart back: it serves.
        if !self.owns_names {
            return Vec::new();
        }
        let said = self.predecessor.as_ref().map_or(&[][..], |predecessor| predecessor.draining());
        let alive = self.ancestors.iter().filter(|(_, handle)| !sys::has_ended(handle.as_fd()));
        let told = alive.map(|(who, _)| {
            let said = said.iter().find(|it| (it.generation, it.pid) == (who.generation, who.pid));
            let unsaid =
                || Draining { generation: who.generation, pid: who.pid, waits_for: String::new(), remaining: None };
            said.cloned().unwrap_or_else(unsaid)
        });
        told.collect()
    }

    /// The successor is told what those before it still wait for, so that whoever asks it learns it.
    pub(super) fn tell_what_is_waited_for(&mut self) {
        if self.phase.state() != State::Draining {
            return;
        }
        let mut those = self.draining_ancestors();
        those.push(Draining {
            generation: self.shared.generation,
            pid: std::process::id(),
            waits_for: self.shared.tracker.waits_for(),
            remaining: self.shared.drain.remaining(),
        });
        self.tell_successor(&Message::Draining(those));
    }

    pub(super) fn note_outcome(&mut self, outcome: Result<crate::Successor, Error>) {
        self.last_restart = Some(LastRestart { at: SystemTime::now(), outcome });
    }
}

fn turn_away(visitor: Visitor, why: Error) {
    meter::restart_ended(&Err::<(), _>(why.clone()));
    tell_refused(visitor, why);
}

/// It ends, and whoever has started it reads why.
pub(super) fn tell_refused(visitor: Visitor, why: Error) {
    crate::log::info!(visitor_pid = visitor.pid(), error = %why, "a successor that came by itself was refused");
    visitor.answer(Answer::Failed(why));
}

//! The phases, and the one function between them.

use std::{os::unix::process::ExitStatusExt, process::ExitStatus};

use super::{Action, Event};
use crate::{
    Error, ErrorKind,
    generation::{Cause, State},
};

/// Where a process is in its life. `restart`: a restart is wanted as soon as one is possible.
#[derive(Clone, Debug)]
pub(crate) enum Phase {
    /// Before `ready()`. With a predecessor the gate is shut.
    Starting {
        predecessor: bool,
        restart: bool,
    },
    /// READY is said, COMMIT awaited.
    Confirming {
        restart: bool,
    },
    /// It serves, but the predecessor may still take it back: its own restart has to wait.
    OnProbation {
        restart: bool,
    },
    Serving,
    /// A successor is on its way.
    Restarting(Step),
    /// A failed successor is seen dead, and then its failure is told. Not killed: it has its time to end by itself, so
    /// that its own status and last words are seen.
    Burying {
        error: Error,
        killed: bool,
    },
    /// Accepted work is finished by a deadline.
    Draining {
        heir: Heir,
        stops: u8,
    },
    Done,
}

/// How far the successor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Spawning,
    /// HELLO and the sockets are on their way; ACCEPTED is awaited.
    Introducing,
    /// READY is awaited.
    Awaiting,
    /// It serves, this process does not, and nothing irrevocable has happened.
    Probation,
    /// It has closed its channel before it was confirmed, and may be about to end: with which status?
    Closing,
    /// The same in its probation. This process serves again.
    Dying,
}

/// Who serves while this process drains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heir {
    /// Nobody of ours: a stop.
    Nobody,
    /// The successor, and its end would be a loss.
    Successor,
    /// The successor was lost, was replaced in its turn, or was told to stop: its end is no news.
    Settled,
}

impl Phase {
    /// The phase of a process that has just begun.
    pub(crate) fn first(predecessor: bool) -> Self {
        Self::Starting { predecessor, restart: false }
    }

    /// What the application is told of it.
    pub(crate) fn state(&self) -> State {
        match self {
            Self::Starting { .. } | Self::Confirming { .. } => State::Starting,
            Self::OnProbation { .. } | Self::Serving => State::Ready,
            Self::Restarting(_) | Self::Burying { .. } => State::Restarting,
            Self::Draining { .. } => State::Draining,
            Self::Done => State::Done,
        }
    }

    /// What follows from `event`. Total: an event that means nothing here leaves everything as it is.
    pub(crate) fn on(self, event: Event) -> (Self, Vec<Action>) {
        match self {
            Self::Starting { predecessor, restart } => starting(predecessor, restart, event),
            Self::Confirming { restart } => confirming(restart, event),
            Self::OnProbation { restart } => on_probation(restart, event),
            Self::Serving => serving(event),
            Self::Restarting(step) => restarting(step, event),
            Self::Burying { error, killed } => burying(error, killed, event),
            Self::Draining { heir, stops } => draining(heir, stops, event),
            Self::Done => (Self::Done, afterwards(event)),
        }
    }
}

type Next = (Phase, Vec<Action>);

fn starting(predecessor: bool, restart: bool, event: Event) -> Next {
    let stay = Phase::Starting { predecessor, restart };
    match event {
        Event::ReadyAsked if predecessor => {
            (Phase::Confirming { restart }, vec![Action::CloseLeftovers, Action::SayReady])
        }
        Event::ReadyAsked => confirmed_for_good(restart, vec![Action::CloseLeftovers]),
        Event::TimeAsked(by) if predecessor => (stay, vec![Action::SayExtend(by)]),
        // The application asks before it has said that it can serve: it can mend that itself, so it is told.
        Event::RestartAsked => (stay, vec![Action::Refuse(not_ready())]),
        // Whoever sent the signal can't be told: it is kept until it can be followed.
        Event::RestartSignalled => (Phase::Starting { predecessor, restart: true }, vec![Action::NoteEarlyRestart]),
        // The predecessor is dead, so this process holds the only sockets, and serves when it is ready. Nobody reads what
        // it writes to the pipe in the meantime: with 64 KiB of it, it would stand still.
        Event::PredecessorGone => (Phase::Starting { predecessor: false, restart }, vec![Action::GiveStderrBack]),
        event => before_it_served(stay, restart, event),
    }
}

fn confirming(restart: bool, event: Event) -> Next {
    match event {
        Event::Confirmed => {
            let actions = vec![Action::GiveStderrBack, Action::OpenGate, Action::AnswerReady(Ok(()))];
            (Phase::OnProbation { restart }, actions)
        }
        Event::PredecessorGone => confirmed_for_good(restart, vec![Action::GiveStderrBack]),
        Event::RestartAsked | Event::RestartSignalled => (Phase::Confirming { restart: true }, vec![]),
        event => before_it_served(Phase::Confirming { restart }, restart, event),
    }
}

/// What ends a generation that is not ready: then `ready()` is an error, so that `?` ends the process, and the
/// predecessor is not let go. Unless that one has given up, it reads this generation's standard error to the end: given
/// back, the last words would go past it, and nobody would learn why the restart failed.
fn before_it_served(stay: Phase, restart: bool, event: Event) -> Next {
    let (before, error, cause) = match event {
        Event::StopAsked(by) => (vec![], ending(), Cause::Stopped { by }),
        Event::ServeFailed(why) => (vec![], why.clone(), Cause::Failed { why }),
        Event::TakenBack(why) => {
            let error = Error::new(ErrorKind::Aborted, format!("the predecessor took the restart back: {why}"));
            (vec![Action::GiveStderrBack], error, STOPPED)
        }
        _ => return (stay, vec![]),
    };
    let (phase, actions) = stop(restart, cause);
    (phase, [before, vec![Action::AnswerReady(Err(error))], actions].concat())
}

fn on_probation(restart: bool, event: Event) -> Next {
    match event {
        Event::PredecessorLetGo | Event::PredecessorGone => confirmed_for_good(restart, vec![]),
        Event::RestartAsked | Event::RestartSignalled => (Phase::OnProbation { restart: true }, vec![]),
        Event::ReadyAsked => (Phase::OnProbation { restart }, vec![Action::AnswerReady(Ok(()))]),
        // The predecessor was stopped. This generation serves already, so it ends as any serving generation does.
        Event::TakenBack(_) => stop(restart, STOPPED),
        Event::StopAsked(by) => stop(restart, Cause::Stopped { by }),
        Event::ServeFailed(why) => stop(restart, Cause::Failed { why }),
        _ => (Phase::OnProbation { restart }, vec![]),
    }
}

fn confirmed_for_good(restart: bool, before: Vec<Action>) -> Next {
    let mut actions = [before, vec![Action::OpenGate, Action::OwnNames, Action::AnswerReady(Ok(()))]].concat();
    if !restart {
        return (Phase::Serving, actions);
    }
    actions.push(Action::Spawn);
    (Phase::Restarting(Step::Spawning), actions)
}

fn serving(event: Event) -> Next {
    match event {
        Event::RestartAsked | Event::RestartSignalled => (Phase::Restarting(Step::Spawning), vec![Action::Spawn]),
        Event::ReadyAsked => (Phase::Serving, vec![Action::AnswerReady(Ok(()))]),
        Event::StopAsked(by) => stop(false, Cause::Stopped { by }),
        Event::ServeFailed(why) => stop(false, Cause::Failed { why }),
        _ => (Phase::Serving, vec![]),
    }
}

fn restarting(step: Step, event: Event) -> Next {
    match event {
        Event::StopAsked(by) => stop_restarting(step, Cause::Stopped { by }),
        Event::ServeFailed(why) => stop_restarting(step, Cause::Failed { why }),
        Event::ReadyAsked => (Phase::Restarting(step), vec![Action::AnswerReady(Ok(()))]),
        // On probation it has accepted, and ends in its own time: nothing is left to decide about it.
        Event::Stopping(why) if step == Step::Probation => failed(step, vec![Action::Forget], stopped(&why)),
        Event::Stopping(why) => (Phase::Burying { error: stopped(&why), killed: false }, vec![Action::AwaitEnd]),
        Event::Ended(status) => failed(step, vec![], ended_unconfirmed(step, status)),
        Event::Failed(error) => bury(step, error),
        Event::Refused(error) if step != Step::Probation => {
            (Phase::Burying { error, killed: false }, vec![Action::AwaitEnd])
        }
        Event::Refused(error) => bury(step, error),
        event => on_its_way(step, event),
    }
}

fn on_its_way(step: Step, event: Event) -> Next {
    match (step, event) {
        (Step::Spawning, Event::Spawned) => (Phase::Restarting(Step::Introducing), vec![]),
        (Step::Spawning, Event::SpawnFailed(error)) => failed(step, vec![], error),
        (Step::Introducing, Event::Accepted) => (Phase::Restarting(Step::Awaiting), vec![]),
        (Step::Introducing, Event::Ready) => {
            bury(step, Error::new(ErrorKind::Protocol, "the successor said READY before ACCEPTED"))
        }
        (Step::Awaiting, Event::NeedsTime(by)) => {
            (Phase::Restarting(Step::Awaiting), vec![Action::ExtendReadyDeadline(by)])
        }
        (Step::Awaiting, Event::Ready) => (Phase::Restarting(Step::Probation), vec![Action::ShutGate, Action::Confirm]),
        (Step::Spawning | Step::Introducing | Step::Awaiting, Event::ReadyDeadline) => {
            bury(step, Error::new(ErrorKind::Deadline, "the successor was not ready by its deadline"))
        }
        (Step::Introducing | Step::Awaiting, Event::ChannelClosed) => {
            (Phase::Restarting(Step::Closing), vec![Action::AwaitEnd])
        }
        (Step::Closing, Event::EndDeadline) => {
            let why = "the successor closed its channel before it was ready, and lived on";
            bury(step, Error::new(ErrorKind::ChannelClosed, why))
        }
        (Step::Probation, Event::ChannelClosed) => {
            (Phase::Restarting(Step::Dying), vec![Action::OpenGate, Action::AwaitEnd])
        }
        (Step::Dying, Event::EndDeadline) => {
            let why = "the successor closed its channel within its probation, and lived on";
            bury(step, Error::new(ErrorKind::Probation, why))
        }
        (Step::Probation, Event::ProbationOver) => {
            (Phase::Draining { heir: Heir::Successor, stops: 0 }, vec![Action::LetGo])
        }
        (step, _) => (Phase::Restarting(step), vec![]),
    }
}

fn burying(error: Error, killed: bool, event: Event) -> Next {
    match event {
        Event::Ended(_) | Event::SpawnFailed(_) => (Phase::Serving, vec![Action::AnswerFailed(error)]),
        Event::EndDeadline if killed => (Phase::Serving, vec![Action::AnswerFailed(error)]),
        Event::EndDeadline => (Phase::Burying { error, killed: true }, vec![Action::Kill]),
        // The spawn was slower than the ready deadline: what it brought is not wanted any more.
        Event::Spawned => (Phase::Burying { error, killed: true }, vec![Action::Kill]),
        Event::ReadyAsked => (Phase::Burying { error, killed }, vec![Action::AnswerReady(Ok(()))]),
        Event::StopAsked(by) => stop_burying(error, Cause::Stopped { by }),
        Event::ServeFailed(why) => stop_burying(error, Cause::Failed { why }),
        _ => (Phase::Burying { error, killed }, vec![]),
    }
}

fn draining(heir: Heir, stops: u8, event: Event) -> Next {
    let settled = Phase::Draining { heir: Heir::Settled, stops };
    match event {
        Event::StopAsked(_) => {
            let first_of_a_restart = heir != Heir::Nobody && stops == 0;
            let action = if first_of_a_restart { Action::ShortenDrain } else { Action::CutDrain };
            (Phase::Draining { heir, stops: stops.saturating_add(1) }, vec![action])
        }
        Event::Replaced | Event::Stopping(_) if heir == Heir::Successor => (settled, vec![]),
        Event::ChannelClosed | Event::Ended(_) | Event::Failed(_) | Event::Refused(_) if heir == Heir::Successor => {
            (settled, vec![Action::SuccessorLost])
        }
        Event::ServeFailed(why) => (Phase::Draining { heir, stops }, vec![Action::NoteFailure(why)]),
        Event::Drained => (Phase::Done, vec![Action::Finish]),
        event => (Phase::Draining { heir, stops }, afterwards(event)),
    }
}

/// What an ending generation answers.
fn afterwards(event: Event) -> Vec<Action> {
    match event {
        Event::ReadyAsked => vec![Action::AnswerReady(Err(ending()))],
        Event::RestartAsked | Event::RestartSignalled => vec![Action::Refuse(ending())],
        _ => vec![],
    }
}

/// The restart failed and nothing of it needs to be killed. This generation serves, as before.
fn failed(step: Step, mut before: Vec<Action>, error: Error) -> Next {
    if step == Step::Probation {
        before.insert(0, Action::OpenGate);
    }
    before.push(Action::AnswerFailed(error));
    (Phase::Serving, before)
}

/// The failed successor is killed and seen dead before its failure is told: then nothing of it is left, and its status
/// and last words are known.
fn bury(step: Step, error: Error) -> Next {
    let mut actions = vec![Action::TakeBack(error.message().to_owned()), Action::Kill];
    if step == Step::Probation {
        actions.insert(0, Action::OpenGate);
    }
    (Phase::Burying { error, killed: true }, actions)
}

const STOPPED: Cause = Cause::Stopped { by: None };

/// The predecessor, if it still listens, is told first: then this end is no loss to it, and within a probation it opens
/// its gate again now, and not only when this process has drained.
fn stop(restart: bool, cause: Cause) -> Next {
    let mut actions = vec![Action::SayStopping(cause.to_string()), Action::BeginDrain(cause)];
    if restart {
        actions.push(Action::Refuse(ending()));
    }
    (Phase::Draining { heir: Heir::Nobody, stops: 0 }, actions)
}

/// A stop while a successor is on its way takes the restart back. In probation the successor serves: it is told, and
/// ends as a serving generation does, for a kill would cut what it has accepted.
fn stop_restarting(step: Step, cause: Cause) -> Next {
    let (phase, mut actions) = stop(false, cause);
    let end = if step == Step::Probation { Action::Forget } else { Action::Kill };
    actions.splice(0..0, [Action::TakeBack("the predecessor was stopped".into()), end, Action::AnswerFailed(ending())]);
    (phase, actions)
}

fn stop_burying(error: Error, cause: Cause) -> Next {
    let (phase, mut actions) = stop(false, cause);
    actions.push(Action::AnswerFailed(error));
    (phase, actions)
}

fn not_ready() -> Error {
    Error::new(ErrorKind::NotReady, "this generation is not ready, so it can't be replaced: `ready()` has not returned")
}

fn ending() -> Error {
    Error::new(ErrorKind::Ending, "this generation is ending")
}

fn stopped(why: &str) -> Error {
    Error::new(ErrorKind::Exited, format!("the successor ended before it was confirmed for good: {why}"))
}

fn ended_unconfirmed(step: Step, status: Option<ExitStatus>) -> Error {
    let how = status.map_or_else(|| "its status is unknown".to_owned(), |status| status.to_string());
    if matches!(step, Step::Probation | Step::Dying) {
        return Error::new(ErrorKind::Probation, format!("the successor died within its probation: {how}"));
    }
    let killed = status.is_some_and(|status| status.signal().is_some());
    let kind = if killed { ErrorKind::Killed } else { ErrorKind::Exited };
    Error::new(kind, format!("the successor ended before it was ready: {how}"))
}

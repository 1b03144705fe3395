//! The phases, and the one function between them.

use super::{
    Action, Event,
    reason::{busy, ended_unconfirmed, ending, not_ready, stopped},
};
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
    /// A stop is certain; accepting ends as soon as the supervisor has given back what it holds of it.
    Withdrawing {
        cause: Cause,
        stops: u8,
    },
    /// Accepted work is finished by a deadline. `stops`: how often a stop was asked for here.
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
    /// Its probation is over, and the supervisor is told its name: from here nothing is taken back.
    Naming,
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
            Self::Withdrawing { .. } | Self::Draining { .. } => State::Draining,
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
            Self::Withdrawing { cause, stops } => withdrawing(cause, stops, event),
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
        Event::TimeAsked(by) => (stay, vec![Action::SayExtend(by)]),
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
    let (before, error, cause, stops) = match event {
        Event::StopAsked(by) => (vec![], ending(), Cause::Stopped { by }, 1),
        Event::ServeFailed(why) => (vec![], why.clone(), Cause::Failed { why }, 0),
        Event::TakenBack(why) => {
            let error = Error::new(ErrorKind::Aborted, format!("the predecessor took the restart back: {why}"));
            (vec![Action::GiveStderrBack], error, STOPPED, 0)
        }
        Event::Met => return (stay, vec![Action::TurnAway(not_ready())]),
        _ => return (stay, vec![]),
    };
    let (phase, actions) = stop(restart, cause, stops);
    (phase, [before, vec![Action::AnswerReady(Err(error))], actions].concat())
}

fn on_probation(restart: bool, event: Event) -> Next {
    match event {
        Event::PredecessorLetGo | Event::PredecessorGone => confirmed_for_good(restart, vec![]),
        Event::RestartAsked | Event::RestartSignalled => (Phase::OnProbation { restart: true }, vec![]),
        Event::Met => (Phase::OnProbation { restart }, vec![Action::TurnAway(busy())]),
        Event::ReadyAsked => (Phase::OnProbation { restart }, vec![Action::AnswerReady(Ok(()))]),
        // The predecessor was stopped. This generation serves already, so it ends as any serving generation does. If that
        // one has its stop from systemd, the same signal is on its way to this one: it is the first, and cuts nothing.
        Event::TakenBack(_) => stop(restart, STOPPED, 0),
        Event::StopAsked(by) => stop(restart, Cause::Stopped { by }, 1),
        Event::ServeFailed(why) => stop(restart, Cause::Failed { why }, 0),
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
        Event::Met => (Phase::Restarting(Step::Spawning), vec![Action::Welcome]),
        Event::ReadyAsked => (Phase::Serving, vec![Action::AnswerReady(Ok(()))]),
        Event::StopAsked(by) => stop(false, Cause::Stopped { by }, 1),
        Event::ServeFailed(why) => stop(false, Cause::Failed { why }, 0),
        _ => (Phase::Serving, vec![]),
    }
}

fn restarting(step: Step, event: Event) -> Next {
    match event {
        Event::Met => (Phase::Restarting(step), vec![Action::TurnAway(busy())]),
        event if step == Step::Naming => naming(event),
        Event::StopAsked(by) => stop_restarting(step, Cause::Stopped { by }, 1),
        Event::ServeFailed(why) => stop_restarting(step, Cause::Failed { why }, 0),
        Event::ReadyAsked => (Phase::Restarting(step), vec![Action::AnswerReady(Ok(()))]),
        // On probation it has accepted, and ends in its own time: nothing is left to decide about it. But it is told that
        // this generation serves on: it would take the channel's end for a death, and answer at the control path beside it.
        Event::Stopping(why) if step == Step::Probation => {
            let error = stopped(&why);
            failed(step, vec![Action::TakeBack(error.message().to_owned()), Action::Forget], error)
        }
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
        (Step::Probation, Event::ProbationOver) => (Phase::Restarting(Step::Naming), vec![Action::NameSuccessor]),
        (step, _) => (Phase::Restarting(step), vec![]),
    }
}

/// The supervisor takes the successor for the main process, or is about to. Whatever else happens now happens to a
/// generation that has let go.
fn naming(event: Event) -> Next {
    match event {
        Event::ReadyAsked => (Phase::Restarting(Step::Naming), vec![Action::AnswerReady(Ok(()))]),
        // They join: the answer is on its way.
        Event::RestartAsked | Event::RestartSignalled => (Phase::Restarting(Step::Naming), vec![]),
        Event::SupervisorKnows
        | Event::StopAsked(_)
        | Event::ServeFailed(_)
        | Event::Replaced
        | Event::Stopping(_)
        | Event::Refused(_)
        | Event::Failed(_)
        | Event::ChannelClosed
        | Event::Ended(_) => {
            let (phase, actions) = draining(Heir::Successor, 0, event);
            (phase, [vec![Action::LetGo], actions].concat())
        }
        _ => (Phase::Restarting(Step::Naming), vec![]),
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
        Event::StopAsked(by) => stop_burying(error, Cause::Stopped { by }, 1),
        Event::ServeFailed(why) => stop_burying(error, Cause::Failed { why }, 0),
        Event::Met => (Phase::Burying { error, killed }, vec![Action::TurnAway(busy())]),
        _ => (Phase::Burying { error, killed }, vec![]),
    }
}

fn withdrawing(cause: Cause, stops: u8, event: Event) -> Next {
    match event {
        Event::SupervisorKnows => begin_drain(cause, stops),
        Event::StopAsked(_) if stops == 0 => (Phase::Withdrawing { cause, stops: 1 }, vec![]),
        // The second one: the drain is over as soon as it has begun.
        Event::StopAsked(_) => {
            let (phase, actions) = begin_drain(cause, stops.saturating_add(1));
            (phase, [actions, vec![Action::CutDrain]].concat())
        }
        Event::ServeFailed(why) => (Phase::Withdrawing { cause, stops }, vec![Action::NoteFailure(why)]),
        event => (Phase::Withdrawing { cause, stops }, afterwards(event)),
    }
}

fn begin_drain(cause: Cause, stops: u8) -> Next {
    (Phase::Draining { heir: Heir::Nobody, stops }, vec![Action::BeginDrain(cause)])
}

fn draining(heir: Heir, stops: u8, event: Event) -> Next {
    let settled = Phase::Draining { heir: Heir::Settled, stops };
    match event {
        Event::StopAsked(_) => {
            let action = if stops == 0 { Action::ShortenDrain } else { Action::CutDrain };
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
        Event::Met => vec![Action::TurnAway(ending())],
        // Not at its channel's end: a predecessor that was told of this end serves on, and closes the channel.
        Event::PredecessorLetGo => vec![Action::OwnNamesAtLast],
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
    let mut actions = vec![Action::TakeBack(error.message().to_owned()), Action::PutDown];
    if step == Step::Probation {
        actions.insert(0, Action::OpenGate);
    }
    (Phase::Burying { error, killed: false }, actions)
}

const STOPPED: Cause = Cause::Stopped { by: None };

/// The predecessor, if it still listens, is told first: then this end is no loss to it, and within a probation it opens
/// its gate again now, and not only when this process has drained. `Withdraw` comes last, for what follows from it.
fn stop(restart: bool, cause: Cause, stops: u8) -> Next {
    let mut actions = vec![Action::SayStopping(cause.to_string()), Action::Withdraw];
    if restart {
        actions.insert(1, Action::Refuse(ending()));
    }
    (Phase::Withdrawing { cause, stops }, actions)
}

/// A stop while a successor is on its way takes the restart back. In probation the successor serves: it is told, and
/// ends as a serving generation does, for a kill would cut what it has accepted.
fn stop_restarting(step: Step, cause: Cause, stops: u8) -> Next {
    let (phase, mut actions) = stop(false, cause, stops);
    let end = if step == Step::Probation { Action::Forget } else { Action::Dismiss };
    actions.splice(0..0, [Action::TakeBack("the predecessor was stopped".into()), end, Action::AnswerFailed(ending())]);
    (phase, actions)
}

fn stop_burying(error: Error, cause: Cause, stops: u8) -> Next {
    let (phase, mut actions) = stop(false, cause, stops);
    actions.insert(0, Action::AnswerFailed(error));
    (phase, actions)
}

//! A restart: a successor is on its way, or has failed.

use super::{
    Action, Event, Phase, Step,
    ending::{become_lame_duck, draining, stop},
    reason::{busy, ended_unconfirmed, ending, stopped},
    step::{Heir, Next},
};
use crate::{Error, ErrorKind, generation::Cause};

pub(super) fn prepare(met: bool) -> Next {
    (Phase::Restarting(Step::Preparing { met }), vec![Action::Prepare])
}

pub(super) fn restarting(step: Step, event: Event) -> Next {
    match event {
        Event::Met => (Phase::Restarting(step), vec![Action::TurnAway(busy())]),
        event if step == Step::Naming => naming(event),
        Event::StopAsked(by) => become_lame_duck(by, give_up(step)),
        Event::ServeFailed(why) => {
            let (phase, actions) = stop(false, Cause::Failed { why }, 0);
            (phase, [give_up(step), actions].concat())
        }
        Event::ReadyAsked => (Phase::Restarting(step), vec![Action::AnswerReady(Ok(()))]),
        event if matches!(step, Step::Preparing { .. }) => preparing(step, event),
        // On probation it has accepted, and ends in its own time: nothing is left to decide about it. But it is told that
        // this generation serves on: it would take the channel's end for a death, and answer at the control path beside it.
        Event::Stopping(why) if step == Step::Probation => {
            let error = stopped(&why);
            failed(step, vec![Action::TakeBack(error.message().to_owned()), Action::Forget], error)
        }
        Event::Stopping(why) => (step.buries(stopped(&why)), vec![Action::AwaitEnd]),
        Event::Ended(status) => failed(step, vec![], ended_unconfirmed(step, status)),
        Event::Failed(error) => bury(step, error),
        Event::Refused(error) if step != Step::Probation => (step.buries(error), vec![Action::AwaitEnd]),
        Event::Refused(error) => bury(step, error),
        event => on_its_way(step, event),
    }
}

/// There is no successor yet.
fn preparing(step: Step, event: Event) -> Next {
    let met = step == Step::Preparing { met: true };
    match event {
        Event::Prepared if met => (Phase::Restarting(Step::Spawning), vec![Action::Welcome]),
        Event::Prepared => (Phase::Restarting(Step::Spawning), vec![Action::Spawn]),
        Event::Unprepared(error) => failed(step, vec![], error),
        _ => (Phase::Restarting(step), vec![]),
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
        (Step::Awaiting, Event::Ready) => (Phase::Restarting(Step::Releasing), vec![Action::Release]),
        (Step::Releasing, Event::Released) => {
            (Phase::Restarting(Step::Probation), vec![Action::ShutGate, Action::Confirm])
        }
        (Step::Releasing, Event::Unreleased(error)) => bury(step, error),
        (Step::Spawning | Step::Introducing | Step::Awaiting, Event::ReadyDeadline) => {
            bury(step, Error::new(ErrorKind::Deadline, "the successor was not ready by its deadline"))
        }
        (Step::Introducing | Step::Awaiting | Step::Releasing, Event::ChannelClosed) => {
            (Phase::Restarting(Step::Closing { released: step.has_released() }), vec![Action::AwaitEnd])
        }
        (Step::Closing { .. }, Event::EndDeadline) => {
            let why = format!("the successor closed its channel before it was {}, and lived on", step.goal());
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

pub(super) fn burying(error: Error, killed: bool, released: bool, event: Event) -> Next {
    let stay = |error| Phase::Burying { error, killed, released };
    let kill = |error| Phase::Burying { error, killed: true, released };
    match event {
        Event::Ended(_) | Event::SpawnFailed(_) => buried(error, released),
        Event::EndDeadline if killed => buried(error, released),
        // One that has refused, or stops, was told nothing yet. From the control path it can't be killed, and would take the
        // channel's end for a death: it would answer there beside this generation, for as long as it drains.
        Event::EndDeadline => {
            let take_back = Action::TakeBack(error.message().to_owned());
            (kill(error), vec![take_back, Action::Kill])
        }
        // The spawn was slower than the ready deadline: what it brought is not wanted any more.
        Event::Spawned => (kill(error), vec![Action::Kill]),
        event => {
            let dismiss = vec![Action::TakeBack(error.message().to_owned()), Action::Dismiss];
            after_a_failure(error, dismiss, stay, event)
        }
    }
}

fn buried(error: Error, released: bool) -> Next {
    match released {
        true => (Phase::Undoing { error }, vec![Action::Undo]),
        false => (Phase::Serving, vec![Action::AnswerFailed(error)]),
    }
}

pub(super) fn undoing(error: Error, event: Event) -> Next {
    match event {
        Event::Undone(failures) => (Phase::Serving, vec![Action::AnswerFailed(error.and(&failures))]),
        event => after_a_failure(error, vec![], |error| Phase::Undoing { error }, event),
    }
}

/// It serves, and the failure of its restart has not been told yet. `dismiss`: what is left of the successor, before this
/// generation ends: its duplicates of the listeners would outlive both.
fn after_a_failure(error: Error, dismiss: Vec<Action>, stay: impl FnOnce(Error) -> Phase, event: Event) -> Next {
    let give_up = |error| [dismiss, vec![Action::AnswerFailed(error)]].concat();
    match event {
        Event::ReadyAsked => (stay(error), vec![Action::AnswerReady(Ok(()))]),
        Event::StopAsked(by) => become_lame_duck(by, give_up(error)),
        Event::ServeFailed(why) => {
            let (phase, actions) = stop(false, Cause::Failed { why }, 0);
            (phase, [give_up(error), actions].concat())
        }
        Event::Met => (stay(error), vec![Action::TurnAway(busy())]),
        _ => (stay(error), vec![]),
    }
}

/// The restart failed and nothing of it needs to be killed. This generation serves, as before.
fn failed(step: Step, mut before: Vec<Action>, error: Error) -> Next {
    if step == Step::Probation {
        before.insert(0, Action::OpenGate);
    }
    let (phase, actions) = buried(error, step.has_released());
    (phase, [before, actions].concat())
}

/// The failed successor is killed and seen dead before its failure is told: then nothing of it is left, and its status
/// and last words are known.
fn bury(step: Step, error: Error) -> Next {
    let mut actions = vec![Action::TakeBack(error.message().to_owned()), Action::PutDown];
    if step == Step::Probation {
        actions.insert(0, Action::OpenGate);
    }
    (step.buries(error), actions)
}

/// A stop while a successor is on its way takes the restart back. In probation the successor serves: it is told, and
/// ends as a serving generation does, for a kill would cut what it has accepted. What was given up for it stays
/// given up, also in a lame duck.
fn give_up(step: Step) -> Vec<Action> {
    let take_back = Action::TakeBack("the predecessor was stopped".into());
    let mut actions = match step {
        Step::Preparing { .. } => vec![],
        Step::Probation => vec![take_back, Action::Forget, Action::OpenGate],
        _ => vec![take_back, Action::Dismiss],
    };
    actions.push(Action::AnswerFailed(ending()));
    actions
}

//! A generation that is about to serve, or serves, and has no successor.

use super::{
    Action, Event, Phase, Step,
    ending::{become_lame_duck, stop},
    reason::{busy, ending, not_ready},
    restart::prepare,
    step::Next,
};
use crate::{Error, ErrorKind, generation::Cause};

pub(super) fn starting(predecessor: bool, restart: bool, event: Event) -> Next {
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

pub(super) fn confirming(restart: bool, event: Event) -> Next {
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
            (vec![Action::GiveStderrBack], error, Cause::TakenBack { why }, 0)
        }
        Event::Met => return (stay, vec![Action::TurnAway(not_ready())]),
        _ => return (stay, vec![]),
    };
    let (phase, actions) = stop(restart, cause, stops);
    (phase, [before, vec![Action::AnswerReady(Err(error))], actions].concat())
}

pub(super) fn on_probation(restart: bool, event: Event) -> Next {
    match event {
        Event::PredecessorLetGo | Event::PredecessorGone => confirmed_for_good(restart, vec![]),
        Event::RestartAsked | Event::RestartSignalled => (Phase::OnProbation { restart: true }, vec![]),
        Event::Met => (Phase::OnProbation { restart }, vec![Action::TurnAway(busy())]),
        Event::ReadyAsked => (Phase::OnProbation { restart }, vec![Action::AnswerReady(Ok(()))]),
        // The predecessor was stopped. This generation serves already, so it ends as any serving generation does. If that
        // one has its stop from systemd, the same signal is on its way to this one: it is the first, and cuts nothing.
        Event::TakenBack(why) => stop(restart, Cause::TakenBack { why }, 0),
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
    actions.push(Action::Prepare);
    (Phase::Restarting(Step::Preparing { met: false }), actions)
}

pub(super) fn serving(event: Event) -> Next {
    match event {
        Event::RestartAsked | Event::RestartSignalled => prepare(false),
        Event::Met => prepare(true),
        Event::ReadyAsked => (Phase::Serving, vec![Action::AnswerReady(Ok(()))]),
        Event::StopAsked(by) => become_lame_duck(by, vec![]),
        Event::ServeFailed(why) => stop(false, Cause::Failed { why }, 0),
        _ => (Phase::Serving, vec![]),
    }
}

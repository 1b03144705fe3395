//! A stop, and the end.

use tokio::signal::unix::SignalKind;

use super::{
    Action, Event, Phase,
    reason::ending,
    step::{Heir, Next},
};
use crate::{ErrorKind, generation::Cause};

/// The predecessor, if it still listens, is told first: then this end is no loss to it, and within a probation it opens
/// its gate again now, and not only when this process has drained. `Withdraw` comes last, for what follows from it.
pub(super) fn stop(restart: bool, cause: Cause, stops: u8) -> Next {
    let mut actions = vec![Action::SayStopping(cause.to_string()), Action::Withdraw];
    if restart {
        actions.insert(1, Action::Refuse(ending()));
    }
    (Phase::Withdrawing { cause, stops }, actions)
}

/// The stop of a generation to which clients are sent, and which nobody else serves: only that one has a use for a lame
/// duck. One that is not ready was sent nobody; one on probation has a predecessor that opens its gate again; and one whose
/// listener has failed lets clients wait in a queue that nobody accepts from.
pub(super) fn become_lame_duck(by: Option<SignalKind>, before: Vec<Action>) -> Next {
    let cause = Cause::Stopped { by };
    let actions = vec![Action::SayStopping(cause.to_string()), Action::BeginLameDuck(cause.clone())];
    (Phase::LameDuck { cause, stops: 1 }, [before, actions].concat())
}

pub(super) fn lame_duck(cause: Cause, stops: u8, event: Event) -> Next {
    match event {
        Event::LameDuckOver => (Phase::Withdrawing { cause, stops }, vec![Action::Withdraw]),
        // The second one: the drain is over as soon as it has begun.
        Event::StopAsked(_) => {
            let (phase, actions) = begin_drain(cause, stops.saturating_add(1));
            (phase, [vec![Action::Withdraw], actions, vec![Action::CutDrain]].concat())
        }
        // Its clients would wait in a queue that nobody accepts from.
        Event::ServeFailed(why) => {
            (Phase::Withdrawing { cause, stops }, vec![Action::NoteFailure(why), Action::Withdraw])
        }
        // It serves.
        Event::ReadyAsked => (Phase::LameDuck { cause, stops }, vec![Action::AnswerReady(Ok(()))]),
        event => (Phase::LameDuck { cause, stops }, afterwards(event)),
    }
}

pub(super) fn withdrawing(cause: Cause, stops: u8, event: Event) -> Next {
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

pub(super) fn draining(heir: Heir, stops: u8, event: Event) -> Next {
    let settled = Phase::Draining { heir: Heir::Settled, stops };
    match event {
        Event::StopAsked(_) => {
            let action = if stops == 0 { Action::ShortenDrain } else { Action::CutDrain };
            (Phase::Draining { heir, stops: stops.saturating_add(1) }, vec![action])
        }
        Event::Replaced | Event::Stopping(_) if heir == Heir::Successor => (settled, vec![]),
        // It may say in order that it is replaced, or ends, and that is not heard any more: that it has died can't be told. But
        // a word that ends in its middle is a death's.
        Event::Failed(why) | Event::Refused(why) if heir == Heir::Successor && why.kind() != ErrorKind::Torn => {
            (settled, vec![Action::NoteUnheard(why)])
        }
        // Not at its channel's end: as long as its process lives, it serves. Of one whose process can't be seen, the channel's
        // end is told as its own.
        Event::Ended(_) if heir == Heir::Successor => (settled, vec![Action::SuccessorLost]),
        Event::ServeFailed(why) => (Phase::Draining { heir, stops }, vec![Action::NoteFailure(why)]),
        Event::OthersDrained => (Phase::Draining { heir, stops }, vec![Action::RunExitHooks]),
        Event::Left => (Phase::Draining { heir, stops }, vec![Action::EndLast]),
        Event::Drained => (Phase::Done, vec![Action::Finish]),
        event => (Phase::Draining { heir, stops }, afterwards(event)),
    }
}

/// What an ending generation answers.
pub(super) fn afterwards(event: Event) -> Vec<Action> {
    match event {
        Event::ReadyAsked => vec![Action::AnswerReady(Err(ending()))],
        Event::RestartAsked | Event::RestartSignalled => vec![Action::Refuse(ending())],
        Event::Met => vec![Action::TurnAway(ending())],
        // Not at its channel's end: a predecessor that was told of this end serves on, and closes the channel.
        Event::PredecessorLetGo => vec![Action::OwnNamesAtLast],
        _ => vec![],
    }
}

//! What the actions of `phase` mean in the world, as `graceful` carries them out.

use std::collections::VecDeque;

use super::{
    Restart, World, Wrong,
    channel::{Down, Up},
    life::Life,
    world::{Being, Body, Deadline, Gate, Successor, Talk, Work},
};
use crate::{
    Error, ErrorKind,
    phase::{Action, Event, Phase},
};

/// Whatever went wrong: no phase looks into it.
pub(super) fn error() -> Error {
    Error::new(ErrorKind::Internal, String::new())
}

impl<const N: usize> Restart<N> {
    /// One event, and those that follow from its actions at once.
    pub(super) fn live(&self, world: &mut World<N>, who: usize, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let it = &mut world.processes[who];
            if self.wrong == Some(Wrong::TakesBackTheNamed)
                && it.has_named
                && !it.has_let_go
                && ends_a_successor(&event)
            {
                it.life = on_probation();
            }
            let actions = it.life.on(event);
            if !has_deadline(it.life.phase()) {
                it.deadline = None;
            }
            for action in actions {
                events.extend(self.carry_out(world, who, action));
            }
        }
    }

    /// Does it, and says what has come of it where that is known at once.
    fn carry_out(&self, world: &mut World<N>, who: usize, action: Action) -> Option<Event> {
        let wrong = self.wrong;
        let it = &mut world.processes[who];
        match action {
            Action::AnswerReady(_) => it.asks_ready = false,
            Action::AnswerFailed(_) => answer_failed(world, who),
            Action::Refuse(_) => it.asks_restart &= wrong == Some(Wrong::ForgetsWhoAsked),
            Action::OpenGate => {
                it.confirmed = true;
                it.gate = Gate::Open;
            }
            Action::ShutGate if wrong == Some(Wrong::BothAccept) => {}
            Action::ShutGate => it.gate = Gate::Shut,
            Action::OwnNames => it.owns_names = true,
            Action::SayReady => {
                world.say_up(who, Up::Ready);
                return (wrong == Some(Wrong::ReadyIsCommit)).then_some(Event::Confirmed);
            }
            Action::SayStopping(_) => world.say_up(who, Up::Stopping),
            Action::Prepare => {
                it.work = Some(Work::Preparing);
                if wrong == Some(Wrong::CountsTheFailed) && world.has_failed_before(who) {
                    world.processes[who].work = None;
                    return Some(Event::Unprepared(error()));
                }
            }
            Action::Release if !self.hooks => return Some(Event::Released),
            Action::Release => {
                it.work = Some(Work::Releasing);
                it.given_up = true;
                if wrong == Some(Wrong::ShutsAtReady) {
                    it.gate = Gate::Shut;
                }
            }
            Action::Undo if !it.given_up || wrong == Some(Wrong::UndoesNothing) => {
                return Some(Event::Undone(Vec::new()));
            }
            Action::Undo => {
                it.work = Some(Work::Undoing);
                note_use(world, who);
            }
            Action::Spawn => return spawn(world, who),
            Action::Welcome => welcome(world, who),
            Action::TurnAway(_) => turn_candidate_away(world, who),
            Action::Confirm => {
                it.deadline = Some(Deadline::Probation);
                let successor = it.successor.expect("it is ready").who;
                if wrong == Some(Wrong::NamesAtCommit) {
                    note_irrevocable(world, who);
                    world.processes[who].has_named = true;
                }
                world.processes[successor].committed = true;
                return self.say_down(world, who, Down::Commit);
            }
            Action::TakeBack(_) if self.leaves_abort_unsaid(it.life.phase()) => {}
            Action::TakeBack(_) => return self.say_down(world, who, Down::Abort),
            Action::PutDown => {
                it.deadline = Some(Deadline::End);
                if wrong == Some(Wrong::UndoesAtOnce) && it.given_up {
                    it.given_up = false;
                    note_use(world, who);
                }
            }
            Action::Kill => {
                it.deadline = Some(Deadline::End);
                kill(world, who);
                return (wrong == Some(Wrong::KillIsDeath)).then_some(Event::Ended(None));
            }
            Action::Dismiss if wrong == Some(Wrong::LeavesSuccessor) => {}
            Action::Dismiss => kill(world, who),
            Action::AwaitEnd if wrong == Some(Wrong::WaitsForTheEnd) => it.deadline = None,
            Action::AwaitEnd => it.deadline = Some(Deadline::End),
            Action::Forget => forget_successor(world, who),
            Action::NameSuccessor => return self.name_successor(world, who),
            Action::LetGo => self.let_go(world, who),
            Action::BeginLameDuck(_) => {
                it.work = None;
                if !self.lame_duck {
                    return Some(Event::LameDuckOver);
                }
                it.deadline = Some(Deadline::LameDuck);
            }
            Action::Withdraw => {
                it.work = None;
                if !self.supervised {
                    return Some(Event::SupervisorKnows);
                }
                it.deadline = Some(Deadline::Supervisor);
            }
            Action::BeginDrain(_) => it.gate = Gate::Ended,
            Action::OwnNamesAtLast => it.owns_names |= it.confirmed,
            Action::RunExitHooks => return Some(Event::Left),
            Action::EndLast => it.drained = true,
            Action::Finish => {
                world.seen.unanswered |= it.asks_restart || it.asks_ready;
                it.being = Being::Over;
                world.close_all(who);
            }
            // What only a log, a report, a clock or another's status would show.
            Action::NoteEarlyRestart
            | Action::CloseLeftovers
            | Action::GiveStderrBack
            | Action::SayExtend(_)
            | Action::ExtendReadyDeadline(_)
            | Action::NoteFailure(_)
            | Action::NoteUnheard(_)
            | Action::SuccessorLost
            | Action::ShortenDrain
            | Action::CutDrain => {}
        }
        None
    }

    fn leaves_abort_unsaid(&self, phase: &Phase) -> bool {
        match self.wrong {
            Some(Wrong::AbortIsUnsaid) => true,
            Some(Wrong::AbortIsUnsaidToWhoRefuses) => matches!(phase, Phase::Burying { killed: true, .. }),
            _ => false,
        }
    }

    /// What is said is in the kernel at once: see the crate's own documentation for why nothing here waits for room.
    fn say_down(&self, world: &mut World<N>, who: usize, what: Down) -> Option<Event> {
        let successor = world.processes[who].successor?;
        let is_heard = successor.body != Body::Spawning && successor.talk != Talk::Over;
        let fails = is_heard && !world.processes[successor.who].channel.say_down(what);
        (fails && self.wrong == Some(Wrong::FailedSendIsDeath)).then_some(Event::Ended(None))
    }

    fn name_successor(&self, world: &mut World<N>, who: usize) -> Option<Event> {
        note_irrevocable(world, who);
        let it = &mut world.processes[who];
        let successor = it.successor.expect("a successor on probation is held until it has ended");
        it.has_named = true;
        world.seen.named_ended |= can_be_known_to_have_ended(world, successor);
        if !self.supervised || world.processes[successor.who].met {
            return Some(Event::SupervisorKnows);
        }
        world.processes[who].deadline = Some(Deadline::Supervisor);
        None
    }

    fn let_go(&self, world: &mut World<N>, who: usize) {
        note_irrevocable(world, who);
        self.say_down(world, who, Down::LetGo);
        world.say_up(who, Up::Replaced);
        let it = &mut world.processes[who];
        it.gate = Gate::Ended;
        it.has_let_go = true;
        it.asks_restart = false;
        if world.turn == Some(who) {
            world.pass_on(who);
        }
    }
}

fn has_deadline(phase: &Phase) -> bool {
    matches!(phase, Phase::Restarting(_) | Phase::Burying { .. } | Phase::LameDuck { .. } | Phase::Withdrawing { .. })
}

fn ends_a_successor(event: &Event) -> bool {
    matches!(event, Event::Ended(_) | Event::ChannelClosed | Event::Stopping(_))
}

/// The phase in which a successor is on probation.
fn on_probation() -> Life {
    Life::after([
        Event::ReadyAsked,
        Event::RestartAsked,
        Event::Prepared,
        Event::Spawned,
        Event::Accepted,
        Event::Ready,
        Event::Released,
    ])
}

fn answer_failed<const N: usize>(world: &mut World<N>, who: usize) {
    let it = &mut world.processes[who];
    it.asks_restart = false;
    if let Some(successor) = it.successor.take() {
        let is_spawning = successor.body == Body::Spawning;
        let it = &mut world.processes[successor.who];
        it.failure_told = true;
        // A spawn that is not awaited any more is killed when it comes, and has no HELLO to serve by until then.
        let is_told = it.took_back || it.channel.down.contains(&Down::Abort);
        let may_live = it.met || is_spawning || it.ends() || it.committed && is_told;
        let is_gone = it.being == Being::Dead || it.killed;
        world.seen.left_behind |= !may_live && !is_gone;
        world.leave(successor.who);
    }
    turn_candidate_away(world, who);
}

fn turn_candidate_away<const N: usize>(world: &mut World<N>, who: usize) {
    if let Some(candidate) = world.processes[who].candidate.take() {
        world.processes[candidate].channel.say_down(Down::Declined);
        world.leave(candidate);
    }
}

fn spawn<const N: usize>(world: &mut World<N>, who: usize) -> Option<Event> {
    note_use(world, who);
    let Some(heir) = world.unborn() else {
        return Some(Event::SpawnFailed(error()));
    };
    world.bear(heir, who, false);
    let it = &mut world.processes[who];
    it.successor = Some(Successor::new(heir, Body::Spawning));
    it.deadline = Some(Deadline::Ready);
    None
}

fn welcome<const N: usize>(world: &mut World<N>, who: usize) {
    note_use(world, who);
    let it = &mut world.processes[who];
    let heir = it.candidate.take().expect("who has come is held until it is welcomed or turned away");
    it.successor = Some(Successor::new(heir, Body::Come));
    it.deadline = Some(Deadline::Ready);
    world.processes[heir].channel.say_down(Down::Legacy);
}

fn kill<const N: usize>(world: &mut World<N>, who: usize) {
    let Some(successor) = world.processes[who].successor else { return };
    let heir = &mut world.processes[successor.who];
    match successor.body {
        Body::Alive => heir.killed = heir.being != Being::Dead,
        Body::Come | Body::Elsewhere if successor.talk != Talk::Over => heir.channel.shut_writing_above(),
        _ => {}
    }
}

/// It is told ABORT, and the askers in a moment why.
fn forget_successor<const N: usize>(world: &mut World<N>, who: usize) {
    if let Some(successor) = world.processes[who].successor.take() {
        world.processes[successor.who].failure_told = true;
        world.leave(successor.who);
    }
}

/// What was given up for a successor is about to be had again, or the next one is to come: does an earlier one still have
/// it? Not one that ends by itself, and not one for whose death was waited. One that came to the control path is nobody's
/// to kill here: what it was told, or its channel's end, must do.
fn note_use<const N: usize>(world: &mut World<N>, who: usize) {
    let has_it = world.processes.iter().any(|it| {
        let is_there = matches!(it.being, Being::Meeting | Being::Lives) && !it.ends() && !it.outwaited;
        let is_told = it.took_back || it.channel.down.contains(&Down::Abort);
        let is_nobodys = it.met && (is_told || it.hung_up || it.is_not_let_in());
        it.predecessor == Some(who) && is_there && !is_nobodys && !it.is_forgotten_before_hello()
    });
    world.seen.in_use |= has_it;
}

fn note_irrevocable<const N: usize>(world: &mut World<N>, who: usize) {
    world.seen.too_early |= !world.processes[who].probation_is_over;
}

/// Whether it is dead, or has said so, as far as the kernel can tell this process now.
fn can_be_known_to_have_ended<const N: usize>(world: &World<N>, successor: Successor) -> bool {
    let it = &world.processes[successor.who];
    let is_dead = it.being == Being::Dead && successor.body == Body::Alive;
    let words = it.channel.up.iter().any(|said| said.is_the_end());
    is_dead || words || it.channel.is_at_its_end_above()
}

impl Successor {
    fn new(who: usize, body: Body) -> Self {
        Self { who, body, talk: Talk::Heard }
    }
}

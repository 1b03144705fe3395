//! What there is: processes, the channels between them, and what accidents and wishes may still come.

use std::mem;

use super::{
    Restart,
    channel::{Channel, Down, Up},
    life::Life,
};
use crate::{generation::State, phase::Phase};

/// `N` processes at most, in the order in which they begin. The first is generation 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World<const N: usize> {
    pub(super) processes: [Process; N],
    /// Whose turn it is to see to it that somebody accepts: the first one's; whose successor is confirmed for good, or
    /// outlives it, passes it on.
    pub(super) turn: Option<usize>,
    pub(super) left: Left,
    pub(super) seen: Seen,
}

/// What may still come from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Left {
    /// Restarts that are asked for.
    pub restarts: u8,
    /// Successors that come to the control path by themselves.
    pub visits: u8,
    /// Stops, and listeners that fail.
    pub stops: u8,
    pub deaths: u8,
    /// A successor that refuses, talks nonsense, closes its channel and lives on, or has a helper that holds it; a program
    /// that can't be started; a hook that fails.
    pub oddities: u8,
}

/// What must never be seen, and can be seen only in the moment in which it happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Seen {
    /// A deadline acted while what would have stopped it lay in the channel.
    pub(super) overtaken: bool,
    /// The supervisor was told the name of one whose end could have been known.
    pub(super) named_ended: bool,
    /// Something was taken back, or given to the next, that a successor still has.
    pub(super) in_use: bool,
    /// The failure of a successor was told, which nobody has ended and which does not end by itself.
    pub(super) left_behind: bool,
    /// A generation came to its end, and somebody waits for its answer.
    pub(super) unanswered: bool,
    /// Something irrevocable was done before the probation was over.
    pub(super) too_early: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Process {
    pub(super) being: Being,
    /// SIGKILL is on its way: it does nothing more.
    pub(super) killed: bool,
    /// And it hangs in the kernel for longer than anybody waits.
    pub(super) outwaited: bool,
    pub(super) life: Life,
    pub(super) gate: Gate,
    /// As `graceful` has it: its gate has been open.
    pub(super) confirmed: bool,
    pub(super) owns_names: bool,
    /// Its successor's.
    pub(super) probation_is_over: bool,
    /// It has told the supervisor who comes after it.
    pub(super) has_named: bool,
    pub(super) has_let_go: bool,
    /// It was told to stop, or its listener has failed, or it has refused.
    pub(super) stopped: bool,
    /// What its application wants of the loop, which has had no turn yet.
    pub(super) refused: bool,

    // Towards its predecessor.
    pub(super) predecessor: Option<usize>,
    /// It was not spawned, and came to the control path.
    pub(super) met: bool,
    pub(super) channel: Channel,
    /// COMMIT was said to it.
    pub(super) committed: bool,
    /// It has heard ABORT.
    pub(super) took_back: bool,
    /// It takes its predecessor for dead.
    pub(super) gone: bool,
    /// It has closed its end, and lives on.
    pub(super) hung_up: bool,
    /// It has, or one before it: theirs is a server of its own, by their own will.
    pub(super) is_apart: bool,
    /// Its predecessor has told everybody that it has failed.
    pub(super) failure_told: bool,

    // Towards its successor.
    pub(super) successor: Option<Successor>,
    pub(super) candidate: Option<usize>,
    pub(super) deadline: Option<Deadline>,
    pub(super) work: Option<Work>,
    /// Its hooks have given up what only one process may have, or are about to.
    pub(super) given_up: bool,
    /// Somebody waits for `ready()`, or for a restart's answer.
    pub(super) asks_ready: bool,
    pub(super) asks_restart: bool,
    /// Everything is drained.
    pub(super) drained: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Being {
    Unborn,
    /// It runs, and has not been introduced yet: it has no phase.
    Meeting,
    Lives,
    /// Its generation is at its end, or never began, and the process has not ended yet.
    Over,
    Dead,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Gate {
    Shut,
    Open,
    Ended,
}

/// A successor, as its predecessor sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Successor {
    pub(super) who: usize,
    pub(super) body: Body,
    pub(super) talk: Talk,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Body {
    Spawning,
    Alive,
    Come,
    Elsewhere,
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Talk {
    Heard,
    /// Nothing that it says counts any more.
    HeardEnough,
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Deadline {
    Ready,
    Probation,
    End,
    Supervisor,
    LameDuck,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Work {
    Preparing,
    Releasing,
    Undoing,
}

impl<const N: usize> World<N> {
    /// Generation 0 has begun, and is not ready.
    pub(super) fn first(model: &Restart<N>) -> Self {
        let mut processes = [(); N].map(|()| Process::unborn());
        processes[0] = Process {
            being: Being::Lives,
            life: Life::first(false),
            gate: Gate::Open,
            confirmed: true,
            owns_names: true,
            ..Process::unborn()
        };
        // It has nobody to speak to.
        processes[0].channel.close_above();
        processes[0].channel.close_below();
        Self { processes, turn: Some(0), left: model.left, seen: Seen::default() }
    }

    /// What the one whose successor this is said or did is not known to that one yet, and ends it as a successor.
    pub(super) fn has_ended(&self, who: usize) -> bool {
        let it = &self.processes[who];
        let said = it.channel.up.iter().any(|said| said.is_the_end());
        it.being == Being::Dead || it.killed || it.channel.below_has_ended || said || it.ends()
    }

    /// Its turn is over, and the next has it: who may have let go long ago, where it has hung up.
    pub(super) fn pass_on(&mut self, who: usize) {
        let mut next = Some(who);
        while let Some(it) = next.filter(|&it| self.processes[it].has_let_go) {
            next = self.processes[it].successor.map(|successor| successor.who);
        }
        self.turn = next;
    }

    /// The next that can begin.
    pub(super) fn unborn(&self) -> Option<usize> {
        self.processes.iter().position(|it| it.being == Being::Unborn)
    }

    pub(super) fn has_failed_before(&self, who: usize) -> bool {
        self.processes.iter().any(|it| it.predecessor == Some(who) && it.being == Being::Dead)
    }

    /// It begins with a new channel to this one.
    pub(super) fn bear(&mut self, who: usize, predecessor: usize, met: bool) {
        let is_apart = self.processes[predecessor].is_apart;
        self.processes[who] =
            Process { being: Being::Meeting, predecessor: Some(predecessor), met, is_apart, ..Process::unborn() };
    }

    /// It says this to its predecessor.
    pub(super) fn say_up(&mut self, who: usize, what: Up) {
        self.processes[who].channel.say_up(what);
    }

    /// Everything that it has is closed, of its own will or by its death.
    pub(super) fn close_all(&mut self, who: usize) {
        let heirs = (0..N).filter(|&it| self.processes[it].predecessor == Some(who));
        heirs.collect::<Vec<_>>().into_iter().for_each(|heir| self.leave(heir));
        let it = &mut self.processes[who];
        it.channel.close_below();
        it.successor = None;
        it.candidate = None;
        it.deadline = None;
        it.work = None;
    }

    /// Its predecessor closes its end of the channel.
    pub(super) fn leave(&mut self, heir: usize) {
        self.processes[heir].channel.close_above();
        self.forget_the_dead(heir);
    }

    pub(super) fn die(&mut self, who: usize, holds: bool) {
        self.close_all(who);
        let it = &mut self.processes[who];
        it.channel.is_held = holds;
        it.being = Being::Dead;
        self.forget_the_dead(who);
        if self.turn == Some(who) {
            self.turn = (who + 1..N).find(|&heir| self.is_next_to(heir, who));
        }
    }

    /// Whether this one serves in its predecessor's place if that one dies now.
    fn is_next_to(&self, heir: usize, dead: usize) -> bool {
        let it = &self.processes[heir];
        let is_taken_back = it.took_back || it.channel.down.contains(&Down::Abort);
        let introduced = it.being == Being::Lives || it.channel.down.contains(&Down::Legacy);
        it.predecessor == Some(dead) && !is_taken_back && introduced && !it.ends() && !it.killed
    }

    /// What nobody looks at any more is the same whatever it was.
    fn forget_the_dead(&mut self, who: usize) {
        let it = &mut self.processes[who];
        if it.being != Being::Dead {
            return;
        }
        let (channel, committed) = (mem::take(&mut it.channel), it.committed);
        *it = Process { being: Being::Dead, predecessor: it.predecessor, met: it.met, ..Process::unborn() };
        if !channel.above_has_ended {
            (it.channel, it.committed) = (channel, committed);
        }
    }
}

impl Process {
    pub(super) fn unborn() -> Self {
        Self {
            being: Being::Unborn,
            killed: false,
            outwaited: false,
            life: Life::first(true),
            gate: Gate::Shut,
            confirmed: false,
            owns_names: false,
            probation_is_over: false,
            has_named: false,
            has_let_go: false,
            stopped: false,
            refused: false,
            predecessor: None,
            met: false,
            channel: Channel::default(),
            committed: false,
            took_back: false,
            gone: false,
            hung_up: false,
            is_apart: false,
            failure_told: false,
            successor: None,
            candidate: None,
            deadline: None,
            work: None,
            given_up: false,
            asks_ready: false,
            asks_restart: false,
            drained: false,
        }
    }

    /// It will accept nobody any more before long, whatever happens.
    pub(super) fn ends(&self) -> bool {
        let ends = matches!(self.life.phase().state(), State::LameDuck | State::Draining | State::Done);
        self.being == Being::Over || self.refused || self.being == Being::Lives && ends
    }

    pub(super) fn accepts(&self) -> bool {
        self.being == Being::Lives && !self.killed && self.gate == Gate::Open && !self.is_before_ready()
    }

    /// Generation 0's gate is open from the start, but its application is not there.
    pub(super) fn is_before_ready(&self) -> bool {
        matches!(self.life.phase(), Phase::Starting { .. } | Phase::Confirming { .. })
    }

    /// It was given up while it was being spawned, and finds the channel ended before anybody has said a word.
    pub(super) fn is_forgotten_before_hello(&self) -> bool {
        self.being == Being::Meeting && self.channel.is_at_its_end_below()
    }

    /// It waits at the control path, or was turned away there.
    pub(super) fn is_not_let_in(&self) -> bool {
        self.being == Being::Meeting && !self.channel.down.contains(&Down::Legacy)
    }

    pub(super) fn serves(&self) -> bool {
        self.being == Being::Lives && matches!(self.life.phase(), Phase::Serving)
    }
}

//! What must hold, however it happens.
//!
//! Every step uses up something that there is only so much of (a test looks for circles), so whatever holds in each state
//! in which nothing more comes by itself, holds in the end whatever happened before. Deadlines come by themselves.

use stateright::Property;

use super::{
    Restart, World,
    channel::{Down, Up},
    world::{Being, Deadline, Gate, Process},
};
use crate::phase::Phase;

/// At any time: whose turn it is, it accepts, or another does in its place, or that other's end is on its way to it.
pub(super) const ACCEPTS: &str = "once the first was ready, somebody accepts";
/// A stop, a failed listener, a refusal: nothing else ends a generation, and certainly no failed restart.
pub(super) const ENDS: &str = "whose turn it is, only a wish of its own ends";
/// For its clients are answered by one of two that share no state, and the operator asks the other.
pub(super) const TWO_OWNERS: &str = "never two that live and think that they were confirmed for good";
/// Overlap is legal where one has said its last word: it ends, or it is to hear ABORT, or it has hung up.
pub(super) const TWO_ACCEPT: &str = "predecessor and successor accept together only when one of them is about to end";
/// Its gate opens by COMMIT, or by a death.
pub(super) const UNCONFIRMED: &str = "nobody accepts that was not confirmed";
/// Whoever is at the control path would be answered by two.
pub(super) const TAKEN_FOR_DEAD: &str = "nobody takes a predecessor for dead that lives and has not let go";
/// What the operator was told is true for ever.
pub(super) const TOLD: &str = "one whose failure was told is never the server after that";
pub(super) const LEFT_BEHIND: &str = "a failure is told of a successor that is dead, dies, or ends by itself";
/// Two that write to one database: what a hook gives up is had by one process.
pub(super) const IN_USE: &str = "nothing is taken back, and nobody is started, while a failed successor lives on";
pub(super) const GIVEN_UP: &str = "in the end, what was given up is had again by who serves";
/// From there the supervisor watches another process.
pub(super) const NAMED: &str = "whoever has named its successor to the supervisor never accepts again";
pub(super) const TOO_EARLY: &str = "nothing is irrevocable before the probation is over";
pub(super) const NAMED_ENDED: &str = "nobody is named to the supervisor whose end could have been known";
pub(super) const OVERTAKEN: &str = "no deadline overtakes what lies in the channel";
pub(super) const AT_REST: &str = "in the end each process serves, has ended, or waits for its application";
pub(super) const ANSWERED: &str = "who asked is answered";
pub(super) const RETRIED: &str = "in the end, whoever serves can be replaced, whatever has failed before";

type Law<const N: usize> = Property<Restart<N>>;

pub(super) fn all<const N: usize>(model: &Restart<N>) -> Vec<Law<N>> {
    let mut laws = vec![
        Law::always(ACCEPTS, |_, world| world.whose_turn().is_none_or(|it| world.is_accepted_for(it))),
        Law::always(ENDS, |_, world| world.whose_turn().is_none_or(|it| !it.ends() || it.stopped || it.refused)),
        Law::always(TWO_OWNERS, |_, world| {
            let owners = world.living().filter(|it| it.owns_names && !it.has_let_go && !it.is_apart);
            owners.count() <= 1
        }),
        Law::always(TWO_ACCEPT, |_, world| world.pairs().all(|(before, it)| !before.accepts() || it.may_overlap())),
        Law::always(UNCONFIRMED, |_, world| world.living().all(Process::is_entitled)),
        Law::always(TAKEN_FOR_DEAD, |_, world| {
            world.pairs().all(|(before, it)| !it.gone || it.hung_up || before.has_let_go)
        }),
        // Unless it has hung up, so that ABORT does not reach it, and is not to be killed, for it may have accepted somebody,
        // or was started by another.
        Law::always(TOLD, |_, world| {
            let serves = |it: &Process| it.owns_names && !it.ends() && !it.killed;
            let nobodys = |it: &Process| it.hung_up && (it.met || it.committed);
            world.living().all(|it| !it.failure_told || !serves(it) || nobodys(it))
        }),
        Law::always(LEFT_BEHIND, |_, world| !world.seen.left_behind),
        Law::always(IN_USE, |_, world| !world.seen.in_use),
        Law::always(GIVEN_UP, |model, world| {
            world.living().all(|it| !it.serves() || !it.given_up) || !model.is_at_rest(world)
        }),
        Law::always(NAMED, |_, world| world.living().all(|it| !it.has_named || it.gate != Gate::Open)),
        Law::always(TOO_EARLY, |_, world| !world.seen.too_early),
        Law::always(NAMED_ENDED, |_, world| !world.seen.named_ended),
        Law::always(OVERTAKEN, |_, world| !world.seen.overtaken),
        Law::always(AT_REST, |model, world| {
            let rests = |it: &Process| it.serves() || matches!(it.life.phase(), Phase::Starting { .. });
            let ended = |it: &Process| matches!(it.being, Being::Unborn | Being::Dead);
            world.processes.iter().all(|it| ended(it) || it.being == Being::Lives && rests(it))
                || !model.is_at_rest(world)
        }),
        Law::always(ANSWERED, |model, world| {
            let waits = |it: &Process| it.asks_ready || it.asks_restart;
            !world.seen.unanswered && (!world.living().any(waits) || !model.is_at_rest(world))
        }),
        Law::always(RETRIED, |model, world| {
            let is_room = world.unborn().is_some() && model.is_at_rest(world);
            let serving = (0..N).filter(|&who| world.processes[who].serves());
            !is_room || serving.into_iter().all(|who| model.can_be_replaced(world, who))
        }),
    ];
    laws.extend(sights(model));
    laws
}

/// A world in which these never happen would prove nothing.
fn sights<const N: usize>(model: &Restart<N>) -> Vec<Law<N>> {
    let left = model.left;
    let mut sights = vec![Law::sometimes("a restart goes well, and the first one ends", |_, world| {
        world.turn == Some(1) && world.processes[0].being == Being::Dead && world.processes[1].serves()
    })];
    if left.deaths > 0 {
        sights.extend([
            Law::sometimes("a successor dies in its probation, and its predecessor accepts again", |_, world| {
                world.pairs_of_any().any(|(before, it)| it.being == Being::Dead && it.committed && before.accepts())
            }),
            Law::sometimes("a predecessor dies after READY, and its successor serves without COMMIT", |_, world| {
                let orphan = &world.processes[1];
                world.processes[0].being == Being::Dead && orphan.serves() && !orphan.committed
            }),
            Law::sometimes("one on probation loses its predecessor", |_, world| {
                let orphan = &world.processes[1];
                let on_probation = matches!(orphan.life.phase(), Phase::OnProbation { .. });
                world.processes[0].being == Being::Dead && on_probation
            }),
        ]);
    }
    if left.deaths > 0 && left.oddities > 0 && left.visits == 0 {
        sights.push(Law::sometimes("a dead successor's helper holds the channel in its probation", |_, world| {
            world.processes[1].channel.is_held && world.processes[0].gate == Gate::Shut
        }));
    }
    if left.visits > 0 {
        sights.push(Law::sometimes("a visitor hears ABORT before it can hear its channel's end", |_, world| {
            let has_end = |it: &Process| it.channel.above_has_ended && !it.channel.below_has_ended;
            world.living().any(|it| it.met && it.took_back && has_end(it))
        }));
    }
    if left.oddities > 0 {
        sights.push(Law::sometimes("a killed successor hangs for longer than anybody waits", |_, world| {
            world.processes.iter().any(|it| it.outwaited)
        }));
    }
    if N > 2 {
        sights.push(Law::sometimes("a restart goes well after one that failed", |_, world| {
            let it = &world.processes[2];
            it.predecessor == Some(0) && it.committed && it.serves() && world.processes[0].has_let_go
        }));
    }
    if N > 2 && left.restarts > 1 {
        sights.push(Law::sometimes("a third one serves while the first one still drains", |_, world| {
            world.turn == Some(2) && world.processes[2].serves() && world.processes[0].has_let_go
        }));
    }
    if left.stops > 0 {
        sights.extend([
            Law::sometimes("one on probation is stopped, and its predecessor serves", |_, world| {
                world.processes[1].confirmed && world.processes[1].stopped && world.processes[0].serves()
            }),
            Law::sometimes("a stop and LET GO cross, and the names are owned all the same", |_, world| {
                let it = &world.processes[1];
                it.stopped && it.owns_names && matches!(it.life.phase(), Phase::Draining { .. })
            }),
            Law::sometimes("a predecessor is stopped while its successor is on probation", |_, world| {
                world.processes[0].stopped && world.processes[1].took_back && world.processes[1].confirmed
            }),
        ]);
    }
    sights.extend([
        Law::sometimes("a ready deadline comes while READY lies in the channel", |_, world| {
            let so = |(before, it): (&Process, &Process)| {
                before.deadline == Some(Deadline::Ready) && it.channel.up.first() == Some(&Up::Ready)
            };
            world.pairs().any(so)
        }),
        Law::sometimes("a probation ends while the end of the successor lies in the channel", |_, world| {
            let so = |(before, it): (&Process, &Process)| {
                let is_over = before.deadline == Some(Deadline::Probation);
                is_over && (it.channel.up.contains(&Up::Stopping) || it.being == Being::Dead)
            };
            world.pairs_of_any().any(so)
        }),
    ]);
    sights
}

impl Process {
    /// One on probation, or beyond, whose predecessor accepts.
    fn may_overlap(&self) -> bool {
        let is_to_end = self.ends() || self.took_back || self.channel.down.contains(&Down::Abort);
        !self.accepts() || is_to_end || self.hung_up || self.killed
    }

    /// Confirmed by COMMIT, by a predecessor's death, or because it has none.
    fn is_entitled(&self) -> bool {
        !self.accepts() || self.predecessor.is_none() || self.gone || self.committed
    }
}

impl<const N: usize> World<N> {
    fn living(&self) -> impl Iterator<Item = &Process> {
        self.processes.iter().filter(|it| it.being == Being::Lives)
    }

    /// Those of which both live, each with its predecessor.
    fn pairs(&self) -> impl Iterator<Item = (&Process, &Process)> {
        self.pairs_of_any().filter(|(before, it)| before.being == Being::Lives && it.being == Being::Lives)
    }

    fn pairs_of_any(&self) -> impl Iterator<Item = (&Process, &Process)> {
        self.processes.iter().filter_map(|it| Some((&self.processes[it.predecessor?], it)))
    }

    /// If it lives, and has ever served.
    fn whose_turn(&self) -> Option<&Process> {
        let it = &self.processes[self.turn?];
        (it.being == Being::Lives && !it.is_before_ready()).then_some(it)
    }

    /// It accepts, or it has shut its gate for its successor: which accepts, or will when it reads COMMIT, or has come to
    /// an end that lies in the channel, and is told by it.
    fn is_accepted_for(&self, it: &Process) -> bool {
        let by_its_successor = || {
            let successor = it.successor?;
            let heir = &self.processes[successor.who];
            let will = heir.channel.down.contains(&Down::Commit);
            Some(heir.accepts() || will || self.has_ended(successor.who))
        };
        it.accepts() || it.ends() && it.stopped || it.gate == Gate::Shut && by_its_successor() == Some(true)
    }
}

impl<const N: usize> Restart<N> {
    /// Whether nothing more comes by itself.
    fn is_at_rest(&self, world: &World<N>) -> bool {
        let mut steps = Vec::new();
        self.possible(world, &mut steps);
        !steps.into_iter().any(super::Step::comes_by_itself)
    }
}

//! What can happen next, and what it does. Each step is of one process.

use super::{
    Restart, World, Wrong,
    carry::error,
    channel::{Down, Up},
    world::{Being, Body, Left, Talk, Work},
};
use crate::phase::{Event, Phase};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    // The application, and who asks it for something.
    CallsReady(usize),
    IsAskedToRestart(usize),
    IsSignalledToRestart(usize),
    IsStopped(usize),
    ItsListenerFails(usize),
    /// Before it has said READY: the predecessor is told at once, and its own loop in its turn.
    Refuses(usize),
    /// Another program comes to its control path, to be its successor.
    IsVisited(usize),

    // What its loop has begun comes to its end.
    Prepared(usize),
    Unprepared(usize),
    Released(usize),
    Unreleased(usize),
    Undone(usize),
    Spawned(usize),
    SpawnFails(usize),
    /// Its one deadline comes, or the supervisor has heard what it was told.
    Due(usize),
    Drained(usize),
    Finishes(usize),

    // What its loop hears.
    HearsThatItRefuses(usize),
    HearsSuccessor(usize),
    SeesSuccessorDead(usize),
    HearsPredecessor(usize),
    /// It has begun, and hears HELLO and what follows, or that there will be none.
    Meets(usize),
    /// The same, and it can't be the successor.
    RefusesAtOnce(usize),

    // The process.
    /// Its generation is at its end.
    Exits(usize),
    Dies(usize),
    /// And a process that it has started holds its channel open.
    DiesLeavingHelper(usize),
    DiesOfKill(usize),
    HangsUp(usize),
    Babbles(usize),

    /// What only a wrong variant does.
    Timer(usize),
}

impl Step {
    /// Whether the law "it always ends" may count on it: it is no accident and nobody's wish. A deadline that runs does
    /// come, and what a hook has begun ends, by its own deadline at the latest.
    pub(super) fn comes_by_itself(self) -> bool {
        matches!(
            self,
            Self::Prepared(_)
                | Self::Released(_)
                | Self::Undone(_)
                | Self::Spawned(_)
                | Self::Due(_)
                | Self::Drained(_)
                | Self::Finishes(_)
                | Self::HearsSuccessor(_)
                | Self::SeesSuccessorDead(_)
                | Self::HearsPredecessor(_)
                | Self::HearsThatItRefuses(_)
                | Self::Meets(_)
                | Self::Exits(_)
                | Self::DiesOfKill(_)
        )
    }
}

impl<const N: usize> Restart<N> {
    pub(super) fn possible(&self, world: &World<N>, steps: &mut Vec<Step>) {
        for (who, it) in world.processes.iter().enumerate() {
            match it.being {
                Being::Unborn | Being::Dead => {}
                _ if it.killed => steps.push(Step::DiesOfKill(who)),
                Being::Meeting => self.of_one_that_meets(world, who, steps),
                Being::Lives => self.of_one_that_lives(world, who, steps),
                Being::Over => steps.push(Step::Exits(who)),
            }
        }
    }

    fn of_one_that_meets(&self, world: &World<N>, who: usize, steps: &mut Vec<Step>) {
        let (it, left) = (&world.processes[who], world.left);
        if self.is_spoken_to(world, who) {
            steps.push(Step::Meets(who));
        }
        if left.oddities > 0 && it.channel.down.first() == Some(&Down::Legacy) {
            steps.push(Step::RefusesAtOnce(who));
        }
        dies(left, who, steps);
    }

    fn of_one_that_lives(&self, world: &World<N>, who: usize, steps: &mut Vec<Step>) {
        let (it, left) = (&world.processes[who], world.left);
        let is_odd = left.oddities > 0;
        self.of_its_application(world, who, steps);
        match it.work {
            Some(Work::Preparing) => {
                steps.push(Step::Prepared(who));
                steps.extend(is_odd.then_some(Step::Unprepared(who)));
            }
            Some(Work::Releasing) => {
                steps.push(Step::Released(who));
                steps.extend(is_odd.then_some(Step::Unreleased(who)));
            }
            Some(Work::Undoing) => steps.push(Step::Undone(who)),
            None => {}
        }
        if matches!(it.life.phase(), Phase::Draining { .. }) {
            steps.push(if it.drained { Step::Finishes(who) } else { Step::Drained(who) });
        }
        self.of_its_successor(world, who, steps);
        if self.is_spoken_to(world, who) {
            steps.push(Step::HearsPredecessor(who));
        }
        if it.predecessor.is_some() && !it.channel.below_has_ended && is_odd {
            steps.push(Step::HangsUp(who));
            steps.push(Step::Babbles(who));
            if !it.met && left.deaths > 0 {
                steps.push(Step::DiesLeavingHelper(who));
            }
        }
        if it.deadline.is_some() {
            steps.push(Step::Due(who));
        }
        if self.wrong == Some(Wrong::SuccessorHasATimer) && matches!(it.life.phase(), Phase::Confirming { .. }) {
            steps.push(Step::Timer(who));
        }
        dies(left, who, steps);
    }

    fn of_its_application(&self, world: &World<N>, who: usize, steps: &mut Vec<Step>) {
        let (it, left) = (&world.processes[who], world.left);
        if matches!(it.life.phase(), Phase::Starting { .. }) && !it.refused {
            steps.push(Step::CallsReady(who));
            // Until READY, and only who has a predecessor.
            if it.predecessor.is_some() && !it.channel.below_has_ended && left.oddities > 0 {
                steps.push(Step::Refuses(who));
            }
        }
        if left.restarts > 0 {
            steps.push(Step::IsAskedToRestart(who));
            steps.push(Step::IsSignalledToRestart(who));
        }
        if left.stops > 0 {
            steps.push(Step::IsStopped(who));
            steps.push(Step::ItsListenerFails(who));
        }
        if it.refused {
            steps.push(Step::HearsThatItRefuses(who));
        }
        // Until its predecessor has let go, that one is asked.
        let is_asked = it.owns_names || it.gone;
        if left.visits > 0 && is_asked && it.candidate.is_none() && world.unborn().is_some() {
            steps.push(Step::IsVisited(who));
        }
    }

    fn of_its_successor(&self, world: &World<N>, who: usize, steps: &mut Vec<Step>) {
        let Some(successor) = world.processes[who].successor else { return };
        let heir = &world.processes[successor.who];
        if successor.body == Body::Spawning {
            steps.push(Step::Spawned(who));
            if world.left.oddities > 0 && heir.being == Being::Meeting {
                steps.push(Step::SpawnFails(who));
            }
        }
        if self.hear_successor(world, who).is_some() {
            steps.push(Step::HearsSuccessor(who));
        }
        // Where its channel says the same, that is heard.
        let says_more = successor.talk != Talk::Heard || heir.channel.is_held && heir.channel.up.is_empty();
        if says_more && self.see_dead(world, who).is_some() {
            steps.push(Step::SeesSuccessorDead(who));
        }
    }

    pub(super) fn take(&self, world: &mut World<N>, step: Step) {
        let left = &mut world.left;
        match step {
            Step::CallsReady(who) => {
                world.processes[who].asks_ready = true;
                self.live(world, who, Event::ReadyAsked);
            }
            Step::IsAskedToRestart(who) => {
                left.restarts -= 1;
                world.processes[who].asks_restart = true;
                self.live(world, who, Event::RestartAsked);
            }
            Step::IsSignalledToRestart(who) => {
                left.restarts -= 1;
                self.live(world, who, Event::RestartSignalled);
            }
            Step::IsStopped(who) => {
                left.stops -= 1;
                self.stop(world, who, Event::StopAsked(None));
            }
            Step::ItsListenerFails(who) => {
                left.stops -= 1;
                self.stop(world, who, Event::ServeFailed(error()));
            }
            Step::HearsThatItRefuses(who) => {
                world.processes[who].refused = false;
                self.stop(world, who, Event::ServeFailed(error()));
            }
            Step::Refuses(who) => {
                left.oddities -= 1;
                world.say_up(who, Up::Refused);
                world.processes[who].refused = true;
            }
            Step::IsVisited(who) => {
                left.visits -= 1;
                let visitor = world.unborn().expect("there is room for one more");
                world.bear(visitor, who, true);
                world.processes[who].candidate = Some(visitor);
                self.live(world, who, Event::Met);
            }
            Step::Prepared(who) => self.done(world, who, Event::Prepared),
            Step::Unprepared(who) => {
                left.oddities -= 1;
                self.done(world, who, Event::Unprepared(error()));
            }
            Step::Released(who) => self.done(world, who, Event::Released),
            Step::Unreleased(who) => {
                left.oddities -= 1;
                self.done(world, who, Event::Unreleased(error()));
            }
            Step::Undone(who) => {
                world.processes[who].given_up = false;
                self.done(world, who, Event::Undone(Vec::new()));
            }
            Step::Spawned(who) => self.spawned(world, who),
            Step::SpawnFails(who) => {
                left.oddities -= 1;
                let it = &mut world.processes[who];
                let successor = it.successor.as_mut().expect("it is being spawned");
                successor.body = Body::Gone;
                let never = successor.who;
                world.die(never, false);
                self.live(world, who, Event::SpawnFailed(error()));
            }
            Step::Due(who) => self.due(world, who),
            Step::Drained(who) => self.live(world, who, Event::OthersDrained),
            Step::Finishes(who) => self.live(world, who, Event::Drained),

            Step::HearsSuccessor(who) => {
                let heard = self.hear_successor(world, who).expect("there is something to hear");
                self.note(world, who, heard);
            }
            Step::SeesSuccessorDead(who) => {
                let heard = self.see_dead(world, who).expect("it is dead");
                self.note(world, who, heard);
            }
            Step::HearsPredecessor(who) => self.hear_predecessor(world, who),
            Step::Meets(who) => self.meet(world, who),
            Step::RefusesAtOnce(who) => {
                left.oddities -= 1;
                world.say_up(who, Up::Refused);
                world.processes[who].being = Being::Over;
                world.processes[who].channel.close_below();
            }

            Step::Exits(who) | Step::DiesOfKill(who) => world.die(who, false),
            Step::Dies(who) => {
                left.deaths -= 1;
                world.die(who, false);
            }
            Step::DiesLeavingHelper(who) => {
                left.deaths -= 1;
                left.oddities -= 1;
                world.die(who, true);
            }
            Step::HangsUp(who) => {
                left.oddities -= 1;
                let it = &mut world.processes[who];
                (it.hung_up, it.is_apart) = (true, true);
                self.take_for_dead(world, who);
            }
            Step::Babbles(who) => {
                left.oddities -= 1;
                world.say_up(who, Up::Nonsense);
            }
            Step::Timer(who) => self.take_for_dead(world, who),
        }
    }

    /// What its predecessor has said by now is heard first: LET GO makes it another stop.
    fn stop(&self, world: &mut World<N>, who: usize, event: Event) {
        while self.is_spoken_to(world, who) {
            self.hear_predecessor(world, who);
        }
        world.processes[who].stopped = true;
        self.live(world, who, event);
    }

    fn done(&self, world: &mut World<N>, who: usize, event: Event) {
        world.processes[who].work = None;
        self.live(world, who, event);
    }

    fn spawned(&self, world: &mut World<N>, who: usize) {
        let successor = world.processes[who].successor.as_mut().expect("it is being spawned");
        successor.body = Body::Alive;
        let heir = successor.who;
        world.processes[heir].channel.say_down(Down::Legacy);
        self.live(world, who, Event::Spawned);
    }
}

fn dies(left: Left, who: usize, steps: &mut Vec<Step>) {
    if left.deaths > 0 {
        steps.push(Step::Dies(who));
    }
}

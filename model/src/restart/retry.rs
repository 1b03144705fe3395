//! Whether a restart would succeed that is asked for now, if nothing more goes wrong.

use super::{Restart, Step, World, world::Deadline};
use crate::phase::{Event, Phase};

impl<const N: usize> Restart<N> {
    /// Tries it: each step is the first one that brings it on.
    pub(super) fn can_be_replaced(&self, world: &World<N>, who: usize) -> bool {
        let mut world = world.clone();
        let heir = world.unborn().expect("there is room for one more");
        self.live(&mut world, who, Event::RestartSignalled);
        loop {
            let mut steps = Vec::new();
            self.possible(&world, &mut steps);
            let Some(step) = steps.into_iter().find(|step| brings_on(*step, &world, who, heir)) else { break };
            self.take(&mut world, step);
        }
        let it = &world.processes[heir];
        // By LET GO, and not because the one before it was lost on the way.
        it.serves() && it.owns_names && !it.gone
    }
}

fn brings_on<const N: usize>(step: Step, world: &World<N>, who: usize, heir: usize) -> bool {
    match step {
        Step::CallsReady(it) => it == heir,
        Step::Due(it) => {
            let is_due = matches!(world.processes[it].deadline, Some(Deadline::Probation | Deadline::Supervisor));
            it == who && is_due && matches!(world.processes[it].life.phase(), Phase::Restarting(_))
        }
        Step::Prepared(it) | Step::Spawned(it) | Step::HearsSuccessor(it) | Step::Released(it) => it == who,
        Step::Meets(it) | Step::HearsPredecessor(it) => it == heir,
        _ => false,
    }
}

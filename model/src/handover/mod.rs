//! Connections on their way from the predecessor to the successor.
//!
//! [`World`] is what there is, [`Step`] what can happen next, `laws` what must hold however it happens, and `wrong` the
//! variants that look as good and must break a law.

mod ids;
mod kernel;
mod laws;
mod step;
#[cfg(test)]
mod tests;
mod world;
mod wrong;

pub use self::{step::Step, world::World, wrong::Wrong};

use stateright::{Model, Property};

/// All orders of events with `N` connections.
#[derive(Clone, Copy, Debug)]
pub struct Handover<const N: usize> {
    /// How many may be offered and undecided.
    pub window: usize,
    /// How many frames the kernel holds in each direction.
    pub room: usize,
    /// What is done differently, to see whether the laws notice.
    pub wrong: Option<Wrong>,
}

impl<const N: usize> Model for Handover<N> {
    type State = World<N>;
    type Action = Step;

    fn init_states(&self) -> Vec<World<N>> {
        vec![World::first()]
    }

    fn actions(&self, world: &World<N>, steps: &mut Vec<Step>) {
        self.possible(world, steps);
    }

    fn next_state(&self, world: &World<N>, step: Step) -> Option<World<N>> {
        let mut next = world.clone();
        self.carry_out(&mut next, step);
        assert!(next != *world, "{step:?} changes nothing, so it was not possible: {world:#?}");
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        laws::all()
    }
}

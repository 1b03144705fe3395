//! A whole restart, and the next: from the first process that is ready to the last that ends.
//!
//! [`World`] is what there is, [`Step`] what can happen next, `carry` what the phases' actions mean in it and `hear` how
//! what another process does becomes an event: both as in `graceful` and `process`. `laws` is what must hold however it
//! happens, and `wrong` has the variants that look as good and must break a law.

mod carry;
mod channel;
mod hear;
mod laws;
mod life;
mod retry;
mod step;
#[cfg(test)]
mod tests;
mod world;
mod wrong;

pub use self::{
    step::Step,
    world::{Left, World},
    wrong::Wrong,
};

use stateright::{Model, Property};

/// All orders of events in which at most `N` processes follow each other.
#[derive(Clone, Copy, Debug)]
pub struct Restart<const N: usize> {
    /// What may come from outside.
    pub left: Left,
    /// The application has hooks that give something up before COMMIT.
    pub hooks: bool,
    /// A supervisor is told of who follows and of a stop, and takes its time to hear it.
    pub supervised: bool,
    /// A stop begins with a lame duck.
    pub lame_duck: bool,
    /// What is done differently, to see whether the laws notice.
    pub wrong: Option<Wrong>,
}

impl<const N: usize> Model for Restart<N> {
    type State = World<N>;
    type Action = Step;

    fn init_states(&self) -> Vec<World<N>> {
        vec![World::first(self)]
    }

    fn actions(&self, world: &World<N>, steps: &mut Vec<Step>) {
        self.possible(world, steps);
    }

    fn next_state(&self, world: &World<N>, step: Step) -> Option<World<N>> {
        let mut next = world.clone();
        self.take(&mut next, step);
        assert!(next != *world, "{step:?} changes nothing, so it was not possible: {world:#?}");
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        laws::all(self)
    }
}

//! What must hold, however it happens.
//!
//! Every step brings the world nearer to its end (a test looks for circles), so whatever holds in each state in which
//! nothing more comes by itself, holds in the end whatever happened before. No accident and no deadline is needed for it.

use stateright::Property;

use super::{
    Handover, World,
    kernel::Frame,
    world::{Connection, Hand},
};
use crate::transfer::{Giving, Taking};

pub(super) const TWO_OWNERS: &str = "a connection never has two owners";
pub(super) const TWO_READERS: &str = "no connection is read by two";
pub(super) const LET_GO: &str = "the predecessor lets go only of what the successor serves";
pub(super) const COUNTED: &str = "only nonsense and the drain deadline leave one to be counted as undecided";
pub(super) const BOTH_LIVE: &str = "while both live, somebody serves it in the end, or it is counted";
pub(super) const SUCCESSOR_DEAD: &str =
    "what a dead successor had not taken is the predecessor's in the end, or counted";
pub(super) const PREDECESSOR_DEAD: &str = "what a dead predecessor had offered is the successor's in the end";
pub(super) const SETTLED: &str = "whoever lives leaves nothing undecided in the end";

type Law<const N: usize> = Property<Handover<N>>;

pub(super) fn all<const N: usize>() -> Vec<Law<N>> {
    vec![
        // Also one after the other: what an owner has read, no other can know.
        Law::always(TWO_OWNERS, |_, world| {
            world.each(|it| it.at_predecessor != Hand::Owns || it.at_successor != Hand::Owns)
        }),
        Law::always(TWO_READERS, |_, world| world.each(|it| !it.read_by_predecessor || !it.read_by_successor)),
        Law::always(LET_GO, |_, world| world.each(|it| it.giving != Giving::Taken || it.at_successor == Hand::Owns)),
        Law::always(COUNTED, |_, world| {
            let so = world.disbelieves || world.late;
            so || world.each(|it| it.at_predecessor != Hand::ClosedAndCounted)
        }),
        Law::always(BOTH_LIVE, |model, world| {
            let so = world.predecessor.lives && world.successor.lives;
            !so || world.each(Connection::is_accounted_for) || !model.is_at_rest(world)
        }),
        Law::always(SUCCESSOR_DEAD, |model, world| {
            let so = world.predecessor.lives && !world.successor.lives;
            !so || world.each(Connection::is_accounted_for) || !model.is_at_rest(world)
        }),
        // Unless the successor has hung up, on one that it believed alive. What was never offered dies with its owner.
        Law::always(PREDECESSOR_DEAD, |model, world| {
            let so = !world.predecessor.lives && world.successor.lives;
            let offered = |it: &Connection| it.on_offer && (world.successor.open || it.orphaned);
            let served = |it: &Connection| !offered(it) || it.declined || it.is_accounted_for();
            !so || world.each(served) || !model.is_at_rest(world)
        }),
        Law::always(SETTLED, |model, world| {
            let given = !world.predecessor.lives || world.each(|it| it.giving.is_settled());
            let taken = !world.successor.lives || world.each(|it| it.taking.is_none_or(Taking::is_settled));
            given && taken || !model.is_at_rest(world)
        }),
        // A world in which these never happen would prove nothing.
        Law::sometimes("one TAKEN hands over as many as the window allows", |model, world| {
            let many = |frame: &Frame| matches!(frame, Frame::Taken(ids) if ids.iter().count() == model.window);
            world.to_predecessor.frames.iter().any(many)
        }),
        Law::sometimes("one is declined, and served by the predecessor", |_, world| {
            world.successor.open && world.some(|it| it.declined && it.read_by_predecessor)
        }),
        Law::sometimes("one comes back from a dead successor", |_, world| {
            let dead = !world.successor.lives && world.predecessor.heard_end;
            dead && world.some(|it| it.on_offer && it.read_by_predecessor)
        }),
        Law::sometimes("one goes on without its predecessor", |_, world| {
            !world.predecessor.lives && world.some(|it| it.read_by_successor && it.giving == Giving::Offered)
        }),
        Law::sometimes("the successor dies in the midst of TAKEN", |_, world| {
            !world.successor.lives && world.to_predecessor.torn
        }),
        Law::sometimes("one that counts as undecided is served", |_, world| {
            world.some(|it| it.at_predecessor == Hand::ClosedAndCounted && it.read_by_successor)
        }),
    ]
}

impl Connection {
    /// It had an owner, who may be dead by now, or the report says that nobody knows.
    fn is_accounted_for(&self) -> bool {
        let owned = self.at_predecessor == Hand::Owns || self.at_successor == Hand::Owns;
        owned || self.at_predecessor == Hand::ClosedAndCounted
    }
}

impl<const N: usize> World<N> {
    fn each(&self, so: impl Fn(&Connection) -> bool) -> bool {
        self.connections.iter().all(so)
    }

    fn some(&self, so: impl Fn(&Connection) -> bool) -> bool {
        self.connections.iter().any(so)
    }
}

impl<const N: usize> Handover<N> {
    /// Whether nothing more comes by itself.
    fn is_at_rest(&self, world: &World<N>) -> bool {
        let mut steps = Vec::new();
        self.possible(world, &mut steps);
        !steps.into_iter().any(super::Step::comes_by_itself)
    }
}

//! How a world is walked through: to its end, to a law's breach, or in search of a circle.

use std::{
    collections::{HashSet, hash_map::DefaultHasher},
    fmt::Debug,
    hash::{Hash, Hasher},
    time::Instant,
};

use stateright::{Checker, HasDiscoveries, Model};

/// Everything, with each law.
pub(crate) fn walk_through<M>(what: &str, model: M)
where
    M: Model<State: Clone + Debug + Hash + PartialEq + Send + Sync, Action: Clone + Debug + PartialEq>,
    M: Send + Sync + 'static,
{
    let begun = Instant::now();
    let checker = model.checker().threads(2).spawn_bfs().join();
    let (states, depth) = (checker.unique_state_count(), checker.max_depth());
    println!("{what}: {states} states, {depth} deep, in {:?}", begun.elapsed());
    checker.assert_properties();
}

/// As far as the first breach of the law. The checker keeps the last one that it finds at about that depth, so it goes
/// deeper step by step: what it finds is as short as can be.
pub(crate) fn walk_to_breach<M>(wrong: impl Debug, model: M, law: &'static str)
where
    M: Model<State: Clone + Debug + Hash + PartialEq + Send + Sync, Action: Clone + Debug + PartialEq>,
    M: Clone + Send + Sync + 'static,
{
    for deepest in 2.. {
        let checker = model.clone().checker().target_max_depth(deepest);
        let checker = checker.finish_when(HasDiscoveries::AllOf([law].into())).spawn_bfs().join();
        if let Some(path) = checker.discovery(law) {
            return println!("{wrong:?}, against {law:?}:\n    {:?}", path.into_actions());
        }
        assert_eq!(checker.max_depth(), deepest, "{wrong:?} is not seen to break the law {law:?}");
    }
}

/// Each run has an end: no step leads back.
pub(crate) fn assert_no_circle<M>(model: &M)
where
    M: Model<State: Debug + Hash, Action: Debug>,
{
    for first in model.init_states() {
        let (mut on_the_way, mut finished) = (HashSet::from([print(&first)]), HashSet::new());
        let mut way = vec![(print(&first), model.next_steps(&first))];
        while let Some((here, steps)) = way.last_mut() {
            let Some((step, world)) = steps.pop() else {
                on_the_way.remove(here);
                finished.insert(*here);
                way.pop();
                continue;
            };
            let next = print(&world);
            assert!(!on_the_way.contains(&next), "{step:?} leads back to {world:#?}");
            if finished.contains(&next) {
                continue;
            }
            on_the_way.insert(next);
            way.push((next, model.next_steps(&world)));
        }
    }
}

fn print(world: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish()
}

//! A phase, as far as it decides anything.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use crate::phase::{Event, Phase};

/// The production machine's own state. Two are the same if they can never do different things: the errors and causes in
/// them are for people, and no phase looks into them.
#[derive(Clone)]
pub(super) struct Life(Phase);

impl Life {
    pub(super) fn first(predecessor: bool) -> Self {
        Self(Phase::first(predecessor))
    }

    /// A phase to which these events lead, for what no event leads to.
    pub(super) fn after(events: impl IntoIterator<Item = Event>) -> Self {
        Self(events.into_iter().fold(Phase::first(false), |phase, event| phase.on(event).0))
    }

    pub(super) fn phase(&self) -> &Phase {
        &self.0
    }

    pub(super) fn on(&mut self, event: Event) -> Vec<crate::phase::Action> {
        let (next, actions) = self.0.clone().on(event);
        self.0 = next;
        actions
    }

    fn mark(&self) -> impl Copy + Eq + Hash + use<> {
        match &self.0 {
            Phase::Starting { predecessor, restart } => (1, [*predecessor, *restart], 0, None, None),
            Phase::Confirming { restart } => (2, [*restart, false], 0, None, None),
            Phase::OnProbation { restart } => (3, [*restart, false], 0, None, None),
            Phase::Serving => (4, [false; 2], 0, None, None),
            Phase::Restarting(step) => (5, [false; 2], 0, Some(*step), None),
            Phase::Burying { error: _, killed, released } => (6, [*killed, *released], 0, None, None),
            Phase::Undoing { error: _ } => (7, [false; 2], 0, None, None),
            Phase::LameDuck { cause: _, stops } => (8, [false; 2], *stops, None, None),
            Phase::Withdrawing { cause: _, stops } => (9, [false; 2], *stops, None, None),
            Phase::Draining { heir, stops } => (10, [false; 2], *stops, None, Some(*heir)),
            Phase::Done => (11, [false; 2], 0, None, None),
        }
    }
}

impl PartialEq for Life {
    fn eq(&self, other: &Self) -> bool {
        self.mark() == other.mark()
    }
}

impl Eq for Life {}

impl Hash for Life {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.mark().hash(hasher);
    }
}

impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

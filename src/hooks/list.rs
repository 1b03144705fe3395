use std::sync::Arc;

use super::{Hook, Moment, Running};

/// All hooks of a process, in the order in which they were registered.
#[derive(Debug, Default)]
pub(crate) struct Hooks(Vec<Arc<Hook>>);

impl Hooks {
    pub(crate) fn add(&mut self, hook: Hook) {
        self.0.push(Arc::new(hook));
    }

    /// Whether `run` would run any. So it also says whether one was registered when its moment, which comes only once, was
    /// over already.
    pub(crate) fn has(&self, moment: Moment) -> bool {
        self.0.iter().any(|hook| hook.moment == moment)
    }

    /// Those that are registered now: a hook that comes while others run is not for this turn. What comes only once in a
    /// process is forgotten with that.
    pub(crate) fn run(&mut self, moment: Moment) -> Running {
        let these: Vec<_> = self.0.iter().filter(|hook| hook.moment == moment).map(Arc::clone).collect();
        if moment.is_once() {
            self.0.retain(|hook| hook.moment != moment);
        }
        Running::of(moment, these)
    }
}

use std::{sync::Arc, time::Duration};

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

    /// How long those of a restart may take together, with their undos.
    pub(crate) fn longest(&self) -> Duration {
        let those = self.0.iter().filter(|hook| hook.moment.is_decisive());
        let times = those.map(|hook| if hook.undo.is_some() { hook.deadline.saturating_mul(2) } else { hook.deadline });
        times.fold(Duration::ZERO, Duration::saturating_add)
    }

    /// How long those at exit may take together.
    pub(crate) fn longest_end(&self) -> Duration {
        let those = self.0.iter().filter(|hook| hook.moment == Moment::AtExit);
        those.map(|hook| hook.deadline).fold(Duration::ZERO, Duration::saturating_add)
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

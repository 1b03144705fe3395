use std::time::Duration;

use crate::systems::Running;

/// So few answers cost less than what a server does besides.
const FEWEST: u64 = 500;

/// How much processor time a server's answers take, from a moment on in which nothing is restarted: a process that ends
/// takes its clock with it.
pub(super) struct Cpu<'a> {
    /// How many there were until now.
    answered: &'a dyn Fn() -> u64,
    before: u64,
    used: Duration,
}

impl<'a> Cpu<'a> {
    pub(super) fn from_now(system: &Running, answered: &'a dyn Fn() -> u64) -> anyhow::Result<Self> {
        Ok(Self { answered, before: answered(), used: system.cpu_time()? })
    }

    pub(super) fn until_now(self, system: &Running) -> anyhow::Result<Option<f64>> {
        // First, as at the beginning: what is answered while the clocks are read falls out at both ends.
        let answers = (self.answered)() - self.before;
        Ok(per_answer(system.cpu_time()? - self.used, answers))
    }
}

/// In microseconds. `None` where there are too few to tell.
pub(super) fn per_answer(used: Duration, answers: u64) -> Option<f64> {
    (answers >= FEWEST).then(|| 1e6 * used.as_secs_f64() / answers as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_answers_do_not_tell() {
        let second = Duration::from_secs(1);
        assert_eq!([499, 50_000].map(|answers| per_answer(second, answers)), [None, Some(20.0)]);
    }
}

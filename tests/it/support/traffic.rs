//! Loads of the `load` crate, for tests that are not async themselves.

use std::time::Duration;

use load::{Load, Running, Tally};
use tokio::runtime::{Builder, Runtime};

/// Several loads at once, in a runtime of their own.
#[derive(Debug)]
pub struct Traffic {
    loads: Vec<Running>,
    runtime: Runtime,
}

impl Traffic {
    /// On, and each of them served.
    #[track_caller]
    pub fn on(loads: impl IntoIterator<Item = Load>) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let here = runtime.enter();
        let loads = loads.into_iter().map(Load::start).collect();
        drop(here);
        let traffic = Self { loads, runtime };
        traffic.reach(1);
        traffic
    }

    /// Waits until each load got so many more answers.
    #[track_caller]
    pub fn reach(&self, more: u64) {
        for load in &self.loads {
            self.runtime.block_on(load.reach(more)).unwrap();
        }
    }

    /// Waits until this generation has answered each load.
    #[track_caller]
    pub fn generation(&self, number: u64) {
        for load in &self.loads {
            self.runtime.block_on(load.generation(number)).unwrap();
        }
    }

    /// What each load has counted until now.
    #[allow(dead_code, reason = "tests/examples shares this file")]
    pub fn tallies(&self) -> Vec<Tally> {
        self.loads.iter().map(Running::tally).collect()
    }

    /// Off, after the running requests: what each load counted.
    pub fn off(self) -> Vec<Tally> {
        let Self { loads, runtime } = self;
        let tallies = loads.into_iter().map(|load| runtime.block_on(load.stop())).collect();
        runtime.shutdown_timeout(Duration::ZERO);
        tallies
    }
}

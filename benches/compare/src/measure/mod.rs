//! One system in one scenario.

mod cell;
mod course;
mod cpu;
mod lookout;
mod percentiles;
mod ports;
mod slots;
mod spinners;
mod wrk;

pub(crate) use cell::{Interrupted, measure};
pub(crate) use course::{AFTERMATH, CLOSING, CONSEQUENCES};
pub(crate) use wrk::LATE;

use std::time::Duration;

/// For how long, and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// How long the load is on.
    pub(crate) time: Duration,
    /// How many restarts there are meanwhile.
    pub(crate) restarts: u32,
}

impl Pace {
    /// For what is seen in less.
    pub(crate) fn brief(self) -> Self {
        Self { time: self.time / 2, restarts: self.restarts.div_ceil(2) }
    }
}

//! One system in one scenario.

mod cell;
mod course;
mod percentiles;
mod slots;
mod spinners;
mod wrk;

pub(crate) use cell::measure;

use std::time::Duration;

/// For how long, and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// How long the load is on.
    pub(crate) time: Duration,
    /// How many restarts there are meanwhile.
    pub(crate) restarts: u32,
}

//! What the loop reads: the builder's knobs, with their defaults.

use std::time::Duration;

use crate::drain::Times;

/// How long a successor may take to be ready, unless it asks for more.
const READY_DEADLINE: Duration = Duration::from_secs(60);

/// How long a confirmed successor may still die without harm. Long enough for what fails at its first request, short
/// enough that an operator does not wait.
const PROBATION: Duration = Duration::from_millis(500);

/// How many earlier generations may drain before the next restart is refused: each holds its memory and descriptors.
const MAX_DRAINING: usize = 8;

/// How long a connection of an application's protocol waits for somebody to ask for it. `main` has nothing else to do by
/// then, and the client waits too.
const UNCLAIMED: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) ready_deadline: Duration,
    pub(super) probation: Duration,
    pub(super) on_restart: Times,
    pub(super) on_stop: Times,
    pub(super) unclaimed: Duration,
    pub(super) max_draining: usize,
    pub(super) capture_stderr: bool,
    pub(super) restart_as_pid_1: bool,
    pub(super) descriptor_store: bool,
    /// The successor knows only socket activation; `Some(Some(_))`: it counts as ready once it has lived so long.
    pub(super) foreign: Option<Option<Duration>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ready_deadline: READY_DEADLINE,
            probation: PROBATION,
            on_restart: Times::for_restart(),
            on_stop: Times::for_stop(),
            unclaimed: UNCLAIMED,
            max_draining: MAX_DRAINING,
            capture_stderr: true,
            restart_as_pid_1: false,
            descriptor_store: false,
            foreign: None,
        }
    }
}

#![doc = include_str!("../README.md")]

#[cfg_attr(not(feature = "serve"), allow(dead_code, unused_imports))] // `serve` uses all of it
mod accept;
#[cfg(any(feature = "layer", feature = "serve"))]
mod asked;
mod bell;
mod channel;
pub mod control;
#[cfg_attr(not(all(feature = "layer", feature = "serve")), allow(dead_code, unused_imports))] // these use all of it
pub mod drain;
mod error;
mod estate;
#[doc = include_str!("faults.md")]
pub mod faults {}
// Not `fuzzing`, which cargo-fuzz sets for all that it builds: whoever fuzzes a program of theirs would compile the targets
// with it, and these need what only tests have of tokio.
#[cfg(any(test, hotrestart_fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod generation;
mod graceful;
mod guarded;
pub mod guide;
#[cfg_attr(not(feature = "serve"), allow(dead_code, unused_imports))] // `serve` uses all of it
mod handover;
pub mod hooks;
#[cfg(feature = "layer")]
pub mod layer;
mod log;
mod name;
#[doc = include_str!("observe.md")]
pub mod observe {}
mod phase;
mod pidfile;
mod process;
pub mod raw;
#[cfg(feature = "serve")]
pub mod serve;
mod signal;
pub mod sockets;
mod state;
pub mod status;
mod sys;
mod systemd;
mod transfer;
mod wire;

pub use accept::{Datagram, Listener, Parked};
pub use drain::{Guard, Report, Tracked, Tracker};
pub use error::{Error, ErrorKind};
pub use generation::{Cause, State, Successor};
pub use graceful::{Bind, Builder, Graceful};
pub use process::scrub;
pub use signal::Signals;
pub use state::PassedState;

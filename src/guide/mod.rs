//! Pages for users: what a restart and a stop mean where something else is involved. Each names the example that shows it
//! whole.
//!
//! # Which one do I need?
//!
//! | what changes | what to do |
//! |---|---|
//! | certificate or configuration | [reload] it: no process, no reconnect |
//! | the program, and there is one of it | a restart: this crate |
//! | the program, and replicas stand behind a load balancer | a rolling update; this crate for its [stops](kubernetes) |
//! | the unit: environment, limits, user | stop and start: let systemd keep the sockets (`server.socket`) |
//! | two versions must not run at once | the same, or hand over [what is exclusive](exclusive) |
//!
//! # What goes on to the next generation
//!
//! | | |
//! |---|---|
//! | sockets and other descriptors | by themselves, under their names |
//! | requests that are being answered | stay, and finish |
//! | [long connections](long_connections) | what their handler [hands over](crate::raw); the others stay, until it, a policy or the deadline ends them |
//! | [state in memory](state) | what you pass |
//! | [locks, schedulers, leases](exclusive) | what you hand over |
//! | jobs of a queue | nothing: each worker finishes its own (`examples/consumer.rs`) |

#[doc = include_str!("kubernetes.md")]
pub mod kubernetes {}

#[doc = include_str!("long_connections.md")]
pub mod long_connections {}

#[doc = include_str!("state.md")]
pub mod state {}

#[doc = include_str!("exclusive.md")]
pub mod exclusive {}

#[doc = include_str!("reload.md")]
pub mod reload {}

#[doc = include_str!("frameworks.md")]
pub mod frameworks {}

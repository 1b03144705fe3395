//! What clients do while a system is restarted.

mod applies;
mod clients;
mod scenario;

pub(crate) use clients::{AT_ONCE, Clients};
pub(crate) use scenario::{Course, FRESH, Machine, Scenario};

//! Who is restarted, each by a small adapter: start, restart, check, stop.

mod group;
mod haproxy;
mod nginx;
mod place;
mod running;
mod rust;
mod system;
mod versions;

pub(crate) use nginx::ECHO;
pub(crate) use running::{Running, Told, pid_of};
pub(crate) use system::System;
pub(crate) use versions::{installed, versions};

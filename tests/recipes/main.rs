//! The examples that are recipes for what a restart touches besides connections: each is started as it stands, restarted
//! and stopped.

#![allow(clippy::unwrap_used, unreachable_pub, reason = "a test has no users: it fails by a panic")]

mod broker;
mod consumer;
mod program;
mod reload;
mod report;
mod tls;

//! The Rust servers that are compared: this program, run once more. One router and one thread each; only who restarts
//! them differs.

mod app;
mod ecdysis;
mod kind;
mod ours;
mod setup;
mod shellflip;
mod stopped;
mod websocket;

pub(crate) use kind::Kind;
pub(crate) use setup::Setup;

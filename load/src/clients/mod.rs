//! The clients: one file for each way of asking, over what all have in common.

mod client;
mod fresh;
mod head;
mod http1;
mod http2;
mod keep_alive;
mod pipelined;
mod websocket;

pub(crate) use client::{Client, Pace};
pub(crate) use fresh::fresh;
pub(crate) use http2::http2;
pub(crate) use keep_alive::{keep_alive, websocket};
pub(crate) use pipelined::pipelined;

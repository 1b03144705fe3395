//! Where ours is behind, and why.

mod reason;
mod say;
mod sockets;

pub(crate) use say::{say_why, where_and_why};
pub(crate) use sockets::per_socket;

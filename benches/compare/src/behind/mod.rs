//! Where ours is behind, and why.

mod figure;
mod reason;
mod say;
mod sockets;

pub(crate) use say::say_where;
pub(crate) use sockets::per_socket;

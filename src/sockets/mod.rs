//! Sockets: claimed from what was passed, or bound; and the list of those to pass on.
//!
//! [`adopt`], [`adopt_number`] and the kinds work without any `Graceful`: they turn an inherited descriptor into a tokio
//! socket, checked, non-blocking and close-on-exec. Where descriptors come from (a predecessor, systemd) this room never learns.

mod address;
mod adopt;
mod control;
mod fresh;
mod kind;
mod path;
mod registry;
mod unclaimed;
mod verify;

#[cfg(test)]
mod tests;

pub use address::Address;
#[doc(hidden)]
pub use address::{Bound, Resolving};
pub use adopt::{Refused, adopt, adopt_number};
pub(crate) use control::ControlListener;
pub(crate) use fresh::Options;
#[doc(hidden)]
pub use kind::Kind;
pub use kind::Socket;
pub(crate) use path::until_bound;
pub(crate) use registry::Registry;
pub(crate) use verify::verify;

//! Sockets: claimed from what was passed, or bound; and the list of those to pass on.
//!
//! [`adopt`] and the kinds work without any `Graceful`: they turn an inherited raw descriptor into a tokio listener,
//! checked, non-blocking and close-on-exec. Where descriptors come from (a predecessor, systemd) this room never learns.

mod adopt;
mod fresh;
mod kind;
mod registry;

pub use adopt::{Refused, adopt};
pub(crate) use fresh::Options;
pub use kind::{Address, Socket};
#[doc(hidden)]
pub use kind::{Bound, Kind};
pub(crate) use registry::{Registry, verify};

//! The roof: the handle, its builder, and the one loop from events over phases to actions.

mod bind;
mod builder;
mod carry;
mod handle;
mod life;
#[cfg(feature = "serve")]
mod serve;
mod settings;
mod shared;
mod sockets;

#[cfg(test)]
mod tests;

pub use bind::Bind;
pub use builder::Builder;
pub use handle::Graceful;

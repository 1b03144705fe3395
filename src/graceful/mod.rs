//! The roof: the handle, its builder, and the one loop from events over phases to actions.

mod asker;
mod begin;
mod bind;
mod builder;
mod carry;
mod connections;
mod hand_over;
mod handle;
mod hooks;
#[cfg(feature = "layer")]
mod layer;
mod life;
mod meeting;
mod meter;
mod predecessor;
mod restart;
#[cfg(feature = "serve")]
mod serve;
mod service;
mod settings;
mod shared;
mod sockets;
mod state;
mod store;
mod visits;
mod waits;
mod work;

#[cfg(test)]
mod tests;

pub use bind::Bind;
pub use builder::Builder;
pub use handle::Graceful;

//! The server under test, and the hands that start it, watch it and end it.

mod fleet;
mod program;
pub mod server;
mod step;

pub use fleet::{Fleet, Line, Setup};
pub use program::Release;

//! The server under test, and the hands that start it, watch it and end it.

pub mod activated;
pub mod clock;
pub mod control;
pub mod crowd;
pub mod doors;
pub mod drain;
pub mod echo;
pub mod fault;
mod fifo;
mod fleet;
pub mod frames;
mod hooks;
pub mod http;
#[cfg(feature = "http2")]
pub mod http2;
pub mod kinds;
pub mod lock;
pub mod long;
mod manager;
pub mod nobody;
mod not_run;
pub mod notify;
mod open;
pub mod opener;
mod orders;
pub mod process;
mod program;
mod raw;
pub mod server;
mod state;
pub mod status;
mod step;
mod traffic;
mod trial;
mod tunnel;

pub use control::Control;
pub use fifo::Fifo;
pub use fleet::{Fleet, Line, Setup};
pub use manager::{Manager, example};
pub use not_run::not_run;
pub use open::Open;
pub use orders::Orders;
pub use program::{Release, again, this, write_program};
pub use traffic::Traffic;
pub use trial::{Clients, Footprint, Outcomes, Trial};
pub use tunnel::Tunnel;

//! Asking a server at its control path: restart, status, stop.
//!
//! A server that has a control path (a Unix socket for its own user, root, and who else is named) is asked there by
//! operators, and met there by successors that it has not started itself. The functions of this module are the
//! operator's side; the program `hotrestart` (feature `cli`) is made of them.
//!
//! # Examples
//!
//! ```no_run
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tokio_hotrestart::Error> {
//! let successor = tokio_hotrestart::control::restart("/run/server.control").await?;
//! println!("{successor} serves");
//! # Ok(()) }
//! ```

mod allowed;
mod client;
mod connect;
mod default_path;
mod denied;
mod door;
#[cfg(test)]
mod tests;
mod visitor;

pub(crate) use allowed::Allowed;
#[cfg(any(test, hotrestart_fuzzing))]
pub(crate) use client::answer;
pub(crate) use client::call;
pub use client::{Reply, Request, Stopped, ask, restart, status, stop};
pub use default_path::default_path;
#[cfg(any(test, hotrestart_fuzzing))]
pub(crate) use default_path::{given, named_after};
#[cfg(any(test, hotrestart_fuzzing))]
pub(crate) use denied::Denied;
pub(crate) use door::Door;
pub(crate) use visitor::Visitor;

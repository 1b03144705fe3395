//! A load generator that counts what became of every request.
//!
//! It proves, or disproves, that a restart loses nothing. So it is built the other way round from a benchmark tool:
//! it owns its HTTP/1.1 client, down to the bytes, because a client library hides what is counted here. It never
//! retries: a library sends a request that raced the end of its connection once more, and the loss is gone from
//! sight. And each request ends in exactly one [`Outcome`].
//!
//! ```no_run
//! # async fn example() -> Result<(), load::Stalled> {
//! use load::{Exchange, Load, Mode, Window};
//!
//! let window = Window::default();
//! let load = Load::new("127.0.0.1:8080", Mode::KeepAlive(Exchange::get())).clients(64).window(&window).start();
//! load.reach(1_000).await?; // a barrier: a thousand more were answered
//! let restart = window.open(); // latencies from here on are told apart
//! // … restart the server …
//! drop(restart);
//! let tally = load.stop().await; // after the running requests
//! assert_eq!(tally.lost(), 0, "{tally}");
//! # Ok(())
//! # }
//! ```
//!
//! Each client waits for its answer before it asks again (a closed loop), so percentiles tell what clients saw. What
//! clients at a constant rate would have seen is told by [`Mode::Steady`].

mod clients;
mod exchange;
mod failure;
mod latency;
mod load;
mod meter;
mod outcome;
mod signpost;
mod tally;
mod target;
mod timeline;
mod window;

pub use exchange::Exchange;
pub use latency::Latency;
pub use load::{Load, Mode, Running};
pub use meter::Stalled;
pub use outcome::Outcome;
pub use signpost::Signpost;
pub use tally::{Generation, Tally};
pub use target::{Duplex, Stream, Target};
pub use timeline::{Slot, Timeline};
pub use window::{Open, Time, Window};

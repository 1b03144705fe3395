//! Live connections that change hands: out of a predecessor, and into its successor.
//!
//! Two ends. In the predecessor owners of connections have an [`Exit`], by which they leave, and the roof drives
//! [`Departures`]. In the successor those who serve open an [`Entrance`] among the [`Entrances`], and the roof drives
//! [`Arrivals`]. Who owns a connection is decided by `transfer`, for either end; here are the descriptors, the windows
//! and the waiting.
//!
//! Nothing here says anything itself. The roof is given messages to say, and tells what it has heard.

mod arrivals;
mod departure;
mod departures;
mod entrances;
mod exit;
mod inbox;
mod parcel;
pub(crate) mod socket;
#[cfg(test)]
mod tests;

pub(crate) use arrivals::Arrivals;
pub(crate) use departures::{Departing, Departures};
pub(crate) use entrances::{Door, Entrance, Entrances, Place, Ticket};
pub(crate) use exit::{Exit, Fate, Lane, Leaving, Permit, Room};
pub(crate) use parcel::Parcel;

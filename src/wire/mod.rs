//! What two generations say to each other, as bytes. Pure: no tokio, no clock, no descriptor.
//!
//! The other end is *another version of this crate*, so nothing here is derived from a type's layout: each message is
//! written and read by hand, every length is checked before it is believed, and a recorded version-1 conversation is
//! kept as a test for ever.
//!
//! A frame is a header of 12 bytes (kind, flags, length, number of descriptors) and a payload. A reader skips a frame
//! of a kind that it does not know (and closes its descriptors) unless the frame says that it must be understood, and
//! ignores what follows the fields that it knows: so a later version adds frames, and fields at the end of one.

mod bytes;
mod codes;
mod frame;
mod manifest;
mod message;
mod offer;
mod piece;
#[cfg(test)]
mod tests;
mod visit;

pub(crate) use bytes::Malformed;
pub(crate) use codes::{Begun, Origin, Refusal, SocketKind, Wish};
pub(crate) use frame::{NEWEST_VERSION, OLDEST_VERSION, PEEK, peek_pid};
pub(crate) use manifest::{Ancestor, Hello, Socket};
pub(crate) use message::{FINAL_STATE, HAND_OVER, MOST_UNDECIDED, Message, first, missing};
pub(crate) use offer::{Destination, Offer};
pub(crate) use piece::{Gathered, Piece, pieces};
pub(crate) use visit::{Answer, Want};

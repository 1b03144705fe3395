//! Walks through every order of events in which live connections change hands.
//!
//! The two machines are the crate's own: this one includes their folder, and drives the code that production runs. Around
//! them stands a world of two processes and a kernel, small enough to be walked through whole. `cargo test -p model` does
//! that, and prints how many states there were.
//!
//! # What is modelled
//!
//! - Two or three connections, and a window of one or more that may be undecided; OFFERs and TAKENs of one connection or of
//!   several, answered in any order.
//! - The channel as the kernel has it: a queue each way with room for so many frames, into which one goes wholly, or in
//!   part first. Only whole ones are heard. What lies in a queue outlives its writer, and dies with its reader.
//! - A send that fails because the other end is gone, or for want of something; at either end, before or after a part.
//! - The death of either process between any two steps, also of a successor whose end of the channel some other process
//!   holds; either end closed by a process that lives on; nonsense said by the successor; the predecessor's drain deadline.
//! - The clients' bytes: who owns a connection reads it, or dies before it has.
//!
//! Nothing is ever assumed to be in time: each process may rest for as long as it likes before any step, so a process that
//! is stopped, or slow, is among the orders too.
//!
//! # What is not
//!
//! - The bytes of frames, which `wire` has tests for, and the descriptors' own ways to get lost: a connection whose
//!   descriptor did not arrive is one that the successor declines.
//! - That the kernel accepts a frame and the process that gave it learns so are one step. A death in between is the death
//!   of an owner that has not read yet: to everybody else it looks the same. See `wrong::Wrong::HangsUpUnheard` for what
//!   must not come in between.
//! - What either process does with a connection after that: how it is served, drained, or cut.
//! - More than one handover of a connection, and the restart around it.

/// The production code, which imports nothing for this one's sake.
#[path = "../../src/transfer/mod.rs"]
mod transfer;

pub mod handover;

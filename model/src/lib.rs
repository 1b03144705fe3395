//! Walks through every order of events in which live connections change hands, and in which a generation follows another.
//!
//! The machines are the crate's own: this one includes their folders, and drives the code that production runs. Around them
//! stands a world of a few processes and a kernel, small enough to be walked through whole. `cargo test -p model` does that,
//! and prints how many states there were.
//!
//! Nothing is ever assumed to be in time: each process may rest for as long as it likes before any step, so a process that
//! is stopped, or slow, is among the orders too.
//!
//! # The handover of connections: what is modelled
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
//! # And what is not
//!
//! - The bytes of frames, which `wire` has tests for, and the descriptors' own ways to get lost: a connection whose
//!   descriptor did not arrive is one that the successor declines.
//! - That the kernel accepts a frame and the process that gave it learns so are one step. A death in between is the death
//!   of an owner that has not read yet: to everybody else it looks the same. See `handover::Wrong::HangsUpUnheard` for what
//!   must not come in between.
//! - What either process does with a connection after that: how it is served, drained, or cut.
//! - More than one handover of a connection, and the restart around it.
//!
//! # The restart: what is modelled
//!
//! - The `phase` machines of up to four processes that follow each other, from the first one's beginning to the last one's
//!   end: spawned, or come to the control path by themselves; a second restart after one that has failed, and one of the
//!   successor's own.
//! - What each action does, and which event its end is, as `graceful` has it: the gate, the one deadline and what disarms
//!   it, hooks that agree, refuse, give up and take back, who is held as successor and when it is forgotten, the supervisor
//!   that takes its time to hear, the lame duck. What is said and done becomes an event as in `process`: nothing counts
//!   after REFUSED or nonsense; the end of a channel and of a process are two events; a deadline reads the channel first;
//!   before a stop, the predecessor is heard out.
//! - The channel as above. A successor's helper that holds its end; a successor that closes it, and lives on; SIGKILL, and
//!   the time until it is obeyed, which may be longer than anybody waits.
//! - Death of any process between any two steps; a stop, a failed listener, `ready()`, `refuse()`, a restart that is asked
//!   for or signalled, a visitor at the control path, each at any moment in which it can come, and so often as
//!   [`restart::Left`] says.
//!
//! # And what is not
//!
//! - That these two are the same as in production: `restart::carry` and `restart::hear` are written after `graceful` and
//!   `process`, and not included, for those live in tokio. Only the machines between are the very code.
//! - Room in the channel: what is said is in the kernel at once. Everything that a restart says after the sockets is a few
//!   bytes, and who has had END has read what came before. HELLO, the sockets, the state and END are one frame, and a
//!   predecessor that can't pass them is like a successor that refuses them.
//! - EXTEND, which only moves a deadline, as time itself does not exist here: each deadline may come at once, or late.
//! - Successors that know nothing of the crate: they accept without being confirmed, which no law here can hold for.
//! - A drain: it ends. What is in it (connections, the final state, exit hooks, whom it waits for) is not this world's, nor
//!   what a second stop does to it. Nor the death of a killed successor for which a stop waits.
//! - What a visitor does that finds its predecessor dead: it starts as the first, or another does.
// The production code, which imports nothing for this one's sake. Included by path: that it needs nothing else but plain
// data is what makes it the pure floor.
#[allow(dead_code)]
#[path = "../../src/error.rs"]
mod error;
#[allow(dead_code)]
#[path = "../../src/generation.rs"]
mod generation;
#[allow(dead_code)]
#[path = "../../src/phase/mod.rs"]
mod phase;
#[path = "../../src/transfer/mod.rs"]
mod transfer;

pub mod handover;
pub mod restart;
#[cfg(test)]
mod walk;

use error::{Error, ErrorKind};

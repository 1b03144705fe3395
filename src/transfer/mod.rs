//! The life of one connection that changes hands: two pure functions, one for either process. No tokio, no clock, no
//! descriptor, and nothing of the crate: the model checker in `model` includes this folder and walks through every order
//! of events.
//!
//! [`Giving`] is the predecessor's view of the connection, [`Taking`] the successor's. Each takes a state and an event to
//! the next state and an action; what the action says is done before the next event is told. An event that means nothing
//! in a state leaves it as it is.
//!
//! # Invariants
//!
//! 1. At most one process owns the connection, and only its owner reads and writes it. From its OFFER on the predecessor
//!    holds a copy and nothing else.
//! 2. Only the successor decides. What it decides counts from the moment at which the kernel has accepted the whole frame
//!    that says TAKEN: that one lies in the predecessor's queue, whatever becomes of the successor.
//! 3. The predecessor decides only what the successor no longer can: when the channel has ended and has been read to its
//!    end. A send that fails, or a process that is dead, are reasons to read on.
//! 4. No clock gives the predecessor anything back. At its drain deadline it lets the successor decide alone, and counts.
//!
//! # What the callers owe
//!
//! 5. The predecessor closes neither half of its channel while it holds a copy of anything undecided. To the successor an
//!    end of it says that nobody is left to tell, and that what it was offered is its own to decide. Only from a successor
//!    whose process is seen dead may it stop to listen: what that one had said is then read, and the end comes, whoever
//!    else holds that one's end open.
//! 6. A channel that ends in mid-frame has ended. It is not nonsense: whoever was to say TAKEN has not said it.
//! 7. Behind a part of a frame comes its rest, or nothing ever again.
//! 8. The successor is told [`taking::Event::WentOut`] in the same step in which the kernel has accepted the frame. If it
//!    hung up in between, each would believe that the other serves the connection.
//! 9. A successor that could not say something for want of something hangs up afterwards. The predecessor would else hear
//!    nothing of that connection until its drain deadline, and nobody would serve it.
//! 10. Each reads while it has something to write: else two full queues wait for each other.

pub(crate) mod giving;
pub(crate) mod taking;

pub(crate) use giving::Giving;
pub(crate) use taking::Taking;

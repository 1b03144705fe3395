//! Variants that look as good as what production does. Each replaces one thing, and must break a law: else the model
//! could not see the fault, and its silence about the right one would mean nothing.

use crate::transfer::{giving, taking};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wrong {
    /// The successor is slow, so the predecessor has its connection back by a clock.
    TimerTakesBack,
    /// The same, and the successor is told so.
    TimerRevokes,
    /// The predecessor can't send, so the successor is gone, so what it has not answered is the predecessor's.
    FailedSendIsTheEnd,
    /// The same, because its process has ended.
    DeathIsTheEnd,
    /// The contrary: the channel's end alone says that a successor is dead, whoever else may hold it open.
    WaitsForHelper,
    /// Nothing that comes after nonsense is believed, so it is as if the channel had ended.
    NonsenseIsTheEnd,
    /// A channel that ends in mid-frame is taken for nonsense.
    TornIsNonsense,
    /// The successor has decided, so it begins while its TAKEN is on its way.
    ReadsBeforeTaken,
    /// The predecessor has nothing more to offer, so it ends its half, and waits for the answers.
    EndsItsHalfEarly,
    /// Each process finishes what it writes, and then reads.
    WritesBeforeItReads,
    /// The successor could not say TAKEN, closes the connection, and goes on.
    StaysAfterUnsaid,
    /// The successor hangs up in the step in which the kernel accepts its TAKEN, before it knows that.
    HangsUpUnheard,
}

/// How the predecessor reads that the channel is at its end.
pub(super) fn end(wrong: Option<Wrong>, torn: bool) -> giving::Event {
    match wrong {
        Some(Wrong::TornIsNonsense) if torn => giving::Event::Garbled,
        _ => giving::Event::ChannelEnded,
    }
}

/// How it reads nonsense.
pub(super) fn nonsense(wrong: Option<Wrong>) -> giving::Event {
    match wrong {
        Some(Wrong::NonsenseIsTheEnd) => giving::Event::ChannelEnded,
        _ => giving::Event::Garbled,
    }
}

/// What the successor tells its machines when the kernel has accepted TAKEN.
pub(super) fn accepted(wrong: Option<Wrong>) -> taking::Event {
    match wrong {
        Some(Wrong::HangsUpUnheard) => taking::Event::HungUp,
        _ => taking::Event::WentOut,
    }
}

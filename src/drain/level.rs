use std::sync::atomic::{AtomicU8, Ordering};

/// How far the drain is. It only ever rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Nothing has been said.
    Serving,
    /// Clients are told to go elsewhere, but whoever comes is still served.
    LameDuck,
    /// Finish what you have, begin nothing that can wait.
    Draining,
    /// Half a head or half a handshake has had its time.
    HalfOpenOver,
    /// Whoever idles has had its time.
    GraceOver,
    /// The deadline: everything is cut.
    Over,
}

impl Level {
    const ALL: [Self; 6] =
        [Self::Serving, Self::LameDuck, Self::Draining, Self::HalfOpenOver, Self::GraceOver, Self::Over];
}

/// A level that many read and one raises.
#[derive(Debug)]
pub(super) struct AtomicLevel(AtomicU8);

impl AtomicLevel {
    pub(super) const fn new() -> Self {
        Self(AtomicU8::new(Level::Serving as u8))
    }

    #[inline]
    pub(super) fn get(&self) -> Level {
        // Acquire: whoever sees a level sees the cause and the times that were written before it.
        Level::ALL[usize::from(self.0.load(Ordering::Acquire))]
    }

    /// Whether it is a rise.
    pub(super) fn raise(&self, to: Level) -> bool {
        self.0.fetch_max(to as u8, Ordering::AcqRel) < to as u8
    }
}

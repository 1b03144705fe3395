use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// A connection's place in the order in which a drain turns to them: a fraction of [0, 1), given at its birth.
///
/// Without one all clients would be sent away in the same moment, and all come back in the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn(u32);

/// Where turns come from: each a golden ratio further than the last, which spreads those of any stretch as evenly as can
/// be, however many there are; from a random start, so that the processes of a fleet do not keep step.
#[derive(Debug)]
pub(super) struct Turns(AtomicU32);

/// 2³² divided by the golden ratio.
const STEP: u32 = 0x9E37_79B9;

impl Turn {
    /// This fraction of a time.
    pub(super) fn of(self, time: Duration) -> Duration {
        let nanos = (time.as_nanos() * u128::from(self.0)) >> u32::BITS;
        u64::try_from(nanos).map_or(Duration::MAX, Duration::from_nanos)
    }
}

impl Turns {
    pub(super) fn new() -> Self {
        // The one source of chance in the standard library.
        Self(AtomicU32::new(RandomState::new().build_hasher().finish() as u32))
    }

    pub(super) fn next(&self) -> Turn {
        Turn(self.0.fetch_add(STEP, Ordering::Relaxed))
    }
}

#[cfg(test)]
impl Turn {
    pub(super) const FIRST: Self = Self(0);
    pub(super) const MIDDLE: Self = Self(1 << 31);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_stretch_of_a_thousand_turns_has_a_hundred_in_each_tenth() {
        let turns = Turns::new();
        for _ in 0..10 {
            let mut tenths = [0; 10];
            (0..1_000).for_each(|_| tenths[turns.next().of(Duration::from_nanos(10)).as_nanos() as usize] += 1);
            assert!(tenths.iter().all(|count| (98..=102).contains(count)), "{tenths:?}");
        }
    }

    #[test]
    fn a_turn_is_a_fraction_of_any_time() {
        assert_eq!(Turn::FIRST.of(Duration::MAX), Duration::ZERO);
        assert_eq!(Turn::MIDDLE.of(Duration::from_secs(3)), Duration::from_millis(1_500));
        assert_eq!(Turn(u32::MAX).of(Duration::MAX), Duration::MAX);
    }
}

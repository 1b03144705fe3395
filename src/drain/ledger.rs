use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Kind, Outcome, Tally};

/// The counts: what lives, by kind, and how what has ended since the drain began did so.
///
/// They are touched when a connection comes, changes its kind or goes; never by a request.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Apart from the sum of `of_kind`, because a change of kind takes two steps, between which a sum could be zero.
    live: AtomicUsize,
    of_kind: [AtomicUsize; Kind::COUNT],
    ended: [[AtomicUsize; Outcome::COUNT]; Kind::COUNT],
}

// Relaxed throughout: each number stands for itself. Only `live` orders anything, and see `leave`.
impl Ledger {
    pub(super) fn enter(&self, kind: Kind) {
        self.live.fetch_add(1, Ordering::Relaxed);
        self.of_kind[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn change(&self, from: Kind, to: Kind) {
        self.of_kind[to as usize].fetch_add(1, Ordering::Relaxed);
        self.of_kind[from as usize].fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn note(&self, kind: Kind, outcome: Outcome) {
        self.ended[kind as usize][outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Whether it was the last.
    pub(super) fn leave(&self, kind: Kind) -> bool {
        self.of_kind[kind as usize].fetch_sub(1, Ordering::Relaxed);
        // Release, and Acquire in `live`: who sees zero has seen every `note`.
        self.live.fetch_sub(1, Ordering::AcqRel) == 1
    }

    pub(super) fn live(&self) -> usize {
        self.live.load(Ordering::Acquire)
    }

    /// Of this kind, with those that still live counted as cut.
    pub(super) fn tally(&self, kind: Kind) -> Tally {
        let ended = |outcome: Outcome| self.ended[kind as usize][outcome as usize].load(Ordering::Relaxed);
        let told = ended(Outcome::Told);
        Tally {
            finished: ended(Outcome::Finished) + told,
            told,
            raced: ended(Outcome::Raced),
            cut: ended(Outcome::Cut) + self.of_kind[kind as usize].load(Ordering::Relaxed),
        }
    }
}

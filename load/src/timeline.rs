//! What ended when.

use std::{
    fmt,
    ops::AddAssign,
    time::{Duration, Instant},
};

use tokio::time;

/// What ended when, in slots of equal width since the load began. Percentiles of a whole run hide the hundred
/// milliseconds of a restart among a million good answers; here they are seen.
///
/// Its memory is bounded by [`MOST`](Self::MOST) slots. A load that goes on for longer loses resolution rather than its
/// beginning or its end: each two neighbours become one slot of twice the width.
#[derive(Clone)]
pub struct Timeline {
    /// `None` in a sum to which nothing was added yet. Tokio's clock, which a test can pause.
    began: Option<time::Instant>,
    width: Duration,
    slots: Vec<Slot>,
}

/// What ended in one slot of a [`Timeline`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// How many requests were answered.
    pub answered: u32,
    /// How many requests were lost.
    pub lost: u32,
    /// How many connections were opened again.
    pub reconnects: u32,
    /// The longest latency of an answer. One that began long before counts in the slot in which it ended.
    pub longest: Duration,
}

impl Timeline {
    /// How wide a slot is in the first five minutes.
    pub const WIDTH: Duration = Duration::from_millis(10);

    /// How many slots there are at most.
    pub const MOST: usize = 30_000;

    pub(crate) fn new(began: time::Instant) -> Self {
        Self { began: Some(began), ..Self::default() }
    }

    /// How wide a slot is: [`WIDTH`](Self::WIDTH), or that doubled as often as the load was too long for it.
    pub fn width(&self) -> Duration {
        self.width
    }

    /// Slot by slot since the load began, up to the last in which something ended.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// When the load began; of a sum, the first one. `None` in a sum of nothing.
    pub fn began(&self) -> Option<Instant> {
        self.began.map(time::Instant::into_std)
    }

    /// Where in this timeline a moment is, by which one marks a restart: how long after the load began; at its beginning
    /// where that is earlier. Moments at which a [`Window`](crate::Window) was open are told by its
    /// [`times`](crate::Window::times).
    pub fn place(&self, moment: Instant) -> Duration {
        self.began().map_or(Duration::ZERO, |began| moment.saturating_duration_since(began))
    }

    pub(crate) fn answered(&mut self, at: time::Instant, took: Duration) {
        *self.slot(at) += Slot { answered: 1, longest: took, ..Slot::default() };
    }

    pub(crate) fn lost(&mut self, at: time::Instant) {
        self.slot(at).lost += 1;
    }

    pub(crate) fn reconnected(&mut self, at: time::Instant) {
        self.slot(at).reconnects += 1;
    }

    fn slot(&mut self, at: time::Instant) -> &mut Slot {
        let after = at.saturating_duration_since(*self.began.get_or_insert(at));
        while self.index(after) >= Self::MOST {
            self.widen();
        }
        let index = self.index(after);
        if index >= self.slots.len() {
            self.slots.resize(index + 1, Slot::default());
        }
        &mut self.slots[index]
    }

    fn index(&self, after: Duration) -> usize {
        after.div_duration_f64(self.width) as usize
    }

    fn widen(&mut self) {
        self.width *= 2;
        let pairs = self.slots.chunks(2);
        self.slots = pairs.map(|pair| pair.iter().fold(Slot::default(), |sum, slot| sum + *slot)).collect();
    }
}

impl Default for Timeline {
    fn default() -> Self {
        Self { began: None, width: Self::WIDTH, slots: Vec::new() }
    }
}

/// Each keeps its place in time; where their beginnings are no whole number of slots apart, to within a slot.
impl AddAssign<&Self> for Timeline {
    fn add_assign(&mut self, other: &Self) {
        let Some(theirs) = other.began else { return };
        if self.began.is_none_or(|mine| theirs < mine) {
            let later = std::mem::replace(self, other.clone());
            return *self += &later;
        }
        while self.width < other.width {
            self.widen();
        }
        for (number, slot) in (0..).zip(&other.slots) {
            *self.slot(theirs + other.width * number) += *slot;
        }
    }
}

impl std::ops::Add for Slot {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

impl AddAssign for Slot {
    fn add_assign(&mut self, other: Self) {
        self.answered += other.answered;
        self.lost += other.lost;
        self.reconnects += other.reconnects;
        self.longest = self.longest.max(other.longest);
    }
}

/// Without the slots: thousands of lines would hide the rest of a tally.
impl fmt::Debug for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timeline({} slots of {:?})", self.slots.len(), self.width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn now() -> time::Instant {
        time::Instant::now()
    }

    #[tokio::test(start_paused = true)]
    async fn each_end_is_counted_in_the_slot_in_which_it_comes() {
        let mut timeline = Timeline::new(now());
        time::advance(9 * MS).await;
        timeline.answered(now(), 2 * MS);
        timeline.answered(now(), 9 * MS);
        timeline.answered(now(), 3 * MS);
        time::advance(MS).await;
        timeline.lost(now());
        time::advance(25 * MS).await;
        timeline.reconnected(now());
        timeline.answered(now(), 35 * MS);
        let expected = [
            Slot { answered: 3, longest: 9 * MS, ..Slot::default() },
            Slot { lost: 1, ..Slot::default() },
            Slot::default(),
            Slot { answered: 1, reconnects: 1, longest: 35 * MS, ..Slot::default() },
        ];
        assert_eq!(timeline.slots(), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_load_is_kept_whole_in_bounded_memory() {
        let mut timeline = Timeline::new(now());
        let hours = 2;
        for second in 0..hours * 3_600 {
            timeline.answered(now(), second * MS);
            time::advance(1_000 * MS).await;
        }
        timeline.lost(now());
        assert!(timeline.slots().len() <= Timeline::MOST, "{timeline:?}");
        assert_eq!(timeline.width(), 320 * MS);
        let answered: u32 = timeline.slots().iter().map(|slot| slot.answered).sum();
        assert_eq!(answered, hours * 3_600);
        let last = timeline.slots().last().unwrap();
        assert_eq!((last.lost, timeline.slots()[3].longest), (1, MS)); // 3 × 320 ms: the answer at one second
    }

    #[tokio::test(start_paused = true)]
    async fn timelines_of_loads_that_began_at_different_times_add_up() {
        let mut early = Timeline::new(now());
        early.answered(now(), MS);
        time::advance(20 * MS).await;
        let mut late = Timeline::new(now());
        late.lost(now());
        early.answered(now(), 4 * MS);
        let first = Slot { answered: 1, longest: MS, ..Slot::default() };
        let third = Slot { answered: 1, lost: 1, longest: 4 * MS, ..Slot::default() };
        let (mut one, mut other) = (Timeline::default(), Timeline::default());
        [&early, &late].into_iter().for_each(|timeline| one += timeline);
        [&late, &early].into_iter().for_each(|timeline| other += timeline);
        for sum in [one, other] {
            assert_eq!((sum.slots(), sum.began()), (&[first, Slot::default(), third][..], early.began()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_narrow_timeline_is_widened_to_be_added_to_a_wide_one() {
        let mut short = Timeline::new(now());
        short.answered(now(), MS);
        let mut long = Timeline::new(now());
        time::advance(400_000 * MS).await;
        long.answered(now(), MS);
        for (mut sum, other) in [(short.clone(), &long), (long.clone(), &short)] {
            sum += other;
            assert_eq!((sum.width(), sum.slots().len()), (2 * Timeline::WIDTH, 20_001));
            assert_eq!((sum.slots()[0].answered, sum.slots()[20_000].answered), (1, 1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_moment_has_its_place_in_the_clock_of_the_slots() {
        let before = now().into_std();
        time::advance(5 * MS).await;
        let mut timeline = Timeline::new(now());
        time::advance(70 * MS).await;
        timeline.lost(now());
        assert_eq!((timeline.place(now().into_std()), timeline.slots().len()), (70 * MS, 8));
        assert_eq!(timeline.place(before), Duration::ZERO);
    }
}

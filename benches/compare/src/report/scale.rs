//! Where a value is on an axis.

use std::ops::Range;

use super::number;

/// Where a value is on an axis, and where the axis has its marks. All that is logarithmic is here, where it can be tested.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scale {
    kind: Kind,
    /// Between which values.
    range: Range<f64>,
    ticks: Vec<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// From nothing, evenly.
    Even(Unit),
    /// Milliseconds, by powers of ten.
    Times,
    /// Counts by powers of ten, with a place for none.
    Counts,
    /// Per cent, by how little is missing to a hundred.
    Nines,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Unit {
    Count,
    Seconds,
}

impl Scale {
    /// From 0 to `max`, marked at three to six round values.
    pub(super) fn even(max: f64, unit: Unit) -> Self {
        let max = if max.is_finite() && max > 0.0 { max } else { 1.0 };
        let decade = 10f64.powf((max / 5.0).log10().floor());
        let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * decade);
        // Half a request is nothing to mark.
        let least = if unit == Unit::Count { 1.0 } else { 0.0 };
        let step = steps.into_iter().find(|step| max / step <= 5.0).unwrap_or(10.0 * decade).max(least);
        // A little more, for the division of binary fractions: 0.3 / 0.1 is less than 3.
        let ticks = (0..=(max / step + 1e-6).floor() as u32).map(|number| f64::from(number) * step).collect();
        Self { kind: Kind::Even(unit), range: 0.0..max, ticks }
    }

    /// Some time before a moment and some time after it, marked as if it began there.
    pub(super) fn around(before: f64, after: f64) -> Self {
        let mut scale = Self::even(after, Unit::Seconds);
        scale.range.start = -before;
        scale
    }

    /// So many rows, which bear names of their own and need no marks.
    pub(super) fn rows(number: u32) -> Self {
        Self { kind: Kind::Even(Unit::Count), range: 0.0..f64::from(number.max(1)), ticks: Vec::new() }
    }

    /// Whole powers of ten around these times, in milliseconds. What is zero or no number has no place on it, and does not
    /// widen it.
    pub(super) fn times(values: impl IntoIterator<Item = f64>) -> Self {
        let (mut from, mut to) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.into_iter().filter(|value| value.is_finite() && *value > 0.0) {
            (from, to) = (from.min(value.log10().floor()), to.max(value.log10().ceil()));
        }
        if from > to {
            (from, to) = (-1.0, 1.0);
        }
        to = to.max(from + 1.0);
        // Beyond five decades, labels at each would run into one another.
        let every = if to - from > 5.0 { 2 } else { 1 };
        let ticks = (from as i32..=to as i32).step_by(every).map(|power| 10f64.powi(power)).collect();
        Self { kind: Kind::Times, range: 10f64.powi(from as i32)..10f64.powi(to as i32), ticks }
    }

    /// From none to at least `max`: 0, 1, 10, 100, …
    pub(super) fn counts(max: u64) -> Self {
        let decades = (max.max(1) as f64).log10().ceil().max(1.0) as i32;
        let ticks: Vec<_> = [0.0].into_iter().chain((0..=decades).map(|power| 10f64.powi(power))).collect();
        Self { kind: Kind::Counts, range: 0.0..10f64.powi(decades), ticks }
    }

    /// 50, 90, 99, 99.9 and 99.99 per cent.
    pub(super) fn nines() -> Self {
        let ticks = vec![50.0, 90.0, 99.0, 99.9, Self::MOST_NINES];
        Self { kind: Kind::Nines, range: 50.0..Self::MOST_NINES, ticks }
    }

    /// Where percentiles end: beyond it a run has too few requests.
    pub(super) const MOST_NINES: f64 = 99.99;

    /// Where this value is, from 0 to 1; at the border of the axis where it is beyond, or no number.
    pub(super) fn position(&self, value: f64) -> f64 {
        let place = |value| self.kind.place(value);
        let (start, end) = (place(self.range.start), place(self.range.end));
        let position = (place(value) - start) / (end - start);
        // `clamp` would hand on what is no number.
        if position >= 0.0 { position.min(1.0) } else { 0.0 }
    }

    pub(super) fn range(&self) -> Range<f64> {
        self.range.clone()
    }

    /// The values that are marked.
    pub(super) fn ticks(&self) -> &[f64] {
        &self.ticks
    }

    /// What is written at a mark.
    pub(super) fn label(&self, value: f64) -> String {
        match self.kind {
            Kind::Even(Unit::Seconds) => format!("{} s", number::short(value)),
            Kind::Even(Unit::Count) | Kind::Counts => number::short(value),
            Kind::Times => number::time(value),
            Kind::Nines => format!("{value} %"),
        }
    }
}

impl Kind {
    /// A place of its own for each value, evenly spaced where the axis is not.
    fn place(self, value: f64) -> f64 {
        match self {
            Self::Even(_) => value,
            Self::Times => value.log10(),
            Self::Counts => (1.0 + value).log10(),
            Self::Nines => -(1.0 - value / 100.0).log10(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: &Scale) -> Vec<String> {
        scale.ticks().iter().map(|value| scale.label(*value)).collect()
    }

    #[test]
    fn an_even_axis_has_round_marks_within_it() {
        assert_eq!(labels(&Scale::even(4.0, Unit::Seconds)), ["0 s", "1 s", "2 s", "3 s", "4 s"]);
        assert_eq!(labels(&Scale::even(437.0, Unit::Count)), ["0", "100", "200", "300", "400"]);
        assert_eq!(labels(&Scale::even(0.3, Unit::Seconds)), ["0 s", "0.1 s", "0.2 s", "0.3 s"]);
        for max in [0.000_1, 0.7, 1.0, 3.0, 61.0, 99_999.0, 1e12] {
            let scale = Scale::even(max, Unit::Seconds);
            let marks = scale.ticks();
            assert!(
                (3..=6).contains(&marks.len()) && marks.iter().all(|mark| *mark <= max * 1.000_001),
                "{max}: {marks:?}"
            );
        }
    }

    #[test]
    fn an_axis_around_a_moment_is_marked_from_it_on() {
        let scale = Scale::around(0.1, 0.4);
        assert_eq!(labels(&scale), ["0 s", "0.1 s", "0.2 s", "0.3 s", "0.4 s"]);
        assert!((scale.position(0.0) - 0.2).abs() < 1e-9);
        assert_eq!(labels(&Scale::rows(3)), [""; 0]);
    }

    #[test]
    fn an_axis_of_counts_marks_no_half_requests() {
        assert_eq!(labels(&Scale::even(2.0, Unit::Count)), ["0", "1", "2"]);
    }

    #[test]
    fn an_axis_of_nothing_is_one_all_the_same() {
        for max in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Scale::even(max, Unit::Count).range(), 0.0..1.0);
        }
        assert_eq!(labels(&Scale::times([])), ["100 µs", "1 ms", "10 ms"]);
        assert_eq!(labels(&Scale::times([0.0, f64::NAN])), ["100 µs", "1 ms", "10 ms"]);
        assert_eq!(labels(&Scale::counts(0)), ["0", "1", "10"]);
    }

    #[test]
    fn times_lie_between_whole_powers_of_ten() {
        let scale = Scale::times([0.3, 42.0]);
        assert_eq!(labels(&scale), ["100 µs", "1 ms", "10 ms", "100 ms"]);
        assert_eq!((scale.position(0.1), scale.position(1.0), scale.position(100.0)), (0.0, 1.0 / 3.0, 1.0));
        assert_eq!(labels(&Scale::times([1.0])), ["1 ms", "10 ms"], "an axis has a length");
    }

    #[test]
    fn many_decades_have_a_mark_at_every_second() {
        assert_eq!(labels(&Scale::times([0.011, 60_000.0])), ["10 µs", "1 ms", "100 ms", "10 s"]);
    }

    #[test]
    fn none_has_a_place_among_counts() {
        let scale = Scale::counts(312);
        assert_eq!(labels(&scale), ["0", "1", "10", "100", "1000"]);
        assert_eq!(scale.position(0.0), 0.0);
        assert!(scale.position(1.0) > 0.05 && scale.position(312.0) < 1.0);
    }

    #[test]
    fn each_nine_is_as_far_from_the_one_before() {
        let scale = Scale::nines();
        assert_eq!(labels(&scale), ["50 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
        let places: Vec<_> = scale.ticks().iter().map(|percent| scale.position(*percent)).collect();
        let (early, late) = (places[2] - places[1], places[4] - places[3]);
        assert!((early - late).abs() < 1e-6, "{places:?}");
    }

    #[test]
    fn what_is_beyond_an_axis_is_at_its_border() {
        let scale = Scale::times([1.0, 10.0]);
        let places = [0.0, 1e9, f64::NAN, f64::INFINITY].map(|value| scale.position(value));
        assert_eq!(places, [0.0, 1.0, 0.0, 1.0]);
        assert_eq!(Scale::nines().position(100.0), Scale::nines().position(99.99));
    }
}

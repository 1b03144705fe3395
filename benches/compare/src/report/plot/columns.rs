//! Fewer points than slots, where a run is long.

use std::ops::Range;

/// Slots side by side in columns, at most so many: a picture has a few hundred pixels, and a long run some ten thousand
/// slots. Whoever draws a column draws its extremes, so that a single bad slot is still seen.
pub(super) fn columns(slots: Range<usize>, most: usize) -> impl Iterator<Item = Range<usize>> {
    let wide = slots.len().div_ceil(most).max(1);
    slots.clone().step_by(wide).map(move |from| from..(from + wide).min(slots.end))
}

/// The least and the greatest. `None` of nothing.
pub(super) fn extremes(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    values.into_iter().map(|value| (value, value)).reduce(|all, one| (all.0.min(one.0), all.1.max(one.1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_is_in_one_column() {
        for slots in [0, 1, 399, 400, 401, 30_000] {
            let columns: Vec<_> = columns(7..7 + slots, 400).collect();
            assert!(columns.len() <= 400);
            assert!(columns.iter().cloned().flatten().eq(7..7 + slots), "{slots}");
        }
    }

    #[test]
    fn a_single_bad_slot_is_an_extreme() {
        assert_eq!(extremes([200.0, 0.0, 210.0]), Some((0.0, 210.0)));
        assert_eq!(extremes([]), None);
    }
}

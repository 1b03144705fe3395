//! Letters at the ends of curves.

/// Where labels are written that belong at these places: as near as they can be, and so far apart that each can be read.
/// They stay within the borders, in the order of their places, where there is room for all.
pub(super) fn spread(places: &[i32], apart: i32, (top, bottom): (i32, i32)) -> Vec<i32> {
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by_key(|label| places[*label]);
    let mut spread = places.to_vec();
    // Down, each below the one before; then up from the border, where the last ones were pushed over it.
    let mut least = top;
    for &label in &order {
        spread[label] = spread[label].max(least);
        least = spread[label] + apart;
    }
    let mut most = bottom;
    for &label in order.iter().rev() {
        spread[label] = spread[label].min(most);
        most = spread[label] - apart;
    }
    spread
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_with_room_stay_where_they_belong() {
        assert_eq!(spread(&[50, 10, 90], 12, (0, 100)), [50, 10, 90]);
        assert!(spread(&[], 12, (0, 100)).is_empty());
    }

    #[test]
    fn labels_in_one_place_are_spread_in_their_order() {
        assert_eq!(spread(&[40, 40, 41], 12, (0, 100)), [40, 52, 64]);
    }

    #[test]
    fn labels_at_the_border_are_pushed_back() {
        assert_eq!(spread(&[100, 99, 10], 12, (0, 100)), [100, 88, 10]);
        assert_eq!(spread(&[-5, 0], 12, (0, 100)), [0, 12]);
    }
}

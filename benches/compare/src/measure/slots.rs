use std::time::{Duration, Instant};

use load::Timeline;

use crate::results::{Run, Slot};

/// What the results have of a timeline: from a moment on, when everybody was connected.
pub(super) fn note(run: &mut Run, timeline: &Timeline, began: Instant) {
    let width = timeline.width();
    let first = cut(timeline.place(began), width, &mut run.restarts);
    run.slot_ms = 1e3 * width.as_secs_f64();
    run.timeline = timeline.slots().iter().skip(first).map(slot).collect();
}

/// How many whole slots are before this moment. The first that is left began a little earlier: so much later in it are the
/// restarts, which were counted from the moment on.
fn cut(moment: Duration, width: Duration, restarts: &mut [f64]) -> usize {
    let slots = moment.div_duration_f64(width).floor();
    let before = moment.as_secs_f64() - slots * width.as_secs_f64();
    restarts.iter_mut().for_each(|at| *at += before);
    slots as usize
}

fn slot(slot: &load::Slot) -> Slot {
    let load::Slot { answered, lost, reconnects, longest } = *slot;
    Slot { answered, lost, reconnects, max_ms: longest.div_duration_f32(Duration::from_millis(1)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_has_its_place_among_the_slots_that_are_left() {
        let (width, ms) = (Duration::from_millis(10), Duration::from_millis(1));
        let mut restarts = [0.5];
        assert_eq!(cut(37 * ms, width, &mut restarts), 3);
        assert!((restarts[0] - 0.507).abs() < 1e-9, "{restarts:?}");
    }

    #[test]
    fn who_was_connected_at_once_loses_no_slot() {
        assert_eq!(cut(Duration::ZERO, Duration::from_millis(10), &mut []), 0);
    }
}

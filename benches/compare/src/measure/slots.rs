use std::time::{Duration, Instant};

use load::Timeline;

use crate::results::{Run, Slot};

/// What the results have of a timeline: from a moment on, when everybody was connected.
pub(super) fn note(run: &mut Run, timeline: &Timeline, began: Instant) {
    let width = timeline.width();
    let first = timeline.place(began).div_duration_f64(width) as usize;
    run.slot_ms = 1e3 * width.as_secs_f64();
    run.timeline = timeline.slots().iter().skip(first).map(slot).collect();
    // The first slot began a moment before: so much later are the restarts in it.
    let before = timeline.place(began).saturating_sub(width * u32::try_from(first).unwrap_or(u32::MAX));
    run.restarts.iter_mut().for_each(|at| *at += before.as_secs_f64());
}

fn slot(slot: &load::Slot) -> Slot {
    let load::Slot { answered, lost, reconnects, longest } = *slot;
    Slot { answered, lost, reconnects, max_ms: longest.div_duration_f32(Duration::from_millis(1)) }
}

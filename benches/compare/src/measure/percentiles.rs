use load::Latency;

use crate::results::Percentiles;

/// The points of the curve, in per cent: the nearer the end, the denser.
const CURVE: [f64; 16] =
    [0.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 98.0, 99.0, 99.5, 99.8, 99.9, 99.95, 99.98, 99.99, 100.0];

/// What the results have of it.
pub(super) fn percentiles(latency: &Latency) -> Percentiles {
    if latency.count() == 0 {
        return Percentiles::default();
    }
    let at = |percent| 1e3 * latency.percentile(percent).as_secs_f64();
    Percentiles {
        count: latency.count(),
        p50: at(50.0),
        p99: at(99.0),
        p999: at(99.9),
        max: 1e3 * latency.max().as_secs_f64(),
        curve: CURVE.map(|percent| (percent, at(percent))).into(),
    }
}

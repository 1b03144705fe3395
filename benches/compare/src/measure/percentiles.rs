use load::Latency;

use crate::results::Percentiles;

/// What the results have of it.
pub(super) fn percentiles(latency: &Latency) -> Percentiles {
    if latency.count() == 0 {
        return Percentiles::default();
    }
    let at = |percent| ms(latency.percentile(percent));
    Percentiles {
        count: latency.count(),
        p50: at(50.0),
        p99: at(99.0),
        p999: at(99.9),
        max: ms(latency.max()),
        curve: latency.curve().map(|(percent, time)| (percent, ms(time))).collect(),
    }
}

fn ms(time: std::time::Duration) -> f64 {
    1e3 * time.as_secs_f64()
}

//! How long answers took.

use std::{fmt, ops::AddAssign, time::Duration};

use hdrhistogram::Histogram;

/// How long answers took, from the client's wish to ask (so with the connection, where it needed one, and with the time for
/// which a request was overdue) to the last byte. Three digits, from a microsecond to a minute.
#[derive(Clone)]
pub struct Latency(Histogram<u64>);

impl Latency {
    const LONGEST: Duration = Duration::from_secs(60);

    pub(crate) fn record(&mut self, took: Duration) {
        let took = took.min(Self::LONGEST).as_micros();
        self.0.saturating_record(u64::try_from(took).expect("a minute in microseconds fits"));
    }

    /// How many were recorded.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time within which this part of the answers came: `percentile(99.0)`.
    pub fn percentile(&self, percent: f64) -> Duration {
        Duration::from_micros(self.0.value_at_percentile(percent))
    }

    /// The curve of percentiles: (per cent, time within which so many of the answers came), both rising, from the
    /// shortest to the longest at 100 per cent. It has twenty points for each halving of the distance to 100, so that its
    /// tail is as detailed as its beginning; empty where nothing was recorded.
    pub fn curve(&self) -> impl Iterator<Item = (f64, Duration)> {
        self.0
            .iter_quantiles(20)
            .map(|point| (point.quantile_iterated_to() * 100.0, Duration::from_micros(point.value_iterated_to())))
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        Duration::from_micros(self.0.max())
    }
}

impl Default for Latency {
    fn default() -> Self {
        let longest = u64::try_from(Self::LONGEST.as_micros()).expect("a minute in microseconds fits");
        Self(Histogram::new_with_bounds(1, longest, 3).expect("the bounds are in order"))
    }
}

impl AddAssign<&Self> for Latency {
    fn add_assign(&mut self, other: &Self) {
        self.0.add(&other.0).expect("both have the same bounds");
    }
}

/// As `Display`: some ten thousand counts tell a reader nothing.
impl fmt::Debug for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `p50 0.412  p99 1.031  max 9.887 ms`, or `none`.
impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.count() == 0 {
            return f.write_str("none");
        }
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let (p50, p99, max) = (ms(self.percentile(50.0)), ms(self.percentile(99.0)), ms(self.max()));
        write!(f, "p50 {p50:8.3}  p99 {p99:8.3}  max {max:8.3} ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_add_up() {
        let (mut all, mut more) = (Latency::default(), Latency::default());
        all.record(Duration::from_millis(1));
        more.record(Duration::from_millis(9));
        all += &more;
        assert_eq!(all.count(), 2);
        assert!(all.max() >= Duration::from_millis(9) && all.percentile(50.0) < Duration::from_millis(2));
    }

    #[test]
    fn the_curve_rises_to_the_longest_at_a_hundred_per_cent() {
        let mut latency = Latency::default();
        assert_eq!(latency.curve().count(), 0);
        (1..=10_000).for_each(|us| latency.record(Duration::from_micros(us)));
        let curve: Vec<_> = latency.curve().collect();
        assert!(curve.is_sorted() && curve.len() < 400, "{} points", curve.len());
        assert_eq!(curve.last(), Some(&(100.0, latency.max())));
        for (percent, time) in curve {
            let least = Duration::from_secs_f64(percent / 100.0 * 0.01);
            assert!(time >= least && time <= least + Duration::from_micros(20), "{percent} % within {time:?}");
        }
    }

    #[test]
    fn the_curve_of_one_answer_ends() {
        let mut latency = Latency::default();
        latency.record(Duration::from_millis(5));
        assert_eq!(latency.curve().last(), Some((100.0, latency.max())));
        assert!(latency.curve().count() < 3);
    }

    #[test]
    fn what_takes_longer_than_a_minute_is_recorded_as_a_minute() {
        let mut latency = Latency::default();
        latency.record(Duration::MAX);
        assert_eq!(latency.max().as_secs(), 60);
    }
}

//! Medians, because the machine is shared.

use std::{fmt, time::Duration};

/// The median of some samples, and between what bounds it lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    /// The 95 % bootstrap confidence interval of the median.
    pub(crate) interval: (f64, f64),
}

impl Summary {
    pub(crate) fn of(samples: &[f64]) -> Self {
        const ROUNDS: usize = 2_000;
        // splitmix64 with a fixed seed: the same samples have the same interval.
        let mut state = 1_u64;
        let mut random = |below: usize| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed ^ (mixed >> 31)) as usize % below
        };
        let medians: Vec<_> = (0..ROUNDS)
            .map(|_| quantile(&samples.iter().map(|_| samples[random(samples.len())]).collect::<Vec<_>>(), 0.5))
            .collect();
        let interval = (quantile(&medians, 0.025), quantile(&medians, 0.975));
        Self { median: quantile(samples, 0.5), interval }
    }
}

/// `0.993 [0.981, 1.004]`
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { median, interval: (low, high) } = self;
        write!(f, "{median:.3} [{low:.3}, {high:.3}]")
    }
}

/// Between the two nearest samples. Not a number where there is none.
pub(crate) fn quantile(samples: &[f64], part: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let at = part * last as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    below + (above - below) * at.fract()
}

pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

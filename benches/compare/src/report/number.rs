//! How figures are written.

/// A count: `7`, `1 234 567`, with thin spaces.
pub(super) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position) % 3 == 0 {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

/// So many of something for each of something else: `64`, `2.3`, `0`.
pub(super) fn ratio(value: f64) -> String {
    match value {
        _ if value >= 10.0 || value == value.trunc() => count(value.round() as u64),
        // Not `0.0`: that is nothing, and this is something.
        _ if value < 0.1 => "<0.1".to_owned(),
        _ => format!("{value:.1}"),
    }
}

/// A time, by three digits: `0.412`, `1.03`, `57.3`, `2 114`.
pub(super) fn milliseconds(value: f64) -> String {
    match value {
        _ if value < 1.0 => format!("{value:.3}"),
        _ if value < 10.0 => format!("{value:.2}"),
        _ if value < 100.0 => format!("{value:.1}"),
        _ => count(value.round() as u64),
    }
}

/// A time with its unit, for the tick of an axis: `10 µs`, `1 ms`, `10 s`.
pub(super) fn time(milliseconds: f64) -> String {
    let (value, unit) = match milliseconds {
        ms if ms < 0.999 => (ms * 1e3, "µs"),
        ms if ms < 999.0 => (ms, "ms"),
        ms => (ms / 1e3, "s"),
    };
    format!("{} {unit}", short(value))
}

/// A round number, for the tick of an axis: `0`, `0.5`, `200`, `20k`, `3M`.
pub(super) fn short(value: f64) -> String {
    let (value, suffix) = match value {
        _ if value >= 1e6 => (value / 1e6, "M"),
        _ if value >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    // Digits beyond these come of binary fractions.
    format!("{}{suffix}", (value * 1e6).round() / 1e6)
}

/// The middle one of samples. `None` of none.
pub(crate) fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

/// No longer than so many characters: a name of any length must leave room for what stands beside it.
pub(super) fn shortened(text: &str, characters: usize) -> String {
    if text.chars().count() <= characters {
        return text.to_owned();
    }
    text.chars().take(characters.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_by_three() {
        let grouped = [7, 999, 1_000, 12_345, 1_234_567].map(|value| count(value).replace('\u{202f}', " "));
        assert_eq!(grouped, ["7", "999", "1 000", "12 345", "1 234 567"]);
    }

    #[test]
    fn times_keep_three_digits() {
        let written = [0.0, 0.041_23, 1.031, 57.28, 2_113.8].map(|value| milliseconds(value).replace('\u{202f}', " "));
        assert_eq!(written, ["0.000", "0.041", "1.03", "57.3", "2 114"]);
    }

    #[test]
    fn ticks_are_short_and_have_units() {
        assert_eq!([0.01, 0.1, 1.0, 100.0, 1e3, 1e5].map(time), ["10 µs", "100 µs", "1 ms", "100 ms", "1 s", "100 s"]);
        assert_eq!([0.0, 0.2 + 0.1, 500.0, 20e3, 3e6].map(short), ["0", "0.3", "500", "20k", "3M"]);
        assert_eq!(
            [0.0, 0.03, 0.25, 64.0, 2_667.4].map(ratio).map(|text| text.replace('\u{202f}', " ")),
            ["0", "<0.1", "0.2", "64", "2 667"]
        );
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        assert_eq!((shortened("größer", 4), shortened("größer", 6)), ("grö…".into(), "größer".into()));
    }

    #[test]
    fn nothing_has_no_median() {
        assert_eq!((median(&[]), median(&[3.0, 1.0, 2.0])), (None, Some(2.0)));
    }
}

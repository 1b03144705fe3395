//! Our scales, as the plotting library wants its axes.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

use crate::report::scale::Scale;

impl Ranged for Scale {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        from + (f64::from(to - from) * self.position(*value)).round() as i32
    }

    /// Only those that bear a label: lines between them would say nothing more.
    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks().to_vec() }
    }

    fn range(&self) -> Range<f64> {
        Self::range(self)
    }
}

impl ValueFormatter<f64> for Scale {
    fn format(value: &f64) -> String {
        // An axis gives its own labels to the mesh; this one is asked for where it was forgotten.
        value.to_string()
    }

    fn format_ext(&self, value: &f64) -> String {
        self.label(*value)
    }
}

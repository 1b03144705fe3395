//! Percentiles of latency, of all systems.

use plotters::{
    element::Text,
    series::LineSeries,
    style::{
        Color as _,
        text_anchor::{HPos, VPos},
    },
};

use super::{
    canvas::{FINE, Margins, bold, chart, picture, px},
    letters::spread,
};
use crate::{
    report::{palette::Palette, scale::Scale, scenario::Scenario, standing::is_ours},
    results::{Percentiles, Run},
};

const SIZE: (u32, u32) = (470, 290);

/// One curve for each system, with its letter where it ends.
pub(in crate::report) fn curves(
    scenario: &Scenario<'_>,
    palette: &Palette,
    name: &str,
    of: impl Fn(&Run) -> &Percentiles,
) -> anyhow::Result<String> {
    let (nines, times) = (Scale::nines(), scenario.curve_axis());
    picture(SIZE, name, |area| {
        let mut chart = chart(area, Margins { top: 10, right: 42, bottom: 24, left: 52 }, &nines, &times)?;
        let mut ends = Vec::new();
        // Ours last, so that it lies above the others.
        let (ours, others): (Vec<_>, Vec<_>) = scenario.runs.iter().partition(|run| is_ours(run));
        for run in others.into_iter().chain(ours) {
            let hue = palette.hue(run);
            let curve = shown(&of(run).curve);
            let Some(&end) = curve.last() else { continue };
            ends.push((chart.backend_coord(&end), hue));
            let width = if is_ours(run) { 2 * FINE + FINE / 2 } else { FINE + FINE / 2 };
            chart.draw_series(LineSeries::new(curve, hue.color.stroke_width(width)))?;
        }
        let heights: Vec<_> = ends.iter().map(|((_, y), _)| *y).collect();
        let heights = spread(&heights, px(12), (px(12), px(SIZE.1 - 28)));
        for (((x, _), hue), height) in ends.into_iter().zip(heights) {
            let style = bold(11.0, hue.color, (HPos::Left, VPos::Center));
            area.draw(&Text::new(hue.letter.to_string(), (x + px(6), height), style))?;
        }
        Ok(())
    })
}

/// The part of a curve that is drawn: from the middle to where the axis ends. Of few requests the curve jumps over that end;
/// it goes there all the same, as high as its next point, for that is the latency of all in between.
fn shown(curve: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let end = Scale::MOST_NINES;
    let within = curve.iter().copied().filter(|(percent, _)| (50.0..=end).contains(percent));
    let beyond = curve.iter().find(|(percent, _)| *percent > end).map(|(_, ms)| (end, *ms));
    within.chain(beyond).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_drawn_from_the_middle_to_the_end_of_the_axis() {
        let curve = [(0.0, 1.0), (50.0, 2.0), (99.0, 3.0), (99.995, 4.0), (100.0, 5.0)];
        assert_eq!(shown(&curve), [(50.0, 2.0), (99.0, 3.0), (99.99, 4.0)]);
    }

    #[test]
    fn the_curve_of_a_single_answer_is_a_point() {
        assert_eq!(shown(&[(100.0, 5.0)]), [(99.99, 5.0)]);
        assert_eq!(shown(&[]), []);
    }
}

//! Counts of all systems, as bars.

use plotters::{
    element::{Rectangle, Text},
    style::{
        Color as _,
        text_anchor::{HPos, VPos},
    },
};

use super::canvas::{ALARM, INK, Margins, bold, chart, picture, px, text};
use crate::{
    report::{
        number::{count, shortened},
        palette::Palette,
        scale::Scale,
        scenario::Scenario,
    },
    results::Run,
};

const WIDTH: u32 = 470;
const ROW: u32 = 32;
const MARGINS: Margins = Margins { top: 4, right: 16, bottom: 22, left: 10 };

/// One bar for each system, beneath its name and its figure: names are as long as they are.
pub(in crate::report) fn bars(
    scenario: &Scenario<'_>,
    palette: &Palette,
    name: &str,
    of: impl Fn(&Run) -> (u64, String),
) -> anyhow::Result<String> {
    let rows = u32::try_from(scenario.runs.len())?;
    let counts = Scale::counts(scenario.runs.iter().map(|run| of(run).0).max().unwrap_or(0));
    let height = Scale::rows(rows);
    picture((WIDTH, MARGINS.top + ROW * rows + MARGINS.bottom), name, |area| {
        let mut chart = chart(area, MARGINS, &counts, &height)?;
        for (row, run) in (0..rows).zip(&scenario.runs) {
            let ((value, kinds), hue) = (of(run), palette.hue(run));
            // Rows count from above, the axis from below.
            let bottom = f64::from(rows - row);
            let bar = [(0.0, bottom - 0.54), (value as f64, bottom - 0.86)];
            chart.draw_series([Rectangle::new(bar, hue.color.filled())])?;
            let (_, y) = chart.backend_coord(&(0.0, bottom - 0.48));
            let label = format!("{} {}", hue.letter, shortened(&run.system, 32));
            area.draw(&Text::new(label, (px(14), y), text(11.0, INK, (HPos::Left, VPos::Bottom))))?;
            let color = if value > 0 && !kinds.is_empty() { ALARM } else { INK };
            let figure =
                if kinds.is_empty() { count(value) } else { format!("{} ({})", count(value), shortened(&kinds, 24)) };
            area.draw(&Text::new(figure, (px(WIDTH - 16), y), bold(11.0, color, (HPos::Right, VPos::Bottom))))?;
        }
        Ok(())
    })
}

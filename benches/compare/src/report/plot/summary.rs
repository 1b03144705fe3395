//! The picture that README shows.

use plotters::{
    element::{PathElement, Rectangle, Text},
    style::{
        Color as _, WHITE,
        text_anchor::{HPos, VPos},
    },
};

use super::canvas::{FAINT, FINE, GRID, INK, bold, picture, px, text};
use crate::{
    report::{
        number::{milliseconds, ratio, shortened},
        palette::Palette,
        scenario::Scenario,
        standing::is_ours,
    },
    results::{Machine, Run},
};

const WIDTH: u32 = 800;
const ROW: u32 = 28;
const ABOVE: u32 = 92;
const BELOW: u32 = 34;
/// Where the names end and the figures begin.
const NAMES: u32 = 226;

/// What one restart does to clients, at one glance: for each system what was lost, what was opened again, and the longest
/// wait. On a ground of its own, for white pages and black ones.
pub(in crate::report) fn summary(
    scenario: Option<&Scenario<'_>>,
    palette: &Palette,
    machine: &Machine,
) -> anyhow::Result<String> {
    let runs: Vec<&Run> = scenario.iter().flat_map(|scenario| &scenario.runs).copied().collect();
    let runs: Vec<&Run> = runs.into_iter().filter(|run| !run.restarts.is_empty()).collect();
    let rows = u32::try_from(runs.len())?;
    let size = (WIDTH, ABOVE + ROW * rows + BELOW);
    picture(size, "What one restart does to clients", |area| {
        let frame = [(0, 0), (px(size.0), px(size.1))];
        area.draw(&Rectangle::new(frame, WHITE.filled()))?;
        let write = |words: String, x: u32, y: u32, style| area.draw(&Text::new(words, (px(x), px(y)), style));
        write("What one restart does to clients".into(), 20, 18, bold(19.0, INK, (HPos::Left, VPos::Top)))?;
        let about = match scenario {
            Some(scenario) => {
                format!(
                    "{}, per restart; the longest wait is of those that were answered; shorter is better",
                    scenario.name
                )
            }
            None => "no run with a restart".into(),
        };
        write(shortened(&about, 100), 20, 44, text(12.5, FAINT, (HPos::Left, VPos::Top)))?;
        for (row, run) in (0..rows).zip(&runs) {
            let style = if is_ours(run) { bold } else { text };
            let middle = ABOVE + ROW * row + ROW / 2;
            write(shortened(&run.system, 31), NAMES - 10, middle, style(12.5, INK, (HPos::Right, VPos::Center)))?;
        }
        for (number, column) in (0..).zip(Column::ALL) {
            let wide = (WIDTH - NAMES - 20) / 3;
            let left = NAMES + number * wide;
            write(column.name().into(), left, ABOVE - 12, bold(12.0, INK, (HPos::Left, VPos::Bottom)))?;
            let line = [(px(left), px(ABOVE - 4)), (px(left), px(ABOVE + ROW * rows + 4))];
            area.draw(&PathElement::new(line, GRID.stroke_width(FINE)))?;
            let most = runs.iter().filter_map(|run| column.of(run)).fold(0.0, f64::max);
            for (row, run) in (0..rows).zip(&runs) {
                let top = ABOVE + ROW * row;
                let value = column.of(run);
                // Room is kept for the figure behind the longest bar.
                let length = (f64::from(wide - 72) * value.map_or(0.0, |value| share(value, most))).round() as u32;
                let bar = [(px(left), px(top + 6)), (px(left + length), px(top + ROW - 6))];
                area.draw(&Rectangle::new(bar, palette.hue(run).color.filled()))?;
                let words = value.map_or_else(|| "–".into(), |value| column.write(value));
                let style = if value == Some(0.0) { bold } else { text };
                write(words, left + length + 6, top + ROW / 2, style(12.5, INK, (HPos::Left, VPos::Center)))?;
            }
        }
        let foot = format!("{} · {}, {} cores · {}", machine.date, machine.processor, machine.cores, machine.kernel);
        write(shortened(&foot, 110), 20, size.1 - 12, text(10.5, FAINT, (HPos::Left, VPos::Bottom)))?;
        Ok(())
    })
}

#[derive(Clone, Copy, Debug)]
enum Column {
    Lost,
    Reopened,
    Longest,
}

impl Column {
    const ALL: [Self; 3] = [Self::Lost, Self::Reopened, Self::Longest];

    fn name(self) -> &'static str {
        match self {
            Self::Lost => "requests lost",
            Self::Reopened => "connections reopened",
            Self::Longest => "longest wait",
        }
    }

    fn of(self, run: &Run) -> Option<f64> {
        match self {
            Self::Lost => run.per_restart(run.lost),
            Self::Reopened => run.per_restart(run.reconnects),
            Self::Longest => (run.in_restarts.count > 0).then_some(run.in_restarts.max),
        }
    }

    fn write(self, value: f64) -> String {
        match self {
            Self::Lost | Self::Reopened => ratio(value),
            Self::Longest => format!("{} ms", milliseconds(value)),
        }
    }
}

/// How long a bar is beside the longest.
fn share(value: f64, most: f64) -> f64 {
    if most > 0.0 { (value / most).clamp(0.0, 1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_has_the_whole_length() {
        assert_eq!((share(3.0, 3.0), share(1.5, 3.0), share(0.0, 0.0)), (1.0, 0.5, 0.0));
    }
}

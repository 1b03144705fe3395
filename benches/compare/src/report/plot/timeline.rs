//! A run over time.

use plotters::{
    element::{PathElement, Rectangle, Text},
    series::{AreaSeries, LineSeries},
    style::{
        Color as _,
        text_anchor::{HPos, VPos},
    },
};

use super::{
    canvas::{ALARM, Area, Chart, FAINT, FINE, INK, Margins, bold, chart, picture, px, text},
    columns::{columns, extremes},
};
use crate::{
    report::{number, palette::Hue, scale::Scale, scenario::Axes},
    results::Run,
};

const SIZE: (u32, u32) = (380, 250);
/// Two to a pixel.
const COLUMNS: usize = 600;

/// Requests above, latency below, on one clock, with the restarts marked in both.
pub(in crate::report) fn timeline(run: &Run, hue: &Hue, axes: &Axes) -> anyhow::Result<String> {
    let name = format!("{}: answers and the longest latency over time", run.system);
    picture(SIZE, &name, |area| {
        let (above, below) = area.split_vertically(px(118));
        let title = |area: &Area<'_>, words: &str| {
            area.draw(&Text::new(words.to_owned(), (px(46), px(6)), text(10.5, FAINT, (HPos::Left, VPos::Top))))
        };
        title(&above, &format!("answered requests per {} ms", number::short(run.slot_ms)))?;
        title(&below, "longest latency of an answer (logarithmic)")?;
        requests(&above, run, hue, axes)?;
        latency(&below, run, hue, axes)
    })
}

fn requests(area: &Area<'_>, run: &Run, hue: &Hue, axes: &Axes) -> anyhow::Result<()> {
    let (seconds, answered) = (&axes.seconds, &axes.requests);
    let mut chart = chart(area, Margins { top: 22, right: 12, bottom: 0, left: 46 }, seconds, answered)?;
    mark_restarts(&mut chart, run, answered)?;
    let mut line = Vec::new();
    for column in columns(run.timeline.len(), COLUMNS) {
        let at = column.start as f64 * run.slot_ms / 1e3;
        // First the trough: where a column has one, the line goes down to it and up again.
        if let Some((least, most)) = extremes(run.timeline[column].iter().map(|slot| f64::from(slot.answered))) {
            line.extend([(at, least), (at, most)]);
            line.dedup();
        }
    }
    chart.draw_series(AreaSeries::new(line.iter().copied(), 0.0, hue.color.mix(0.18)))?;
    chart.draw_series(LineSeries::new(line, hue.color.stroke_width(FINE)))?;
    let top = answered.range().end;
    let lost =
        columns(run.timeline.len(), COLUMNS).filter(|slots| run.timeline[slots.clone()].iter().any(|s| s.lost > 0));
    let lost = lost.map(|slots| {
        let place = |slot: usize| slot as f64 * run.slot_ms / 1e3;
        Rectangle::new([(place(slots.start), top), (place(slots.end), top * 0.9)], ALARM.filled())
    });
    chart.draw_series(lost)?;
    if run.lost > 0 {
        let (words, style) = (format!("{} lost", number::count(run.lost)), bold(10.5, ALARM, (HPos::Right, VPos::Top)));
        area.draw(&Text::new(words, (px(SIZE.0 - 12), px(6)), style))?;
    }
    Ok(())
}

fn latency(area: &Area<'_>, run: &Run, hue: &Hue, axes: &Axes) -> anyhow::Result<()> {
    let (seconds, latency) = (&axes.seconds, &axes.latency);
    let mut chart = chart(area, Margins { top: 22, right: 12, bottom: 22, left: 46 }, seconds, latency)?;
    mark_restarts(&mut chart, run, latency)?;
    let least = latency.range().start;
    let mut steps = Vec::new();
    for column in columns(run.timeline.len(), COLUMNS) {
        let (from, to) = (column.start as f64 * run.slot_ms / 1e3, column.end as f64 * run.slot_ms / 1e3);
        let longest = run.timeline[column].iter().map(|slot| f64::from(slot.max_ms)).fold(0.0, f64::max);
        steps.extend([(from, longest), (to, longest)]);
    }
    chart.draw_series(AreaSeries::new(steps, least, hue.color.mix(0.75)))?;
    Ok(())
}

fn mark_restarts(chart: &mut Chart<'_, '_>, run: &Run, height: &Scale) -> anyhow::Result<()> {
    let marks = run.restarts.iter().map(|restart| {
        let (at, range) = (*restart, height.range());
        PathElement::new([(at, range.start), (at, range.end)], INK.stroke_width(FINE))
    });
    chart.draw_series(marks)?;
    Ok(())
}

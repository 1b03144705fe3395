//! A run over time.

use std::ops::Range;

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
    report::{
        number,
        palette::Hue,
        scale::Scale,
        scenario::{Axes, From},
    },
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
    mark_restarts(&mut chart, run, axes, answered)?;
    let mut line = Vec::new();
    for column in columns(shown(run, axes), COLUMNS) {
        let at = begins(column.start, run, axes);
        // First the trough: where a column has one, the line goes down to it and up again.
        if let Some((least, most)) = extremes(run.timeline[column].iter().map(|slot| f64::from(slot.answered))) {
            line.extend([(at, least), (at, most)]);
            line.dedup();
        }
    }
    chart.draw_series(AreaSeries::new(line.iter().copied(), 0.0, hue.color.mix(0.18)))?;
    chart.draw_series(LineSeries::new(line, hue.color.stroke_width(FINE)))?;
    let top = answered.range().end;
    let slots =
        columns(shown(run, axes), COLUMNS).filter(|slots| run.timeline[slots.clone()].iter().any(|s| s.lost > 0));
    let ticks = slots.map(|slots| {
        Rectangle::new(
            [(begins(slots.start, run, axes), top), (begins(slots.end, run, axes), top * 0.9)],
            ALARM.filled(),
        )
    });
    chart.draw_series(ticks)?;
    let lost = lost(run, axes);
    if lost > 0 {
        let (words, style) = (format!("{} lost", number::count(lost)), bold(10.5, ALARM, (HPos::Right, VPos::Top)));
        area.draw(&Text::new(words, (px(SIZE.0 - 12), px(6)), style))?;
    }
    Ok(())
}

fn latency(area: &Area<'_>, run: &Run, hue: &Hue, axes: &Axes) -> anyhow::Result<()> {
    let (seconds, latency) = (&axes.seconds, &axes.latency);
    let mut chart = chart(area, Margins { top: 22, right: 12, bottom: 22, left: 46 }, seconds, latency)?;
    mark_restarts(&mut chart, run, axes, latency)?;
    let least = latency.range().start;
    let mut steps = Vec::new();
    for column in columns(shown(run, axes), COLUMNS) {
        let (from, to) = (begins(column.start, run, axes), begins(column.end, run, axes));
        let longest = run.timeline[column].iter().map(|slot| f64::from(slot.max_ms)).fold(0.0, f64::max);
        steps.extend([(from, longest), (to, longest)]);
    }
    chart.draw_series(AreaSeries::new(steps, least, hue.color.mix(0.75)))?;
    Ok(())
}

fn mark_restarts(chart: &mut Chart<'_, '_>, run: &Run, axes: &Axes, height: &Scale) -> anyhow::Result<()> {
    let (seconds, height) = (axes.seconds.range(), height.range());
    let restarts = run.restarts.iter().map(|restart| restart - axes.from.of(run));
    let marks = restarts
        .filter(|at| seconds.contains(at))
        .map(|at| PathElement::new([(at, height.start), (at, height.end)], INK.mix(0.6).stroke_width(FINE)));
    chart.draw_series(marks)?;
    Ok(())
}

/// How many requests were lost in the time that is shown.
fn lost(run: &Run, axes: &Axes) -> u64 {
    match axes.from {
        From::Load => run.lost,
        From::FirstRestart => run.timeline[shown(run, axes)].iter().map(|slot| u64::from(slot.lost)).sum(),
    }
}

/// The slots that lie on the axis.
fn shown(run: &Run, axes: &Axes) -> Range<usize> {
    let slot = |seconds: f64| (seconds + axes.from.of(run)) * 1e3 / run.slot_ms;
    let (from, to) = (slot(axes.seconds.range().start).round(), slot(axes.seconds.range().end).round());
    // Of a run without slots both are no number, which makes them 0.
    let to = (to as usize).min(run.timeline.len());
    (from as usize).min(to)..to
}

/// When a slot begins, on the axis.
fn begins(slot: usize, run: &Run, axes: &Axes) -> f64 {
    slot as f64 * run.slot_ms / 1e3 - axes.from.of(run)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{report::scenario::Scenario, results::Slot};

    #[test]
    fn a_close_up_shows_the_slots_around_the_first_restart() {
        let mut timeline = vec![Slot::default(); 400];
        (timeline[89].lost, timeline[90].lost, timeline[144].lost, timeline[200].lost) = (1, 2, 4, 8);
        let restarts = vec![1.0, 2.0];
        let run = Run {
            seconds: 4.0,
            slot_ms: 10.0,
            restarts,
            restart_ms: vec![300.0],
            timeline,
            lost: 15,
            ..Run::default()
        };
        let scenario = Scenario { name: "", runs: vec![&run] };
        let (whole, near) = (scenario.axes(), scenario.close_up().unwrap());
        assert_eq!((shown(&run, &whole), shown(&run, &near)), (0..400, 90..145));
        assert!(begins(100, &run, &near).abs() < 1e-9 && (begins(100, &run, &whole) - 1.0).abs() < 1e-9);
        assert_eq!((lost(&run, &whole), lost(&run, &near)), (15, 6));
        let empty = Run { restarts: vec![0.05], ..Run::default() };
        assert_eq!((shown(&empty, &whole), shown(&empty, &near)), (0..0, 0..0));
        let early = Run { restarts: vec![0.05], ..run.clone() };
        assert_eq!(shown(&early, &near), 0..50, "there is nothing before the beginning");
    }
}

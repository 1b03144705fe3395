//! What a picture is drawn on.

use anyhow::Context as _;
use maud::Render as _;
use plotters::{
    chart::{ChartBuilder, ChartContext},
    coord::Shift,
    prelude::{Cartesian2d, DrawingArea, IntoDrawingArea as _, SVGBackend},
    style::{
        Color as _, FontFamily, FontStyle, IntoFont as _, RGBColor, TextStyle,
        text_anchor::{HPos, Pos, VPos},
    },
};

use crate::report::scale::Scale;

pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(super) type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Scale, Scale>>;

/// The library draws at whole pixels only. At four to each of the page's, curves are smooth and thin lines thin.
pub(super) const FINE: u32 = 4;

/// What is written and what is measured with. The page's style sheet knows these colours by their values, and replaces them
/// on a dark screen: the library writes colours, not classes.
pub(super) const INK: RGBColor = RGBColor(0x22, 0x26, 0x2b);
pub(super) const FAINT: RGBColor = RGBColor(0x6a, 0x72, 0x7c);
pub(super) const GRID: RGBColor = RGBColor(0xdd, 0xe1, 0xe6);
/// What was lost.
pub(super) const ALARM: RGBColor = RGBColor(0xc6, 0x28, 0x28);

const FAMILY: FontFamily<'_> = FontFamily::Name("system-ui, 'DejaVu Sans', Helvetica, Arial, sans-serif");

/// A picture of this size, in the page's pixels, with a name for whoever can't see it.
pub(super) fn picture(
    size: (u32, u32),
    name: &str,
    draw: impl FnOnce(&Area<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<String> {
    let (width, height) = size;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (width * FINE, height * FINE)).into_drawing_area();
        draw(&area)?;
        area.present()?;
    }
    // The library's own tag has the fine size, and no name.
    let (_, content) = svg.split_once('>').context("a picture begins with a tag")?;
    let (name, fine) = (name.render().into_string(), (width * FINE, height * FINE));
    Ok(format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{name}" width="{width}" height="{height}" viewBox="0 0 {} {}">{content}"#,
        fine.0, fine.1
    ))
}

/// Text of this size, in the page's pixels.
pub(super) fn text(size: f64, color: RGBColor, (horizontal, vertical): (HPos, VPos)) -> TextStyle<'static> {
    // The library writes a font 1.24 times smaller than it is asked for.
    let font = (FAMILY, size * f64::from(FINE) * 1.24).into_font();
    font.color(&color).pos(Pos::new(horizontal, vertical))
}

/// The same, bold.
pub(super) fn bold(size: f64, color: RGBColor, (horizontal, vertical): (HPos, VPos)) -> TextStyle<'static> {
    let font = (FAMILY, size * f64::from(FINE) * 1.24, FontStyle::Bold).into_font();
    font.color(&color).pos(Pos::new(horizontal, vertical))
}

/// Pixels of the page, as the library counts them.
pub(super) fn px(pixels: u32) -> i32 {
    i32::try_from(pixels * FINE).expect("pictures are small")
}

/// How much room a chart keeps around itself, in the page's pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Margins {
    pub(super) top: u32,
    pub(super) right: u32,
    /// For the labels of the axis below: none where that is 0.
    pub(super) bottom: u32,
    pub(super) left: u32,
}

/// A chart with its axes and its grid.
pub(super) fn chart<'a, 'b>(
    area: &'a Area<'b>,
    margins: Margins,
    x: &Scale,
    y: &Scale,
) -> anyhow::Result<Chart<'a, 'b>> {
    let mut chart = ChartBuilder::on(area)
        .margin_top(px(margins.top))
        .margin_right(px(margins.right))
        .set_left_and_bottom_label_area_size(0)
        .x_label_area_size(px(margins.bottom))
        .y_label_area_size(px(margins.left))
        .build_cartesian_2d(x.clone(), y.clone())?;
    let label = text(10.5, FAINT, (HPos::Center, VPos::Center));
    chart
        .configure_mesh()
        .light_line_style(plotters::style::TRANSPARENT)
        .bold_line_style(GRID.stroke_width(FINE))
        .axis_style(GRID.stroke_width(FINE))
        .set_all_tick_mark_size(px(4))
        .label_style(label)
        .x_label_formatter(&|value| x.label(*value))
        .y_label_formatter(&|value| y.label(*value))
        .draw()?;
    Ok(chart)
}

//! The page that shows it all, without scripts and without a network.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{
    how::how,
    number::{count, milliseconds},
    palette::{Hue, Palette},
    plot,
    scenario::{Axes, Scenario},
    standing::{Better, Figure, behind, is_ours, undecided},
};
use crate::results::{LeftOut, Machine, Results, Run};

/// The page, with the picture that sums it up.
pub(super) fn page(results: &Results, summary: &str) -> anyhow::Result<String> {
    let (palette, scenarios) = (Palette::of(results), Scenario::all(results));
    let sections = (0..)
        .zip(&scenarios)
        .map(|(number, scenario)| section(number, scenario, &palette))
        .collect::<Result<Vec<_>, _>>()?;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "What a restart does to clients" }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body {
                header {
                    h1 { "What a restart does to clients" }
                    p { "Servers are restarted under load, and each request of each client is followed to its end." }
                    (about(&results.machine))
                }
                @if !scenarios.is_empty() { figure.card { (PreEscaped(summary)) } }
                nav {
                    ul {
                        @for (number, scenario) in scenarios.iter().enumerate() {
                            li { a href={ "#s" (number) } { (scenario.name) } }
                        }
                        li { a href="#left-out" { "Left out" } }
                        li { a href="#how" { "How it was measured" } }
                    }
                }
                main { @for section in sections { (section) } }
                (left_out(&results.left_out))
                (how(&results.machine))
            }
        }
    };
    Ok(page.into_string())
}

fn about(machine: &Machine) -> Markup {
    let versions = machine.versions.iter().map(|(name, version)| format!("{name} {version}"));
    html! {
        dl {
            dt { "Date" } dd { (machine.date) }
            dt { "Machine" }
            dd { (machine.processor) ", " (machine.cores) " cores, " (format!("{:.1}", machine.memory_gib)) " GiB; " (machine.kernel) }
            dt { "Command" } dd { code { (machine.command) } }
            dt { "Versions" } dd { (versions.collect::<Vec<_>>().join(", ")) }
        }
    }
}

fn section(number: usize, scenario: &Scenario<'_>, palette: &Palette) -> anyhow::Result<Markup> {
    let has_timeline = scenario.runs.iter().any(|run| !run.timeline.is_empty());
    let whole = timelines(&scenario.runs, palette, &scenario.axes())?;
    let restarted: Vec<&Run> = scenario.runs.iter().copied().filter(|run| !run.restarts.is_empty()).collect();
    let near = scenario.close_up().map(|axes| timelines(&restarted, palette, &axes)).transpose()?;
    let outside = plot::curves(scenario, palette, "Latency of requests that met no restart", |run| &run.outside)?;
    let in_restarts =
        plot::curves(scenario, palette, "Latency of requests that met a restart", |run| &run.in_restarts)?;
    let lost = plot::bars(scenario, palette, "Requests lost", |run| (run.lost, run.losses()))?;
    let reopened = plot::bars(scenario, palette, "Connections reopened", |run| (run.reconnects, String::new()))?;
    Ok(html! {
        section id={ "s" (number) } {
            h2 { (scenario.name) }
            (figures(scenario, palette))
            (remarks(scenario))
            (further(scenario, palette))
            @if has_timeline {
                h3 { "Over time" }
                p.faint {
                    "Common axes. A vertical line is where a restart was asked for; red at the upper edge, where requests were lost."
                }
                (whole)
                @if let Some(near) = near { h3 { "The first restart, from near" } (near) }
            }
            h3 { "Latency by percentile" }
            p.faint { "So much of the answers (across) came within this time (up). Both axes are logarithmic." }
            ul.legend { @for run in &scenario.runs { li { (key(palette.hue(run))) (run.system) } } }
            div.grid.wide {
                (figure(html! { "Requests that met no restart" }, &outside))
                (figure(html! { "Requests that met a restart" }, &in_restarts))
            }
            h3 { "Errors and reconnects of the whole run" }
            p.faint { "Logarithmic, with a place for none." }
            div.grid.wide {
                (figure(html! { "Requests lost" }, &lost))
                (figure(html! { "Connections opened again" }, &reopened))
            }
        }
    })
}

/// One picture for each run, on common axes.
fn timelines(runs: &[&Run], palette: &Palette, axes: &Axes) -> anyhow::Result<Markup> {
    let mut pictures = Vec::new();
    for run in runs {
        let hue = palette.hue(run);
        pictures.push(figure(html! { (key(hue)) (hue.system) }, &plot::timeline(run, hue, axes)?));
    }
    Ok(html! { div.grid { @for picture in pictures { (picture) } } })
}

/// The figures by which systems are compared, with those of ours marked that are behind.
fn figures(scenario: &Scenario<'_>, palette: &Palette) -> Markup {
    let latency = |heads: Figure| matches!(heads, Figure::Outside(_) | Figure::InRestarts(_));
    html! {
        div.scroll {
            table {
                thead {
                    tr {
                        th { }
                        th colspan="5" { "the whole run" }
                        th colspan="4" { "ms, without a restart" }
                        th colspan="4" { "ms, in restarts" }
                    }
                    tr {
                        th { "system" }
                        @for figure in Figure::ALL { th { (figure.name()) } }
                    }
                }
                tbody {
                    @for run in &scenario.runs {
                        @let behind = behind(run, &scenario.runs);
                        tr.ours[is_ours(run)] {
                            td { (key(palette.hue(run))) (run.system) }
                            @for figure in Figure::ALL {
                                @let better = behind.iter().find(|better| better.figure == figure);
                                @let lost = figure == Figure::Lost && run.lost > 0;
                                td.lost[lost].behind[better.is_some()] title=[better.map(Better::to_string)] {
                                    @match figure.of(run) {
                                        None => { "–" }
                                        Some(value) if latency(figure) || matches!(figure, Figure::RestartTime | Figure::Cpu) => {
                                            (milliseconds(value))
                                        }
                                        Some(value) => (count(value as u64)),
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Where ours is behind and why, and what else is to be known of each run.
fn remarks(scenario: &Scenario<'_>) -> Markup {
    let remarks = scenario.runs.iter().filter_map(|run| Some((&run.system, remark(run, &scenario.runs)?)));
    html! { ul { @for (system, remark) in remarks { li { b { (system) } ": " (remark) "." } } } }
}

fn remark(run: &Run, scenario: &[&Run]) -> Option<String> {
    let mut parts = Vec::new();
    if run.failed_restarts > 0 {
        parts.push(format!("{} of {} restarts did not succeed", run.failed_restarts, run.all_restarts()));
    }
    let named = |better: Vec<Better>| better.iter().map(Better::to_string).collect::<Vec<_>>().join(", ");
    for (how, better) in
        [("behind in", behind(run, scenario)), ("not decided without rounds:", undecided(run, scenario))]
    {
        if !better.is_empty() {
            parts.push(format!("{how} {}", named(better)));
        }
    }
    parts.extend(run.notes.iter().cloned());
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// Figures that only this scenario has.
fn further(scenario: &Scenario<'_>, palette: &Palette) -> Markup {
    let mut names: Vec<&str> = scenario.runs.iter().flat_map(|run| run.figures.keys()).map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    html! {
        @if !names.is_empty() {
            div.scroll {
                table {
                    thead { tr { th { "system" } @for name in &names { th { (name) } } } }
                    tbody {
                        @for run in &scenario.runs {
                            tr.ours[is_ours(run)] {
                                td { (key(palette.hue(run))) (run.system) }
                                @for name in &names {
                                    td { (run.figures.get(*name).map_or_else(|| "–".to_owned(), |value| milliseconds(*value))) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn left_out(all: &[LeftOut]) -> Markup {
    html! {
        section id="left-out" {
            h2 { "Left out" }
            @if all.is_empty() { p { "Nothing: every system was measured in every scenario." } }
            ul {
                @for one in all {
                    li { b { (one.system) } @if let Some(scenario) = &one.scenario { " in " i { (scenario) } } ": " (one.why) }
                }
            }
        }
    }
}

fn figure(caption: Markup, picture: &str) -> Markup {
    html! { figure { figcaption { (caption) } (PreEscaped(picture)) } }
}

/// A system's letter in its colour.
fn key(hue: &Hue) -> Markup {
    html! { span.key style={ "background:" (hue.css()) } { (hue.letter) } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn nasty() -> String {
        page(&sample::nasty(), "<svg></svg>").unwrap()
    }

    #[test]
    fn a_name_is_text_and_never_markup() {
        let page = nasty();
        for markup in ["<b> &", "<i>not", "<script", "µs per <socket>", "<12:00>", "<installed>"] {
            assert!(!page.contains(markup), "{markup}");
        }
        assert!(page.contains("a &lt;b&gt; &amp; &quot;c&quot;") && page.contains("&lt;i&gt;not&lt;/i&gt;"));
    }

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        let page = nasty().replace(r#"xmlns="http://www.w3.org/2000/svg""#, "");
        for reference in ["http:", "https:", "src=", "@import", "url(", "<script", "<link"] {
            assert!(!page.contains(reference), "{reference}");
        }
    }

    #[test]
    fn no_picture_has_a_coordinate_that_is_no_number() {
        let page = nasty();
        assert!(page.contains("<polygon") && page.contains("<polyline"));
        assert!(!page.contains("NaN") && !page.contains(">inf") && !page.contains(",-2147483648"));
    }

    #[test]
    fn every_gap_is_named() {
        let page = nasty();
        assert!(page.contains("not &lt;installed&gt;") && page.contains("its workers &amp; streams"));
        assert!(self::page(&Results::default(), "").unwrap().contains("Nothing: every system was measured"));
    }

    #[test]
    fn where_ours_is_behind_is_said_with_its_reason() {
        let run = |system: &str, per_second, notes: &[&str]| {
            let (scenario, system) = ("busy".to_owned(), system.to_owned());
            let notes = notes.iter().map(|note| (*note).to_owned()).collect();
            let run = Run { scenario, system, per_second, notes, ..Run::default() };
            Run { rounds: vec![run.clone(); 3], ..run }
        };
        let mut runs = vec![run("ours", 500.0, &["C is small"]), run("nginx", 900.0, &[])];
        let said = |runs: &[Run]| page(&Results { runs: runs.to_vec(), ..Results::default() }, "").unwrap();
        let decided = said(&runs);
        assert!(decided.contains("behind in throughput (nginx: 900/s); C is small."));
        assert!(decided.contains(r#"behind" title="throughput"#));
        runs[0].rounds.clear();
        let open = said(&runs);
        assert!(open.contains("not decided without rounds: throughput (nginx: 900/s)"));
        assert!(!open.contains(r#"behind" title="#));
    }
}

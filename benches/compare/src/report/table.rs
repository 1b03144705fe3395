//! The results as tables of text.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};

use super::{
    number::{count, median, milliseconds, ratio},
    scenario::Scenario,
};
use crate::results::{Percentiles, Results, Run};

/// All of it, for the terminal.
pub(crate) fn table(results: &Results) -> String {
    let mut text = String::new();
    for scenario in Scenario::all(results) {
        let mut table = figures(&scenario.runs);
        table.load_preset(presets::NOTHING);
        writeln!(text, "\n{}\n{}", scenario.name, table.trim_fmt()).expect("writing to a string succeeds");
    }
    for left_out in &results.left_out {
        let scenario = left_out.scenario.as_deref().map_or(String::new(), |scenario| format!(" in {scenario}"));
        let (system, why) = (&left_out.system, &left_out.why);
        write!(text, "\nleft out: {system}{scenario}: {why}").expect("writing to a string succeeds");
    }
    text
}

/// For README: the main scenario, then what each scenario's restarts cost each system.
pub(super) fn markdown(results: &Results) -> String {
    let scenarios = Scenario::all(results);
    let machine = &results.machine;
    let mut text = String::new();
    let mut add = |part: std::fmt::Arguments<'_>| text.write_fmt(part).expect("writing to a string succeeds");
    add(format_args!(
        "{}, {} cores, {}, {}: `{}`\n",
        machine.processor, machine.cores, machine.kernel, machine.date, machine.command
    ));
    if let Some(main) = Scenario::main(&scenarios) {
        let mut table = figures(&main.runs);
        add(format_args!(
            "\nIn the scenario *{}*:\n\n{}\n",
            escaped(main.name),
            table.load_preset(presets::ASCII_MARKDOWN)
        ));
    }
    add(format_args!(
        "\nRequests lost + connections reopened per restart, in each scenario (– : not measured):\n\n{}\n",
        matrix(results, &scenarios).load_preset(presets::ASCII_MARKDOWN)
    ));
    text
}

/// A row for each run.
fn figures(runs: &[&Run]) -> Table {
    let mut table = Table::new();
    table.set_header([
        "system",
        "lost",
        "reopened",
        "restart ms",
        "answers/s",
        "CPU µs/answer",
        "p50 ms",
        "p99",
        "p99.9",
        "max",
        "in restarts: p50 ms",
        "p99",
        "p99.9",
        "max",
    ]);
    for run in runs {
        let restart = median(&run.restart_ms).map_or_else(|| "–".to_owned(), milliseconds);
        let cpu = run.cpu_us.map_or_else(|| "–".to_owned(), milliseconds);
        let rate = count(run.per_second as u64);
        let mut row = vec![escaped(&run.system), count(run.lost), count(run.reconnects), restart, rate, cpu];
        row.extend(percentiles(&run.outside));
        row.extend(percentiles(&run.in_restarts));
        table.add_row(row);
    }
    align(table)
}

/// A row for each scenario, a column for each system.
fn matrix(results: &Results, scenarios: &[Scenario<'_>]) -> Table {
    let mut systems: Vec<&str> = Vec::new();
    for run in &results.runs {
        if !systems.contains(&run.system.as_str()) {
            systems.push(&run.system);
        }
    }
    let mut table = Table::new();
    table.set_header(["scenario".to_owned()].into_iter().chain(systems.iter().map(|system| escaped(system))));
    for scenario in scenarios {
        let cell = |system: &&str| {
            let run = scenario.runs.iter().find(|run| run.system == *system);
            let costs = run.and_then(|run| Some((run.per_restart(run.lost)?, run.per_restart(run.reconnects)?)));
            costs.map_or_else(|| "–".to_owned(), |(lost, reopened)| format!("{} + {}", ratio(lost), ratio(reopened)))
        };
        table.add_row([escaped(scenario.name)].into_iter().chain(systems.iter().map(cell)));
    }
    align(table)
}

fn percentiles(latency: &Percentiles) -> [String; 4] {
    let values = [latency.p50, latency.p99, latency.p999, latency.max];
    values.map(|value| if latency.count == 0 { "–".to_owned() } else { milliseconds(value) })
}

/// Names to the left, figures to the right.
fn align(mut table: Table) -> Table {
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

/// A bar would end the cell.
fn escaped(name: &str) -> String {
    name.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn every_run_and_every_gap_is_in_the_terminals_table() {
        let text = table(&sample::nasty());
        for part in ["no restart", "busy keep-alive", "a very long name", "3\u{202f}600\u{202f}000"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(text.contains("left out: nginx in HTTP/2: its workers & streams"), "{text}");
        assert_eq!(table(&Results::default()), "");
    }

    #[test]
    fn no_name_ends_a_cell_of_the_markdown() {
        let mut results = sample::nasty();
        results.runs.iter_mut().for_each(|run| run.system.push('|'));
        let text = markdown(&results);
        let rows: Vec<_> = text.lines().filter(|line| line.starts_with('|')).collect();
        let cells = |row: &str| row.replace("\\|", "").matches('|').count();
        let (figures, matrix): (Vec<&str>, Vec<&str>) = rows.iter().partition(|row| cells(row) == 15);
        assert_eq!((figures.len(), matrix.len()), (4, 5), "{text}");
        assert!(matrix.iter().all(|row| cells(row) == cells(matrix[0])), "{text}");
    }

    #[test]
    fn the_matrix_has_costs_per_restart() {
        let run = |scenario: &str, system: &str, restarts: &[f64]| Run {
            scenario: scenario.into(),
            system: system.into(),
            restarts: restarts.into(),
            lost: 5,
            reconnects: 64,
            ..Run::default()
        };
        let runs = vec![run("one", "ours", &[0.5, 1.5]), run("two", "nginx", &[1.0]), run("two", "ours", &[])];
        let text = markdown(&Results { runs, ..Results::default() });
        let row = |name: &str| {
            let row = text.lines().rfind(|line| line.starts_with(&format!("| {name} "))).unwrap();
            row.split('|').map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(row("one"), ["one", "2.5 + 32", "–"]);
        assert_eq!(row("two"), ["two", "–", "5 + 64"]);
    }
}

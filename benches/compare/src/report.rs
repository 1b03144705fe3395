//! Until the drawing half is here: the results as a file, and as lines.

use std::{fmt::Write as _, fs, path::Path};

use crate::results::Results;

pub(crate) fn write(results: &Results, directory: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(directory)?;
    Ok(fs::write(directory.join("results.json"), serde_json::to_vec_pretty(results)?)?)
}

pub(crate) fn table(results: &Results) -> String {
    results.runs.iter().fold(String::new(), |mut table, run| {
        let median = median(&run.restart_ms);
        writeln!(
            table,
            "{:<20} {:<32} lost {:>7} again {:>6} {:>8.0}/s restart {median:>7.1} p99.9 {:>7.1} {:>7.1} max {:>7.1}  {}",
            run.scenario, run.system, run.lost, run.reconnects, run.per_second, run.outside.p999, run.in_restarts.p999,
            run.in_restarts.max, run.notes.join("; "),
        )
        .expect("writing to a string succeeds");
        table
    })
}

fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

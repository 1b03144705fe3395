//! The files of a report.

use std::{fs, path::Path};

use anyhow::Context as _;

use super::{page::page, palette::Palette, plot, scenario::Scenario, table};
use crate::results::Results;

const RESULTS: &str = "results.json";

/// Writes `results.json`, and what is drawn from it: `report.html`, `summary.svg` and `summary.md`.
pub(crate) fn write(results: &Results, directory: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("can't make {}", directory.display()))?;
    // First the results: what can't be drawn was measured all the same.
    file(directory, RESULTS, serde_json::to_vec_pretty(results)?)?;
    draw(results, directory)
}

/// Draws once more what was measured before, from `results.json` in this directory.
pub(crate) fn redraw(directory: &Path) -> anyhow::Result<()> {
    let path = directory.join(RESULTS);
    let json = fs::read(&path).with_context(|| format!("can't read {}", path.display()))?;
    let results = serde_json::from_slice(&json).with_context(|| format!("no results are in {}", path.display()))?;
    draw(&results, directory)
}

fn draw(results: &Results, directory: &Path) -> anyhow::Result<()> {
    let (palette, scenarios) = (Palette::of(results), Scenario::all(results));
    let summary = plot::summary(Scenario::main(&scenarios), &palette, &results.machine)?;
    file(directory, "report.html", page(results, &summary)?)?;
    file(directory, "summary.md", table::markdown(results))?;
    file(directory, "summary.svg", summary)
}

fn file(directory: &Path, name: &str, content: impl AsRef<[u8]>) -> anyhow::Result<()> {
    let path = directory.join(name);
    fs::write(&path, content).with_context(|| format!("can't write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn a_report_is_drawn_again_from_its_results() {
        let directory = tempfile::tempdir().unwrap();
        let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
        for results in [sample::nasty(), Results::default()] {
            write(&results, directory.path()).unwrap();
            let names = ["report.html", "summary.md", "summary.svg"];
            let first = names.map(read);
            names.iter().for_each(|name| fs::remove_file(directory.path().join(name)).unwrap());
            redraw(directory.path()).unwrap();
            assert_eq!(names.map(read), first);
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let directory = tempfile::tempdir().unwrap();
        assert!(redraw(directory.path()).unwrap_err().to_string().ends_with("results.json"));
        fs::write(directory.path().join(RESULTS), "{}").unwrap();
        assert!(redraw(directory.path()).unwrap_err().to_string().starts_with("no results are in"));
    }
}

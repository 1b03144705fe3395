use super::reason::reason;
use crate::{
    report::behind,
    results::{Results, Run},
};

/// Adds to the notes of our runs why they are behind, where they are.
pub(crate) fn say_why(runs: &mut [Run]) {
    let mut notes = Vec::new();
    for (index, run) in runs.iter().enumerate() {
        let scenario: Vec<_> = runs.iter().filter(|other| other.scenario == run.scenario).collect();
        let reasons = behind(run, &scenario).into_iter().filter_map(|better| reason(&better, &scenario));
        notes.push((
            index,
            reasons.fold(Vec::new(), |mut all, next| {
                if !all.contains(&next) {
                    all.push(next);
                }
                all
            }),
        ));
    }
    for (index, reasons) in notes {
        runs[index].notes.extend(reasons.into_iter().map(str::to_owned));
    }
}

/// Where our runs are behind, and what is to be known of them: for the terminal.
pub(crate) fn where_and_why(results: &Results) -> String {
    let mut lines = String::new();
    for run in &results.runs {
        let scenario: Vec<_> = results.runs.iter().filter(|other| other.scenario == run.scenario).collect();
        let better = behind(run, &scenario);
        if !better.is_empty() {
            let better: Vec<_> = better.iter().map(ToString::to_string).collect();
            let (name, system, better, notes) = (&run.scenario, &run.system, better.join("; "), run.notes.join("; "));
            lines += &format!("{name}: {system} is behind in {better}: {notes}\n");
        }
    }
    lines
}

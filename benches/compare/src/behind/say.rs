use super::reason::reason;
use crate::{
    report::{behind, undecided},
    results::{Results, Run},
};

/// Adds to the notes of our runs why they are behind, where they are.
pub(crate) fn say_why(runs: &mut [Run]) {
    let mut notes = Vec::new();
    for (index, run) in runs.iter().enumerate() {
        let scenario: Vec<_> = runs.iter().filter(|other| other.scenario == run.scenario).collect();
        // One reason may be that of several figures.
        let mut reasons: Vec<(&str, Vec<String>)> = Vec::new();
        for better in behind(run, &scenario) {
            let why = reason(run, &better).unwrap_or("no reason is known yet");
            match reasons.iter_mut().find(|(reason, _)| *reason == why) {
                Some((_, figures)) => figures.push(better.what()),
                None => reasons.push((why, vec![better.what()])),
            }
        }
        let say = |(why, figures): (&str, Vec<String>)| format!("{}: {why}", figures.join(", "));
        notes.push((index, reasons.into_iter().map(say).collect::<Vec<_>>()));
    }
    for (index, reasons) in notes {
        runs[index].notes.extend(reasons);
    }
}

/// Where our runs are behind, and what is to be known of them: for the terminal.
pub(crate) fn where_and_why(results: &Results) -> String {
    let mut lines = String::new();
    for run in &results.runs {
        let scenario: Vec<_> = results.runs.iter().filter(|other| other.scenario == run.scenario).collect();
        let undecided: Vec<_> = undecided(run, &scenario).iter().map(ToString::to_string).collect();
        if !undecided.is_empty() {
            let (name, system, undecided) = (&run.scenario, &run.system, undecided.join("; "));
            lines += &format!("{name}: {system}: not decided without rounds: {undecided}\n");
        }
        let better = behind(run, &scenario);
        if !better.is_empty() {
            let better: Vec<_> = better.iter().map(ToString::to_string).collect();
            let (name, system, better, notes) = (&run.scenario, &run.system, better.join("; "), run.notes.join("; "));
            lines += &format!("{name}: {system} is behind in {better}: {notes}\n");
        }
    }
    lines
}

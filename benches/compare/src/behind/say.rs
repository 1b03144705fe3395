use super::{figure::Figure, reason::reason};
use crate::{results::Run, systems::System};

/// Adds to the notes of our runs by whom they are beaten, in what, and why. Of those who beat them the best is named.
pub(crate) fn say_where(runs: &mut [Run]) {
    let (ours, stays) = (System::Ours.to_string(), System::OursStays.to_string());
    let mut notes = Vec::new();
    for (index, run) in runs.iter().enumerate().filter(|(_, run)| run.system == ours) {
        let others =
            || runs.iter().filter(|other| other.scenario == run.scenario && ![&ours, &stays].contains(&&other.system));
        for figure in Figure::ALL {
            let Some(mine) = figure.of(run) else { continue };
            let beaten = others().filter_map(|other| Some((other, figure.of(other)?)));
            let beaten = beaten.filter(|(_, theirs)| figure.is_behind(mine, *theirs));
            let best = beaten.reduce(|best, next| if figure.is_better(next.1, best.1) { next } else { best });
            let Some((other, theirs)) = best else { continue };
            // At a constant rate everybody answers what is asked.
            if figure == Figure::Throughput && !is_closed(&run.scenario) {
                continue;
            }
            let why = reason(figure, &other.system, &run.scenario);
            notes.push((index, format!("behind {} in {figure}: {mine:.1} beside {theirs:.1}: {why}", other.system)));
        }
    }
    for (index, note) in notes {
        runs[index].notes.push(note);
    }
}

/// Whether clients ask as fast as they are answered.
fn is_closed(scenario: &str) -> bool {
    use crate::scenarios::Scenario;
    Scenario::ALL.iter().any(|it| it.name == scenario && it.clients.are_closed())
}

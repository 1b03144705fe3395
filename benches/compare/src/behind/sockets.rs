use crate::{report::median, results::Run, scenarios::Scenario};

/// Adds what each socket adds to the time of a restart, beside the same system with one socket.
pub(crate) fn per_socket(runs: &mut [Run]) {
    let sockets = |run: &Run| Scenario::ALL.iter().find(|it| it.name == run.scenario).map_or(1, |it| it.sockets);
    let is_one = |run: &&Run| run.scenario.ends_with(" socket");
    let single: Vec<_> =
        runs.iter().filter(is_one).filter_map(|run| Some((run.system.clone(), median(&run.restart_ms)?))).collect();
    for run in runs {
        let more = sockets(run) - 1;
        let one = single.iter().find(|(system, _)| *system == run.system);
        if let (1.., Some((_, one)), Some(time)) = (more, one, median(&run.restart_ms)) {
            run.figures.insert("µs per socket".into(), 1e3 * (time - one) / more as f64);
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_socket_adds_is_told_beside_the_same_system_with_one() {
        let run = |scenario: &str, system: &str, ms: f64| Run {
            scenario: scenario.into(),
            system: system.into(),
            restart_ms: vec![ms],
            ..Run::default()
        };
        let mut runs = [
            run("1 socket", "ours", 10.0),
            run("1 socket", "nginx", 1.0),
            run("1,000 sockets", "ours", 19.99),
            run("1,000 sockets", "another", 19.99),
        ];
        per_socket(&mut runs);
        let figures = runs.map(|run| run.figures.get("µs per socket").map(|figure| figure.round()));
        assert_eq!(figures, [None, None, Some(10.0), None]);
    }
}

//! All systems in all scenarios.

use std::{collections::BTreeMap, fmt, process::ExitCode};

use crate::{
    args::Args,
    behind,
    machine::machine,
    measure::{Interrupted, measure},
    progress::Progress,
    results::{LeftOut, Results, Run},
    rounds::together,
    scenarios::{Clients, Scenario},
    systems::System,
};

/// What is wrong with ours, or with the measurement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    wrong: Vec<String>,
    /// Whether ours was measured at all: of who was not there nothing is said.
    ours: bool,
    anybody: bool,
}

/// Named, because a user will look for it.
const TABLEFLIP: &str = "a Go library, and this is built with cargo alone";

pub(crate) fn run(args: &Args) -> anyhow::Result<(Results, Verdict)> {
    let (scenarios, systems) = (args.scenarios()?, args.systems());
    let mut results = Results { machine: machine()?, ..Results::default() };
    let present = results.leave_out(&systems);
    let pace = args.pace()?;
    let mut cells = Vec::new();
    for scenario in scenarios {
        let mut systems = Vec::new();
        for &system in &present {
            match scenario.left_out(system) {
                None => systems.push(system),
                Some(why) => results.leave_out_of(&scenario, system, why),
            }
        }
        cells.push((scenario, systems));
    }
    results.say_what_to_install();
    let count = cells.iter().map(|(_, systems)| systems.len()).sum::<usize>() * args.rounds();
    let (mut verdict, mut progress) = (Verdict::default(), Progress::of(count));
    for (scenario, systems) in cells {
        let mut measured: Vec<Vec<Run>> = systems.iter().map(|_| Vec::new()).collect();
        for round in 0..args.rounds() {
            // Another one is the first each time: the first of a row meets a machine at rest, and the last a warm one.
            for turn in 0..systems.len() {
                let index = (turn + round) % systems.len();
                let system = systems[index];
                let what = format!("{:<18} {system}", scenario.name);
                progress.begins(scenario.name, &system.to_string());
                let run = measure(system, &scenario, &args.setup, scenario.pace(pace));
                progress.ends(&run, &what);
                match run {
                    Ok(run) => {
                        verdict.anybody = true;
                        verdict.look(&scenario, system, &run);
                        measured[index].push(run);
                    }
                    Err(error) if error.is::<Interrupted>() => return Err(error.context("nothing is written")),
                    Err(error) => {
                        let why = format!("it could not be measured in round {}: {error:#}", round + 1);
                        verdict.wrong.push(format!("{what}: {why}"));
                        results.leave_out_of(&scenario, system, why);
                    }
                }
            }
        }
        results.runs.extend(measured.into_iter().filter_map(together));
    }
    behind::per_socket(&mut results.runs);
    behind::say_why(&mut results.runs);
    Ok((results, verdict))
}

impl Results {
    fn leave_out_of(&mut self, scenario: &Scenario, system: System, why: String) {
        let (system, scenario) = (system.to_string(), Some(scenario.name.into()));
        self.left_out.push(LeftOut { system, scenario, why });
    }

    /// What is missing for some scenarios, once each.
    fn say_what_to_install(&self) {
        let missing = self.left_out.iter().filter(|left| left.scenario.is_some() && left.why.contains("apt-get"));
        let missing: BTreeMap<_, _> =
            missing.map(|left| (&left.why, left.scenario.as_deref().unwrap_or_default())).collect();
        for (why, scenario) in missing {
            println!("left out: {scenario}: {why}");
        }
    }

    /// Names those that are not here, and returns the others.
    fn leave_out(&mut self, systems: &[System]) -> Vec<System> {
        let left_out = |system: String, why: String| {
            println!("left out: {system}: {why}");
            LeftOut { system, scenario: None, why }
        };
        self.left_out.push(left_out("tableflip (Go)".into(), TABLEFLIP.into()));
        let mut present = Vec::new();
        for &system in systems {
            match system.missing() {
                Some(why) => self.left_out.push(left_out(system.to_string(), why)),
                None => present.push(system),
            }
        }
        present
    }
}

impl Verdict {
    fn look(&mut self, scenario: &Scenario, system: System, run: &Run) {
        // With handover off an idle connection is let go some time, and that can meet a request: HTTP/1.1 has no way out.
        if system != System::OURS {
            return;
        }
        self.ours = true;
        if run.lost > 0 || run.failed_restarts != run.expected_failures {
            let (lost, failed) = (run.lost, run.failed_restarts);
            self.wrong.push(format!("{}: {system} lost {lost} requests, {failed} restarts failed", scenario.name));
        }
        // That they come over is what its application is made for; of the others HTTP/2 can't, and a table tells.
        if scenario.clients == Clients::WebSocket && run.reconnects > 0 {
            self.wrong.push(format!("{}: {system} reopened {} WebSockets", scenario.name, run.reconnects));
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.wrong[..], self.ours) {
            ([], true) => f.write_str("ours lost nothing"),
            ([], false) if !self.anybody => f.write_str("nothing was measured"),
            ([], false) => f.write_str("ours was not measured"),
            (wrong, _) => f.write_str(&wrong.join("\n")),
        }
    }
}

impl From<Verdict> for ExitCode {
    fn from(verdict: Verdict) -> Self {
        Self::from(u8::from(!verdict.wrong.is_empty() || !verdict.anybody))
    }
}

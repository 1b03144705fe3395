//! All systems in all scenarios.

use std::{collections::BTreeMap, fmt, process::ExitCode};

use crate::{
    args::Args,
    behind,
    machine::machine,
    measure::{Interrupted, measure},
    progress::Progress,
    results::{LeftOut, Results, Run},
    scenarios::{Course, Scenario},
    systems::System,
};

/// What is wrong with ours, or with the measurement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict(Vec<String>);

/// Named, because a user will look for it.
const TABLEFLIP: &str = "a Go library, and this is built with cargo alone";

pub(crate) fn run(args: &Args) -> anyhow::Result<(Results, Verdict)> {
    let (scenarios, systems) = (args.scenarios()?, args.systems());
    let mut results = Results { machine: machine()?, ..Results::default() };
    let present = results.leave_out(&systems);
    let mut cells = Vec::new();
    for scenario in scenarios {
        for &system in &present {
            match scenario.left_out(system) {
                None => cells.push((scenario, system)),
                Some(why) => {
                    let (system, scenario) = (system.to_string(), Some(scenario.name.into()));
                    results.left_out.push(LeftOut { system, scenario, why });
                }
            }
        }
    }
    results.say_what_to_install();
    let (mut verdict, mut progress) = (Verdict::default(), Progress::of(cells.len()));
    for (scenario, system) in cells {
        let what = format!("{:<18} {system}", scenario.name);
        progress.begins(scenario.name, &system.to_string());
        let run = measure(system, &scenario, &args.setup, scenario.pace(args.pace()));
        progress.ends(&run, &what);
        match run {
            Ok(run) => {
                verdict.look(&scenario, system, &run);
                results.runs.push(run);
            }
            Err(error) if error.is::<Interrupted>() => return Err(error),
            Err(error) => {
                verdict.0.push(format!("{what} could not be measured: {error:#}"));
                let (system, scenario) = (system.to_string(), Some(scenario.name.into()));
                results.left_out.push(LeftOut {
                    system,
                    scenario,
                    why: format!("it could not be measured: {error:#}"),
                });
            }
        }
    }
    behind::per_socket(&mut results.runs);
    behind::say_why(&mut results.runs);
    Ok((results, verdict))
}

impl Results {
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
        if system != System::Ours {
            return;
        }
        let expected = usize::from(scenario.course == Course::BrokenRelease);
        if run.lost > 0 || run.failed_restarts != expected {
            let (lost, failed) = (run.lost, run.failed_restarts);
            self.0.push(format!("{}: {system} lost {lost} requests, {failed} restarts failed", scenario.name));
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("ours lost nothing");
        }
        f.write_str(&self.0.join("\n"))
    }
}

impl From<Verdict> for ExitCode {
    fn from(verdict: Verdict) -> Self {
        Self::from(u8::from(!verdict.0.is_empty()))
    }
}

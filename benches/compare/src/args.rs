use std::{path::PathBuf, time::Duration};

use clap::Parser;

use crate::{
    measure::Pace,
    scenarios::Scenario,
    server::{Kind, Setup},
    systems::System,
};

/// What a restart does to clients, side by side
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// Only these: a whole name, or else all that have this part of one. They are listed where there is none of that name
    #[arg(long, value_name = "NAME")]
    pub(crate) scenario: Vec<String>,
    /// Only these
    #[arg(long, value_delimiter = ',')]
    system: Vec<System>,
    /// How long the load of each run is on, at least: it stays until a restart has no more consequences
    #[arg(long, default_value_t = 0.8)]
    seconds: f64,
    /// How often each system is restarted in a run
    #[arg(long, default_value_t = 1)]
    restarts: u32,
    /// How often each system is measured in a scenario, beginning with another one each time
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    /// Where results.json and the pages go
    #[arg(long, value_name = "DIR", default_value = "target/compare")]
    pub(crate) out: PathBuf,
    /// Few scenarios, few systems, half a minute
    #[arg(long, conflicts_with_all = ["rounds", "seconds", "restarts"])]
    quick: bool,
    /// Measure nothing: draw once more what was measured before, in the directory of its results.json
    #[arg(long, value_name = "DIR", conflicts_with_all = ["scenario", "system", "quick", "out"])]
    pub(crate) redraw: Option<PathBuf>,
    /// Be one of the servers
    #[arg(long, hide = true, value_name = "KIND")]
    pub(crate) be: Option<Kind>,
    #[command(flatten)]
    pub(crate) setup: Setup,
}

impl Args {
    const QUICK_SCENARIOS: [&str; 5] =
        ["busy keep-alive", "constant rate", "fresh connections", "broken release", "WebSocket"];
    const QUICK_SYSTEMS: [System; 3] = [System::OURS, System::Rust(Kind::Activated), System::NginxReload];

    pub(crate) fn systems(&self) -> Vec<System> {
        match &self.system[..] {
            [] if self.quick => Self::QUICK_SYSTEMS.into(),
            [] => System::ALL.into(),
            some => some.into(),
        }
    }

    pub(crate) fn scenarios(&self) -> anyhow::Result<Vec<Scenario>> {
        let quick = self.quick && self.scenario.is_empty();
        let names = Scenario::ALL.map(|scenario| scenario.name);
        let means = |asked: &str, name: &str| {
            let [asked, low] = [asked, name].map(str::to_lowercase);
            if names.iter().any(|name| name.to_lowercase() == asked) { low == asked } else { low.contains(&asked) }
        };
        for asked in &self.scenario {
            let is_there = names.iter().any(|name| means(asked, name));
            anyhow::ensure!(is_there, "no scenario {asked:?}; there are:\n  {}", names.join("\n  "));
        }
        let wanted = |scenario: &Scenario| match &self.scenario[..] {
            [] => !quick || Self::QUICK_SCENARIOS.contains(&scenario.name),
            some => some.iter().any(|asked| means(asked, scenario.name)),
        };
        Ok(Scenario::ALL.into_iter().filter(wanted).collect())
    }

    pub(crate) fn pace(&self) -> anyhow::Result<Pace> {
        let (seconds, restarts) = if self.quick { (2.0, 1) } else { (self.seconds, self.restarts) };
        Ok(Pace { time: Duration::try_from_secs_f64(seconds)?, restarts })
    }

    /// One where it is quick: whether something is lost is seen in each.
    pub(crate) fn rounds(&self) -> usize {
        if self.quick { 1 } else { usize::try_from(self.rounds).unwrap_or(usize::MAX) }
    }
}

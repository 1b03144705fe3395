//! How long a restart takes, beside a cold start of the same program.
//!
//! From SIGUSR2 to the first answer that a new connection gets from the successor; beside it, from the spawn of an
//! unrelated copy of the program to its first answer. In turn, under the same load on the first server: 64 kept-alive
//! clients, and 2 that open a connection for each request, which are also who sees the successor. No probation: the
//! successor answers before it in any case.
//!
//! ```text
//! cargo bench --bench restart_time                              # 30 pairs, some 40 s, and 5 with --start-delay 300
//! cargo bench --bench restart_time -- --pairs 100 --delayed 30
//! ```

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod support;

use std::{path::PathBuf, time::Duration};

use clap::Parser;
use load::{Exchange, Load, Mode};
use support::{Fleet, Harness, Summary, example, ms, quantile};

/// How long a restart takes
#[derive(Debug, Parser)]
struct Args {
    /// Restarts, and as many cold starts
    #[arg(long, default_value_t = 30)]
    pairs: usize,
    /// The same with a server that takes 300 ms to be ready
    #[arg(long, default_value_t = 5)]
    delayed: usize,
    /// Kept-alive clients
    #[arg(long, default_value_t = 64)]
    clients: u32,
    /// How long each of them thinks between an answer and the next request
    #[arg(long, value_name = "MS", default_value_t = 4)]
    think: u64,
    #[command(flatten)]
    harness: Harness,
}

/// In milliseconds, pair by pair.
#[derive(Debug, Default)]
struct Times {
    warm: Vec<f64>,
    cold: Vec<f64>,
}

const DELAY: u64 = 300;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let program = example("axum")?;
    println!("to the first answer, ms        median     p90     max");
    let times = args.measure(&program, args.pairs, 0).await?;
    row("restart", &times.warm);
    row("cold start", &times.cold);
    let ratios: Vec<_> = times.warm.iter().zip(&times.cold).map(|(warm, cold)| warm / cold).collect();
    let medians = quantile(&times.warm, 0.5) / quantile(&times.cold, 0.5);
    println!("restart / cold start: {medians:.3} by medians; {} by pairs [95 %]", Summary::of(&ratios));
    let times = args.measure(&program, args.delayed, DELAY).await?;
    let beyond: Vec<_> = times.warm.iter().map(|warm| warm - DELAY as f64).collect();
    row("restart, beyond 300 ms", &beyond);
    let beyond: Vec<_> = times.cold.iter().map(|cold| cold - DELAY as f64).collect();
    row("cold start, beyond 300 ms", &beyond);
    Ok(())
}

fn row(name: &str, samples: &[f64]) {
    let [median, p90, max] = [0.5, 0.9, 1.0].map(|part| quantile(samples, part));
    println!("{name:<28} {median:>8.2} {p90:>7.2} {max:>7.2}");
}

impl Args {
    async fn measure(&self, program: &PathBuf, pairs: usize, delay: u64) -> anyhow::Result<Times> {
        let delay = delay.to_string();
        let arguments = ["--probation", "0", "--start-delay", &delay];
        let mut fleet = Fleet::start(program, &arguments).await?;
        let think = Duration::from_millis(self.think);
        let plan = |mode| Load::new(fleet.address, mode).think(think);
        let kept = plan(Mode::KeepAlive(Exchange::get())).clients(self.clients).start();
        let fresh = Load::new(fleet.address, Mode::Fresh(Exchange::get())).clients(2).start();
        let mut times = Times::default();
        for pair in 0..2 * pairs {
            kept.reach(100).await?;
            if pair % 2 == 0 {
                let asked = fleet.signal()?;
                let answered = fresh.generation(fleet.generation + 1).await?;
                times.warm.push(ms(answered - asked));
                fleet.succeeded().await?;
            } else {
                times.cold.push(ms(cold(program, &arguments).await?));
            }
        }
        let tally = kept.stop().await + fresh.stop().await;
        anyhow::ensure!(tally.lost() == 0, "{tally}");
        fleet.stop().await?;
        Ok(times)
    }
}

/// From the spawn to the first answer on a new connection.
async fn cold(program: &PathBuf, arguments: &[&str]) -> anyhow::Result<Duration> {
    let fleet = Fleet::start(program, arguments).await?;
    let load = Load::new(fleet.address, Mode::Fresh(Exchange::get())).start();
    let took = load.generation(0).await? - fleet.began;
    load.stop().await;
    fleet.stop().await?;
    Ok(took)
}

//! Requests per second while nothing happens: `Graceful::serve` beside plain `axum::serve`.
//!
//! Both serve the same router in a process of its own on a current-thread runtime, under 64 kept-alive clients that ask
//! back to back. They take turns, in pairs whose order alternates, with new processes for each pair; what counts are
//! the medians of the pairs' ratios, with the 95 % bootstrap interval. The server's processor time per request is
//! beside it, because on a shared machine it varies less.
//!
//! ```text
//! cargo bench --bench throughput                                # 20 pairs, some 25 s
//! cargo bench --bench throughput -- --pairs 60 --slice 1000
//! cargo bench --bench throughput -- --pairs 40 --slice 1000 --wrk
//! ```

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod support;

use std::{
    process::Command,
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::Parser;
use load::{Exchange, Load, Mode};
use support::{Harness, Kind, Subject, Summary, cpu_time};
use tokio::time::sleep;

/// `Graceful::serve` beside `axum::serve`
#[derive(Debug, Parser)]
struct Args {
    /// How many pairs
    #[arg(long, default_value_t = 20)]
    pairs: usize,
    /// How long each server is measured in each pair (wrk: in whole seconds)
    #[arg(long, value_name = "MS", default_value_t = 500)]
    slice: u64,
    /// How many kept-alive connections
    #[arg(long, default_value_t = 64)]
    clients: u32,
    /// The load comes from wrk, which must be installed
    #[arg(long)]
    wrk: bool,
    #[command(flatten)]
    harness: Harness,
}

/// What one server did in one slice.
#[derive(Clone, Copy, Debug)]
struct Slice {
    per_second: f64,
    /// Processor time of the server per request, in microseconds.
    cost: f64,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(kind) = args.harness.serve {
        return kind.serve();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut ours, mut plain) = (Vec::new(), Vec::new());
    for pair in 0..args.pairs {
        let mut subjects = [Subject::start(Kind::Ours)?, Subject::start(Kind::Plain)?];
        subjects.rotate_left(pair % 2);
        for subject in &subjects {
            let slice = runtime.block_on(args.measure(subject))?;
            if subject.kind == Kind::Ours { ours.push(slice) } else { plain.push(slice) }
        }
    }
    let ratio = |of: fn(&Slice) -> f64| {
        Summary::of(&ours.iter().zip(&plain).map(|(ours, plain)| of(ours) / of(plain)).collect::<Vec<_>>())
    };
    let median = |slices: &[Slice], of| Summary::of(&slices.iter().map(of).collect::<Vec<_>>()).median;
    println!("{} pairs, {} kept-alive clients", args.pairs, args.clients);
    println!("                             ours      plain   ours / plain [95 %]");
    for (what, of) in [
        ("requests per second", (|slice| slice.per_second) as fn(&Slice) -> f64),
        ("processor µs per request", |slice| slice.cost),
    ] {
        println!("{what:<24} {:>9.1}  {:>9.1}   {}", median(&ours, of), median(&plain, of), ratio(of));
    }
    Ok(())
}

impl Args {
    async fn measure(&self, subject: &Subject) -> anyhow::Result<Slice> {
        if self.wrk {
            return self.measure_by_wrk(subject);
        }
        let mode = Mode::KeepAlive(Exchange::get().without_generation());
        let load = Load::new(subject.address, mode).clients(self.clients).start();
        load.reach(2_000).await?; // everybody is connected, and the allocator is warm
        let (began, answered, used) = (Instant::now(), load.answered(), cpu_time(subject.pid())?);
        sleep(Duration::from_millis(self.slice)).await;
        let (took, answered, used) = (began.elapsed(), load.answered() - answered, cpu_time(subject.pid())? - used);
        let tally = load.stop().await;
        anyhow::ensure!(tally.lost() == 0, "{}: {tally}", subject.kind);
        Ok(Slice::new(answered as f64, took, used))
    }

    fn measure_by_wrk(&self, subject: &Subject) -> anyhow::Result<Slice> {
        let seconds = self.slice.div_ceil(1000);
        let used = cpu_time(subject.pid())?;
        let output = Command::new("wrk")
            .args([format!("-c{}", self.clients), "-t1".into(), format!("-d{seconds}s")])
            .arg(format!("http://{}/", subject.address))
            .output()
            .context("start wrk")?;
        let used = cpu_time(subject.pid())? - used;
        let said = String::from_utf8_lossy(&output.stdout);
        let per_second = said.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
        let per_second: f64 = per_second.with_context(|| said.to_string())?.trim().parse()?;
        let took = Duration::from_secs(seconds);
        Ok(Slice { per_second, ..Slice::new(per_second * took.as_secs_f64(), took, used) })
    }
}

impl Slice {
    fn new(answered: f64, took: Duration, used: Duration) -> Self {
        Self { per_second: answered / took.as_secs_f64(), cost: used.as_secs_f64() * 1e6 / answered }
    }
}

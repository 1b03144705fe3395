//! How long a restart stops the event loop of a large process.
//!
//! A server with 4 GiB of touched memory measures itself: a ticker of 1 ms notes how late it is. For each round, the
//! longest gap within 50 ms of a restart (of a program that ends at once, so that this one serves on), of a plain
//! `fork` whose child ends at once, and of nothing.
//!
//! ```text
//! cargo bench --bench stall                                     # 1 GiB, 20 rounds, some 10 s
//! cargo bench --bench stall -- --gib 4 --rounds 50
//! ```

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(unsafe_code, reason = "it compares with a plain fork")]

mod support;

use std::{hint::black_box, time::Duration};

use clap::Parser;
use nix::{
    libc,
    sys::wait::waitpid,
    unistd::{ForkResult, fork},
};
use support::{Gaps, Harness, ms, quantile};
use tokio::time::sleep;
use tokio_hotrestart::{Graceful, Signals};

/// How long a restart stops the event loop
#[derive(Debug, Parser)]
struct Args {
    /// Resident memory
    #[arg(long, default_value_t = 1)]
    gib: usize,
    /// How many restarts, forks, and windows without either
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    #[command(flatten)]
    harness: Harness,
}

const WINDOW: Duration = Duration::from_millis(50);

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    // Written, for untouched memory is not there. No page is like another, so that none is merged.
    let ballast: Vec<u64> = (0..(args.gib << 30) as u64 / 8).collect();
    measure(&args).await?;
    black_box(ballast);
    Ok(())
}

async fn measure(args: &Args) -> anyhow::Result<()> {
    let graceful = Graceful::builder().signals(Signals::none()).program("/bin/false").build().await?;
    graceful.ready().await?;
    let gaps = Gaps::start();
    let (mut nothing, mut restarts, mut forks) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..args.rounds {
        nothing.push(longest(&gaps, async { Ok(()) }).await?);
        let restart = graceful.restart();
        restarts.push(longest(&gaps, async { failed(restart.await) }).await?);
        forks.push(longest(&gaps, async { plain_fork() }).await?);
    }
    println!("{} GiB resident, {} rounds; longest gap, ms", args.gib, args.rounds);
    println!("                median     p90     max");
    for (name, gaps) in [("nothing", nothing), ("restart", restarts), ("plain fork", forks)] {
        let [median, p90, max] = [0.5, 0.9, 1.0].map(|part| quantile(&gaps, part));
        println!("{name:<13} {median:>8.2} {p90:>7.2} {max:>7.2}");
    }
    Ok(())
}

fn failed<T, E>(restart: Result<T, E>) -> anyhow::Result<()> {
    anyhow::ensure!(restart.is_err(), "/bin/false serves");
    Ok(())
}

fn plain_fork() -> anyhow::Result<()> {
    // SAFETY: The child does nothing but end, by a function that is async-signal-safe.
    match unsafe { fork() }? {
        // SAFETY: As above; nothing of this process runs in the child.
        ForkResult::Child => unsafe { libc::_exit(0) },
        ForkResult::Parent { child } => waitpid(child, None).map(drop)?,
    }
    Ok(())
}

/// From the beginning of this on, for at least 50 ms and until it is over; in milliseconds.
async fn longest(gaps: &Gaps, what: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<f64> {
    sleep(WINDOW).await; // what the last round leaves behind is not this one's
    gaps.forget();
    let ((), result) = tokio::join!(sleep(WINDOW), what);
    result?;
    Ok(ms(gaps.longest().late))
}

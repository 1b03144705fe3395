//! Live connections handed over at restarts: what is lost, who has to come back, what it costs, and how long clients wait.
//!
//! - *busy*: 64 keep-alive clients ask back to back, and the server is restarted each second; the same by wrk. Whoever must
//!   open another connection is counted.
//! - *steady*: the same clients at a constant rate, with latency from when a request was due. In turn with slices in which
//!   the server serves on and the same binary is started each second, cold and unrelated: what a new process costs its
//!   neighbours on the machine is the restart's too, and no handover's. What others do to the same
//!   clients is told by `benches/compare`.
//! - *idle*: so many idle connections, handed over together at one restart after the other: processor time and memory for
//!   each, on either side, beyond a restart with none; the time from COMMIT (with no probation a moment before LET GO) until
//!   the predecessor's drain has ended; and the longest delay of a client that asks meanwhile, beside one that asks while the
//!   same binary is started cold.
//!
//! Exits with 1 where a request is lost, or a client must open another connection.
//!
//! ```text
//! cargo bench --bench handover                                  # some 6 minutes
//! cargo bench --bench handover -- --part steady --pairs 10
//! cargo bench --bench handover -- --seconds 4 --pairs 2 --idle 1000 --runs 2 --delays 2
//! ```

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod busy;
mod idle;
mod server;
mod steady;
#[path = "../support/mod.rs"]
mod support;

use std::{process::ExitCode, time::Duration};

use clap::{Parser, ValueEnum};
use support::Harness;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Live connections handed over at restarts
#[derive(Debug, Parser)]
struct Args {
    /// Only these
    #[arg(long, value_delimiter = ',')]
    part: Vec<Part>,
    /// How many kept-alive clients are busy
    #[arg(long, default_value_t = 64)]
    clients: u32,
    /// How long each busy run takes, with a restart each second
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// What wrk asks, by its scripts in benches/wrk
    #[arg(long, value_delimiter = ',', default_value = "get")]
    scripts: Vec<String>,
    /// From one request of a steady client to its next
    #[arg(long, value_name = "MS", default_value_t = 16)]
    every: u64,
    /// How often steady clients have a slice with restarts, and one with cold starts
    #[arg(long, default_value_t = 30)]
    pairs: usize,
    /// How long each of these slices is
    #[arg(long, value_name = "SECS", default_value_t = 2)]
    slice: u32,
    /// How many connections are idle
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 2_000, 5_000, 10_000])]
    idle: Vec<usize>,
    /// How many restarts with so many idle ones; the best, or the medians, count
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// How many more under a client that asks meanwhile, and as many cold starts
    #[arg(long, default_value_t = 10)]
    delays: usize,
    /// How long a predecessor could take over again
    #[arg(long, value_name = "MS", default_value_t = 0)]
    probation: u64,
    /// Be a server
    #[arg(long, hide = true)]
    be: bool,
    #[command(flatten)]
    harness: Harness,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    Busy,
    Wrk,
    Steady,
    Idle,
}

/// Whether all that must be zero was zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Lossless,
    Lossy,
}

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if args.be {
        return runtime.block_on(server::serve(MS * u32::try_from(args.probation)?));
    }
    let mut verdict = Verdict::Lossless;
    for part in if args.part.is_empty() { Part::value_variants() } else { &args.part } {
        let found = runtime.block_on(async {
            match part {
                Part::Busy => args.busy().await,
                Part::Wrk => args.wrk().await,
                Part::Steady => args.steady().await,
                Part::Idle => args.idle().await,
            }
        })?;
        verdict = verdict.and(found);
    }
    println!(
        "{}",
        if verdict == Verdict::Lossless { "nothing was lost, and nobody came back" } else { "NOT LOSSLESS" }
    );
    Ok(ExitCode::from(u8::from(verdict == Verdict::Lossy)))
}

impl Verdict {
    fn of(lost: u64, reconnects: u64) -> Self {
        if lost + reconnects == 0 { Self::Lossless } else { Self::Lossy }
    }

    fn and(self, other: Self) -> Self {
        if self == Self::Lossless { other } else { self }
    }
}

/// Does this now, and at the beginning of each second that is left; tells how often. What takes longer leaves seconds out.
async fn each_second(seconds: u32, mut what: impl AsyncFnMut() -> anyhow::Result<()>) -> anyhow::Result<u64> {
    let end = Instant::now() + SECOND * seconds;
    let mut beats = interval(SECOND);
    beats.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut times = 0;
    while beats.tick().await < end {
        what().await?;
        times += 1;
    }
    Ok(times)
}

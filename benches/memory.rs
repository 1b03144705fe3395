//! Memory per idle kept-alive connection: `Graceful::serve` beside plain `axum::serve`.
//!
//! The resident memory of a server with 10,000 connections, of which each has asked once and idles, less that of the
//! same server before them. In user mode only: what the kernel holds for a socket is the same for both.
//!
//! ```text
//! cargo bench --bench memory
//! cargo bench --bench memory -- --connections 10000 --runs 5
//! ```

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod support;

use clap::Parser;
use support::{Harness, Kind, Subject, ask_once, quantile, raise_descriptor_limit, resident};

/// Memory per idle kept-alive connection
#[derive(Debug, Parser)]
struct Args {
    /// How many connections
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// How many servers of each kind; the median counts
    #[arg(long, default_value_t = 3)]
    runs: usize,
    #[command(flatten)]
    harness: Harness,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(kind) = args.harness.serve {
        return kind.serve();
    }
    let limit = raise_descriptor_limit()?;
    anyhow::ensure!((args.connections as u64) < limit - 100, "the system allows {limit} descriptors");
    let mut bytes = [Vec::new(), Vec::new()];
    for _ in 0..args.runs {
        for (kind, bytes) in Kind::BOTH.into_iter().zip(&mut bytes) {
            bytes.push(per_connection(kind, args.connections)?);
        }
    }
    let [ours, plain] = bytes.map(|bytes| quantile(&bytes, 0.5));
    println!("{} idle connections, median of {}", args.connections, args.runs);
    println!("bytes per connection   ours {ours:.0}   plain {plain:.0}   ours / plain {:.3}", ours / plain);
    Ok(())
}

fn per_connection(kind: Kind, connections: usize) -> anyhow::Result<f64> {
    let subject = Subject::start(kind)?;
    drop(ask_once(subject.address)?); // what the first connection brings in is no connection's
    let before = resident(subject.pid())?;
    let idle = (0..connections).map(|_| ask_once(subject.address)).collect::<Result<Vec<_>, _>>()?;
    let after = resident(subject.pid())?;
    Ok((after - before) as f64 / idle.len() as f64)
}

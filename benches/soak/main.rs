//! Faults by the thousand: a server under load, to which random things are done, drawn from a seed.
//!
//! Restarts in every way, bad binaries of every kind, processes that stand still or are killed at random moments, storms of
//! connections, a shortage of descriptors. Meanwhile clients of every kind ask, and the invariants are looked at throughout:
//!
//! - nothing is lost but what a killed process held (before the kill it stands still, and its connections are written down),
//!   or what was asked while nobody was left; no kept-alive client of HTTP/1.1 comes back without a word but for that;
//! - somebody answers a new client at any time, within a bound;
//! - each restart that is asked for is answered by its deadline, as what it was;
//! - generations rise by one, with the same sockets, and the newest one serves; no more processes than allowed, no zombies;
//! - descriptors, threads and memory do not become more from one generation to the next;
//! - a datagram is answered at most once, a line exactly once and in order.
//!
//! The first that does not hold ends it: with the invariant, the seed, the last operations and the servers' log; exit 1.
//!
//! A seed gives the same operations in the same order, as many as there is time for. What the processes are doing at these
//! moments is up to the machine.
//!
//! ```text
//! cargo bench --features http2 --bench soak                                # a minute, any seed
//! cargo bench --features http2 --bench soak -- --seconds 3600
//! cargo bench --features http2 --bench soak -- --seed 42
//! ```

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod asking;
mod book;
mod clients;
mod conductor;
mod datagrams;
mod fault;
mod fleet;
mod held;
mod level;
mod lines;
mod operation;
mod place;
mod probe;
mod process;
mod server;
mod soak;
mod storm;
#[path = "../support/mod.rs"]
mod support;
mod watchman;

use std::{
    os::unix::process::CommandExt,
    process::{Command, ExitCode, Stdio},
};

use clap::Parser;

/// Random faults, drawn from a seed, and invariants that hold throughout
#[derive(Debug, Parser)]
struct Args {
    /// For how long
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Which operations [default: any]
    #[arg(long)]
    seed: Option<u64>,
    /// The longest time in which nobody answers, while nothing that is done explains it
    #[arg(long, value_name = "MS", default_value_t = 3_000)]
    gap: u64,
    #[command(flatten)]
    be: server::Be,
    /// That is already in a network namespace of its own
    #[arg(long, hide = true)]
    apart: bool,
    /// `cargo bench` passes it to whatever it runs
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    if let Some(place) = &args.be.place {
        return server::serve(&args.be, place);
    }
    if !args.apart {
        go_apart()?;
    }
    // Whoever walks through `/proc` keeps a thread busy: that is no client's and not the probe's, which has the second one.
    let clients = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(3).enable_all().build()?;
    runtime.block_on(soak::soak(&args, clients.handle()))
}

/// Becomes the same program in a network namespace of its own, where that is allowed: the kernel's tables of connections then
/// have none of others, and whoever is to be killed stands still for no longer than a look at its own takes.
fn go_apart() -> anyhow::Result<()> {
    const UP: &str = "ip link set lo up";
    let mut trial = Command::new("unshare");
    trial.args(["--net", "sh", "-c", UP]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if !trial.status().is_ok_and(|status| status.success()) {
        return Ok(());
    }
    let mut again = Command::new("unshare");
    again.args(["--net", "sh", "-c", &format!("{UP} && exec \"$0\" \"$@\"")]).arg(std::env::current_exe()?);
    Err(again.args(std::env::args_os().skip(1)).arg("--apart").exec().into())
}

//! What a restart does to clients: of this crate's servers, and of what a user would run otherwise.
//!
//! Each system, on one worker or thread and with the same response, is asked by clients who count what becomes of every
//! request, while it is restarted; by wrk besides. Systems take turns within a scenario, so that what else the machine
//! does meets all of them.
//!
//! ```text
//! cargo run --release -p compare                                # all of it, some 15 minutes
//! cargo run --release -p compare -- --quick                     # half a minute: does it work, and is nothing lost?
//! cargo run --release -p compare -- --scenario 'busy keep-alive' --system ours,nginx-reload --seconds 10
//! ```
//!
//! Exits with 1 where ours (with handover on, as it is by default) has lost something or left a restart undone, where what is
//! installed can't be run, and where nothing was measured.

mod args;
mod behind;
mod machine;
mod measure;
#[path = "../../support/process.rs"]
#[expect(dead_code, reason = "each benchmark uses a part of it")]
mod process;
mod progress;
mod report;
mod results;
mod rounds;
mod scenarios;
mod server;
mod suite;
mod systems;

use std::process::ExitCode;

use args::Args;
use clap::Parser;

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    if let Some(kind) = args.be {
        kind.be(&args.setup)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(directory) = &args.redraw {
        report::redraw(directory)?;
        return Ok(ExitCode::SUCCESS);
    }
    process::raise_descriptor_limit()?;
    let (results, verdict) = suite::run(&args)?;
    report::write(&results, &args.out)?;
    println!("{}\n\n{}", report::table(&results), behind::where_and_why(&results));
    println!("{verdict}; all of it is in {}", args.out.display());
    Ok(verdict.into())
}

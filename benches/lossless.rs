//! What restarts under load lose, for each way of asking.
//!
//! For each mode `examples/axum.rs` is started, and restarted again and again under that load; the restarts are spread
//! over the requests. Every request ends in exactly one bucket, and none is ever tried again. Exits with 1 where one is
//! lost.
//!
//! Clients that can't be handed over (HTTP/2, WebSockets) are sent away one after the other, over a grace of a second and not
//! of the usual five, so that many restarts fit into a minute: the next one begins when the predecessor has ended, and that is
//! when the last client has gone.
//!
//! ```text
//! cargo bench --bench lossless                                  # 2 restarts each, some 25 s
//! cargo bench --bench lossless -- --restarts 50 --requests 1000000 --mode get
//! cargo bench --bench lossless -- --restarts 20 --requests 100000
//! ```

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod support;

use std::{process::ExitCode, time::Duration};

use clap::{Parser, ValueEnum};
use load::{Exchange, Load, Mode, Outcome, Tally};
use support::{Fleet, Harness, example};

/// What restarts under load lose
#[derive(Debug, Parser)]
struct Args {
    /// Restarts of each mode
    #[arg(long, default_value_t = 2)]
    restarts: u64,
    /// Requests of each mode, at least; slow modes are content with fewer
    #[arg(long, default_value_t = 10_000)]
    requests: u64,
    /// Over how long clients are sent away
    #[arg(long, value_name = "SECS", default_value = "1")]
    grace: String,
    /// Only these modes
    #[arg(long, value_delimiter = ',')]
    mode: Vec<Ask>,
    #[command(flatten)]
    harness: Harness,
}

/// A way of asking.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Ask {
    /// 64 kept-alive clients, back to back
    Get,
    /// The same with a body of 3 kB, echoed
    Post,
    /// A connection for each request
    Fresh,
    /// Small answers, 8 at a time
    Pipelined,
    /// Answers of 200 kB, 8 at a time
    PipelinedLarge,
    /// Answers after 20 ms
    Slow,
    /// Answers that stream for 200 ms
    Stream,
    /// 4 connections with 16 streams each
    Http2,
    /// Messages of 1 kB, echoed
    Websocket,
    /// 256 kept-alive clients that think 20 ms
    Thinking,
}

impl Ask {
    fn load(self, fleet: &Fleet) -> Load {
        const MS: Duration = Duration::from_millis(1);
        let load = |clients, mode| Load::new(fleet.address, mode).clients(clients);
        match self {
            Self::Get => load(64, Mode::KeepAlive(Exchange::get())),
            Self::Post => load(64, Mode::KeepAlive(Exchange::post(3_000))),
            Self::Fresh => load(32, Mode::Fresh(Exchange::get())),
            Self::Pipelined => load(16, Mode::Pipelined { exchange: Exchange::get(), depth: 8 }),
            Self::PipelinedLarge => load(8, Mode::Pipelined { exchange: Exchange::post(200_000), depth: 8 }),
            Self::Slow => load(64, Mode::KeepAlive(Exchange::slow(20 * MS))),
            Self::Stream => load(64, Mode::KeepAlive(Exchange::stream(200 * MS))),
            Self::Http2 => load(4, Mode::Http2 { exchange: Exchange::get(), streams: 16 }),
            Self::Websocket => load(32, Mode::WebSocket(Exchange::messages(1_000))),
            Self::Thinking => load(256, Mode::KeepAlive(Exchange::get())).think(20 * MS),
        }
    }

    /// What these clients do to a thousand requests of the quickest.
    fn share(self) -> u64 {
        match self {
            Self::Get | Self::Post | Self::Pipelined | Self::Http2 | Self::Websocket => 1_000,
            Self::Fresh | Self::Thinking => 300,
            Self::PipelinedLarge | Self::Slow => 50,
            Self::Stream => 10,
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let program = example("axum")?;
    let modes = if args.mode.is_empty() { Ask::value_variants() } else { &args.mode };
    let mut lost = 0;
    println!(
        "mode              restarts    answered    lost   reconnects per restart: told  untold   may be sent again"
    );
    for &mode in modes {
        // No probation: it delays each restart by half a second, and the successor serves in it as it does after it.
        let mut fleet = Fleet::start(&program, &["--probation", "0", "--grace", &args.grace]).await?;
        let tally = args.restart_under(mode, &mut fleet).await?;
        fleet.stop().await?;
        args.print(mode, &tally);
        lost += tally.lost();
    }
    println!("{}", if lost == 0 { "nothing was lost".into() } else { format!("{lost} LOST") });
    Ok(ExitCode::from(u8::from(lost > 0)))
}

impl Args {
    async fn restart_under(&self, mode: Ask, fleet: &mut Fleet) -> anyhow::Result<Tally> {
        let pause = (self.requests * mode.share() / 1_000).div_ceil(self.restarts + 1);
        let load = mode.load(fleet).start();
        load.reach(pause).await?;
        for _ in 0..self.restarts {
            fleet.signal()?;
            fleet.succeeded().await?;
            load.reach(pause).await?;
        }
        Ok(load.stop().await)
    }

    fn print(&self, mode: Ask, tally: &Tally) {
        let name = mode.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        let per_restart = |count: u64| count as f64 / self.restarts as f64;
        let again = tally.count(Outcome::UnansweredAfterClose) + tally.count(Outcome::H2Unprocessed);
        println!(
            "{name:<16} {:>9} {:>11} {:>7} {:>29.1} {:>7.1} {again:>19}",
            self.restarts,
            tally.answered(),
            tally.lost(),
            per_restart(tally.told()),
            per_restart(tally.untold()),
        );
        for outcome in Outcome::ALL.into_iter().filter(|outcome| outcome.is_loss() && tally.count(*outcome) > 0) {
            println!("  {} {}", tally.count(outcome), outcome.name());
        }
        tally.failures().iter().for_each(|failure| println!("  {failure}"));
    }
}

//! The server that is restarted: this program, run once more.

use std::{process::ExitCode, str::FromStr, time::Duration};

use anyhow::Context;
use axum::{Router, body::Body, http::HeaderValue, middleware::map_response, response::Response, routing::get};
use tokio::process::Command;
use tokio_hotrestart::Graceful;

use super::{
    Args,
    support::{Fleet, Gap, Gaps, cpu_time, now, peak},
};

/// What a generation says of itself at its end. Times are of a clock that all processes share.
#[derive(Clone, Copy, Debug)]
pub(super) struct LastWords {
    /// When its successor served, as far as it knows.
    pub(super) replaced: Duration,
    /// When its last connection had gone.
    pub(super) drained: Duration,
    /// What it has used from its beginning to its end.
    pub(super) cpu: Duration,
    /// The most memory that was resident.
    pub(super) peak: u64,
    /// How long something that came while it drained would have waited for its turn; and of that, the thread's own work.
    pub(super) gap: Gap,
}

impl Args {
    pub(super) async fn start_server(&self) -> anyhow::Result<Fleet> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--be", "--probation", &self.probation.to_string()]);
        Fleet::start_by(command).await
    }
}

/// Is a generation of it.
pub(super) async fn serve(probation: Duration) -> anyhow::Result<ExitCode> {
    let graceful = Graceful::builder().probation(probation).build().await?;
    let generation = graceful.generation();
    let listener = graceful.listen("http", "127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(graceful.serve(listener, app(generation)));
    graceful.ready().await?;
    let (pid, confirmed) = (std::process::id(), now()?.as_nanos());
    println!("{confirmed} generation={generation} confirmed");
    println!("ready generation={generation} pid={pid} http={address}");
    graceful.restart_signal().await;
    let (replaced, gaps) = (now()?, Gaps::start());
    let report = graceful.drain().await;
    let (drained, gap) = (now()?, gaps.longest());
    let last = LastWords { replaced, drained, cpu: cpu_time(pid)?, peak: peak(pid)?, gap };
    println!("{last}, generation={generation} ended");
    if !report.is_clean() {
        println!("{report}");
    }
    Ok(ExitCode::from(report.exit_code()))
}

fn app(generation: u64) -> Router {
    let generation = HeaderValue::from(generation);
    let mark = move |mut response: Response| {
        response.headers_mut().insert("x-generation", generation.clone());
        std::future::ready(response)
    };
    Router::new()
        .route("/", get(|| async { "hello world" }).post(|body: Body| async { body }))
        .layer(map_response(mark))
}

/// When this generation was confirmed.
pub(super) async fn confirmed(fleet: &mut Fleet, generation: u64) -> anyhow::Result<Duration> {
    let line = fleet.said(&format!(" generation={generation} confirmed")).await?;
    Ok(Duration::from_nanos(line.split(' ').next().context("a line without words")?.parse()?))
}

pub(super) async fn last_words(fleet: &mut Fleet, generation: u64) -> anyhow::Result<LastWords> {
    fleet.said(&format!(", generation={generation} ended")).await?.parse()
}

impl std::fmt::Display for LastWords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { replaced, drained, cpu, peak, gap: Gap { late, busy } } = *self;
        let [replaced, drained, cpu, late, busy] = [replaced, drained, cpu, late, busy].map(|time| time.as_nanos());
        write!(f, "{replaced} {drained} {cpu} {late} {busy} {peak}")
    }
}

impl FromStr for LastWords {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> anyhow::Result<Self> {
        let numbers = line.split(',').next().unwrap_or_default().split(' ').map(str::parse);
        let numbers = numbers.collect::<Result<Vec<u64>, _>>()?;
        let [times @ .., peak] = &numbers[..] else { anyhow::bail!("no numbers: {line:?}") };
        let times = times.iter().copied().map(Duration::from_nanos).collect::<Vec<_>>();
        let [replaced, drained, cpu, late, busy] = times[..] else { anyhow::bail!("five times, not {line:?}") };
        Ok(Self { replaced, drained, cpu, peak: *peak, gap: Gap { late, busy } })
    }
}

//! What the layer costs per request: an axum router beside the same one under `Graceful::layer()`, in normal service.
//!
//! Without a socket or a server, which would cost both the same: each request is called, and its body read to the end.
//! *around* is the layer around the router; *by `Router::layer`* has axum's own boxes for a layer in it too. Time is taken
//! pair by pair, for the machine is shared; instructions are counted by valgrind, n requests and then 2n in a new process.
//! Half of what is more is the watch's place in the request's extensions: a box, and beside axum's own three a larger table.
//!
//! ```text
//! cargo bench --bench layer
//! cargo bench --bench layer -- --pairs 1000 --requests 100000
//! ```

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod support;

use std::{
    convert::Infallible,
    fmt, fs,
    hint::black_box,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::Context;
use axum::{Router, body::Body, routing::get};
use clap::{Parser, ValueEnum};
use http::{Request, Response};
use http_body_util::BodyExt;
use support::{Summary, quantile};
use tokio::runtime::{self, Runtime};
use tokio_hotrestart::Graceful;
use tower::Service;
use tower_layer::Layer;

/// The layer's cost per request
#[derive(Debug, Parser)]
struct Args {
    /// How often each pair is timed
    #[arg(long, default_value_t = 300)]
    pairs: usize,
    /// How many requests are timed together
    #[arg(long, default_value_t = 2_000)]
    batch: usize,
    /// The smaller number of requests under valgrind
    #[arg(long, default_value_t = 20_000)]
    requests: usize,
    /// `cargo bench` passes it to whatever it runs.
    #[arg(long, hide = true)]
    bench: bool,
    /// Be what is counted: so many requests.
    #[arg(long, hide = true, value_name = "KIND")]
    ask: Option<Kind>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Plain,
    Around,
    ByRouter,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    if let Some(kind) = args.ask {
        kind.ask(&runtime, args.requests);
        return Ok(());
    }
    println!("per request            ns plain  ns layered  ratio                 instructions: plain  layered  more");
    let plain = args.instructions(Kind::Plain)?;
    for kind in [Kind::Around, Kind::ByRouter] {
        let pairs: Vec<_> = (0..args.pairs).map(|pair| args.pair(&runtime, kind, pair)).collect();
        let ratios: Vec<_> = pairs.iter().map(|[plain, layered]| layered / plain).collect();
        let [plain_ns, layered_ns] =
            [0, 1].map(|which| quantile(&pairs.iter().map(|pair| pair[which]).collect::<Vec<_>>(), 0.5));
        let layered = args.instructions(kind)?;
        println!(
            "{:<20} {plain_ns:>10.0} {layered_ns:>11.0}  {:<34} {plain:>13.0} {layered:>8.0} {:>5.0}",
            kind.to_string(),
            Summary::of(&ratios).to_string(),
            layered - plain
        );
    }
    Ok(())
}

impl Args {
    /// Nanoseconds per request of both, now the one first and now the other.
    fn pair(&self, runtime: &Runtime, kind: Kind, pair: usize) -> [f64; 2] {
        let time = |kind: Kind| {
            let began = Instant::now();
            kind.ask(runtime, self.batch);
            began.elapsed().as_nanos() as f64 / self.batch as f64
        };
        if pair % 2 == 0 {
            [Kind::Plain, kind].map(time)
        } else {
            let [layered, plain] = [kind, Kind::Plain].map(time);
            [plain, layered]
        }
    }

    fn instructions(&self, kind: Kind) -> anyhow::Result<f64> {
        let more = executed(kind, 2 * self.requests)? - executed(kind, self.requests)?;
        Ok(more / self.requests as f64)
    }
}

/// Instructions of a process of its own, from its start to its end.
fn executed(kind: Kind, requests: usize) -> anyhow::Result<f64> {
    let place = tempfile::tempdir()?;
    let file = place.path().join("profile");
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", &format!("--callgrind-out-file={}", file.display())]);
    command.arg(std::env::current_exe()?).args(["--ask", &kind.name(), "--requests", &requests.to_string()]);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    let profile = fs::read_to_string(&file).with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    let totals = profile.lines().find_map(|line| line.strip_prefix("totals: ")).context("callgrind tells a total")?;
    Ok(totals.trim().parse()?)
}

impl Kind {
    /// Asks so many requests, one after the other.
    fn ask(self, runtime: &Runtime, requests: usize) {
        runtime.block_on(async {
            let layer = Graceful::detached().layer();
            let app = Router::new().route("/", get(|| async { "hello world" }));
            match self {
                Self::Plain => ask(app, requests).await,
                Self::Around => ask(layer.layer(app), requests).await,
                Self::ByRouter => ask(app.layer(layer), requests).await,
            }
        });
    }

    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

async fn ask<S, B>(mut service: S, requests: usize)
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible>,
    B: http_body::Body<Error: fmt::Debug, Data: fmt::Debug>,
{
    for _ in 0..requests {
        let Ok(response) = service.call(Request::new(Body::empty())).await;
        let body = response.into_body().collect().await.expect("it is in memory");
        black_box(body.to_bytes());
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Around => "around",
            Self::ByRouter => "by Router::layer",
        })
    }
}

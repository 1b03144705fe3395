//! A server in Kubernetes: `/livez` and `/readyz` on a listener of their own, which answers to the last, and a stop that loses
//! nothing although the endpoints learn of it late.
//!
//! Kubernetes takes a pod out of its endpoints and signals it at the same time, and load balancers go on sending for seconds.
//! So the stop begins with a *lame duck*: `/readyz` says 503 at once, everybody is still accepted, and clients are told with
//! their responses to go elsewhere. No `preStop` hook is needed, and no `sleep` in the image. In the pod's spec:
//!
//! ```yaml
//! terminationGracePeriodSeconds: 35 # more than the lame duck (10), the deadline (20) and 3 for the rest: `guide::kubernetes`
//! containers:
//!   - args: ["--listen", "0.0.0.0:8080", "--health", "0.0.0.0:9090"]
//!     readinessProbe: { httpGet: { path: /readyz, port: 9090 }, periodSeconds: 2, failureThreshold: 1 }
//!     livenessProbe: { httpGet: { path: /livez, port: 9090 } }
//! ```
//!
//! The lame duck has to be as long as it takes until nobody sends to this pod any more: `periodSeconds` and what the load
//! balancer needs. A restart has none, for the successor answers both probes.
//!
//! ```text
//! cargo run --release --example health -- --lame-duck 10
//! curl -i http://127.0.0.1:9090/readyz
//! kill -TERM <pid>
//! ```

#![expect(clippy::print_stdout, reason = "a program speaks to whoever started it")]

use std::{error::Error, future, io, net::SocketAddr, process::ExitCode, time::Duration};

use axum::{Router, extract::Path, http::StatusCode, routing::get};
use clap::Parser;
use tokio_hotrestart::{Graceful, State, drain::Times};

/// A server with probes: SIGTERM stops it, SIGUSR2 restarts it.
#[derive(Debug, Parser)]
struct Args {
    /// Where the application listens. Port 0 picks a free one, which all later generations keep
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where the probes listen
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9090")]
    health: SocketAddr,
    /// How long everybody is still accepted after the signal to stop
    #[arg(long, value_name = "SECS", default_value = "10")]
    lame_duck: u64,
    /// How long requests that have begun may take after that
    #[arg(long, value_name = "SECS", default_value = "20")]
    deadline: u64,
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let args = Args::parse();
    tracing_subscriber::fmt().with_writer(io::stderr).init();

    let (lame_duck, deadline) = (Duration::from_secs(args.lame_duck), Duration::from_secs(args.deadline));
    let times = Times::for_stop().lame_duck(lame_duck).deadline(deadline);
    let graceful = Graceful::builder().on_stop(times).build().await?; // picks up what a predecessor passes

    let probes = graceful.listen("health", args.health).await?; // inherited, or bound
    let health = probes.local_addr()?;
    tokio::spawn(graceful.serve(probes, self::probes(&graceful)).last_to_close()); // answers before `ready()`, and to the last

    let listener = graceful.listen("http", args.listen).await?;
    let address = listener.local_addr()?;
    tokio::spawn(graceful.serve(listener, app(graceful.generation())));

    graceful.ready().await?; // confirmed: the predecessor lets go
    println!("ready generation={} pid={} http={address} health={health}", graceful.generation(), std::process::id());

    graceful.restart_signal().await; // a successor serves, or this is a stop, and its lame duck is over
    let report = graceful.drain().await;
    println!("{report}");
    Ok(ExitCode::from(report.exit_code()))
}

/// `/livez`: this process need not be killed. `/readyz`: requests are welcome here.
fn probes(graceful: &Graceful) -> Router {
    let state = graceful.state();
    let readyz = move || {
        let state = *state.borrow();
        let status = match state {
            State::Ready | State::Restarting => StatusCode::OK,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        future::ready((status, state.to_string()))
    };
    Router::new().route("/livez", get(|| async { "alive" })).route("/readyz", get(readyz))
}

fn app(generation: u64) -> Router {
    let root = move || async move { ([("x-generation", generation.to_string())], "hello world") };
    Router::new().route("/", get(root)).route("/slow/{ms}", get(slow))
}

async fn slow(Path(ms): Path<u64>) -> String {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    format!("slept {ms} ms")
}

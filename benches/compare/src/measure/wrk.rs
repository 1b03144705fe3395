//! wrk, and its own counts.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::Context;
use load::Window;
use tokio::{
    process::Command,
    time::{sleep, timeout},
};

use super::{Pace, course::Log};
use crate::{process::client_ports, results::Run, scenarios::Course, systems::Running};

const CONNECTIONS: usize = 64;

/// Has wrk ask by this script. It does not look at bodies, and does not tell a slow answer from a lost one within its two
/// seconds: our own clients do.
pub(super) async fn measure(system: &mut Running, script: &str, course: Course, pace: Pace) -> anyhow::Result<Run> {
    let SocketAddr::V4(address) = system.address() else { anyhow::bail!("it does not listen at IPv4") };
    let seconds = pace.time.as_secs_f64().ceil();
    let wrk = Command::new("wrk")
        // Longer than the restarts: its connections are counted while all of them are there.
        .args([format!("-c{CONNECTIONS}"), "-t1".into(), format!("-d{}s", seconds + 1.0)])
        .args(["-s", &format!("{}/../wrk/{script}.lua", env!("CARGO_MANIFEST_DIR"))])
        .arg(format!("http://{address}/"))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let connected = async {
        while client_ports(address)?.len() < CONNECTIONS {
            sleep(Duration::from_millis(10)).await;
        }
        client_ports(address)
    };
    let connected = timeout(Duration::from_secs(5), connected).await;
    let ports: BTreeSet<String> = connected.context("not all of wrk's clients connect")??;
    let mut run = Run::default();
    let (window, began) = (Window::default(), Instant::now());
    course.take(system, pace, Log { run: &mut run, window: &window, began }).await?;
    let still = client_ports(address)?;
    // At most one for each: what came and went between is not seen.
    run.reconnects = still.difference(&ports).count() as u64;
    let said = wrk.wait_with_output().await?;
    let said = String::from_utf8_lossy(&said.stdout);
    let numbers = |after: &str| {
        let line = said.lines().find_map(|line| line.trim().strip_prefix(after))?;
        let words = line.split(|c: char| !c.is_ascii_digit());
        Some(words.filter_map(|word| word.parse::<u64>().ok()).sum::<u64>())
    };
    let errors = numbers("Socket errors:").unwrap_or(0);
    let others = numbers("Non-2xx or 3xx responses:").unwrap_or(0);
    let answered = said.lines().find_map(|line| line.trim().split_once(" requests in "));
    let answered = answered.with_context(|| said.to_string())?.0.parse()?;
    let rate = said.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:"));
    run.per_second = rate.with_context(|| said.to_string())?.trim().parse()?;
    run.seconds = seconds + 1.0;
    let counts = [("answered", answered), ("socket errors", errors), ("not 2xx", others)];
    run.outcomes =
        counts.into_iter().filter(|(_, count)| *count > 0).map(|(name, count)| (name.into(), count)).collect();
    run.lost = errors + others;
    Ok(run)
}

//! wrk, and its own counts.

use std::{
    net::SocketAddr,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::Context;
use load::Window;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    process::Command,
    time::{sleep, timeout},
};

use super::{Pace, course::Log, cpu::per_answer, ports::Ports};
use crate::{
    process::client_ports,
    results::Run,
    scenarios::{AT_ONCE, Course, FRESH},
    systems::Running,
};

const CONNECTIONS: usize = 64;

/// Among the outcomes, what was slow and is no loss.
pub(crate) const LATE: &str = "answered late";

/// Has wrk ask by this script. It does not look at bodies: our own clients do.
pub(super) async fn measure(system: &mut Running, script: &str, course: Course, pace: Pace) -> anyhow::Result<Run> {
    let SocketAddr::V4(address) = system.address() else { anyhow::bail!("it does not listen at IPv4") };
    let mut wrk = Command::new("wrk")
        // Until it is interrupted: its connections are counted while all of them are there, however long a restart takes.
        .args([format!("-c{CONNECTIONS}"), "-t1".into(), "-d600s".into()])
        .args(["-s", &format!("{}/../wrk/{script}.lua", env!("CARGO_MANIFEST_DIR"))])
        .arg(format!("http://{address}/"))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let connected = async {
        while client_ports(address)?.len() < CONNECTIONS {
            sleep(Duration::from_millis(10)).await;
        }
        Ports::of(address.into())
    };
    // With a connection for each request there is no such moment, and each is meant to be new.
    let ports = if script == FRESH {
        None
    } else {
        let connected = timeout(Duration::from_secs(5), connected).await;
        Some(connected.context("not all of wrk's clients connect")??)
    };
    let mut run = Run::default();
    let (window, began, used) = (Window::default(), Instant::now(), system.cpu_time()?);
    // How many answers there are it tells at its end only.
    course.take(system, pace, Log { run: &mut run, window: &window, began, ports, think: AT_ONCE, cpu: None }).await?;
    run.seconds = began.elapsed().as_secs_f64();
    let used = (course == Course::Nothing).then(|| system.cpu_time()).transpose()?.map(|now| now - used);
    anyhow::ensure!(wrk.try_wait()?.is_none(), "wrk has ended before it was told to");
    kill(Pid::from_raw(wrk.id().context("it runs")?.try_into()?), Signal::SIGINT)?;
    let said = wrk.wait_with_output().await?;
    let said = String::from_utf8_lossy(&said.stdout);
    let numbers = |after: &str| {
        let line = said.lines().find_map(|line| line.trim().strip_prefix(after)).unwrap_or_default();
        let words = line.split(|c: char| !c.is_ascii_digit());
        words.filter_map(|word| word.parse::<u64>().ok()).collect::<Vec<_>>()
    };
    // `Socket errors: connect 0, read 0, write 0, timeout 0`: the last are answers that took longer than two seconds.
    let socket = numbers("Socket errors:");
    let (errors, late) = (socket.iter().take(3).sum(), socket.get(3).copied().unwrap_or(0));
    let others = numbers("Non-2xx or 3xx responses:").iter().sum();
    let answered = said.lines().find_map(|line| line.trim().split_once(" requests in "));
    let answered = answered.with_context(|| said.to_string())?.0.parse()?;
    let rate = said.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:"));
    run.per_second = rate.with_context(|| said.to_string())?.trim().parse()?;
    run.cpu_us = used.and_then(|used| per_answer(used, (run.per_second * run.seconds) as u64));
    let counts = [("answered", answered), (LATE, late), ("socket errors", errors), ("not 2xx", others)];
    run.outcomes =
        counts.into_iter().filter(|(_, count)| *count > 0).map(|(name, count)| (name.into(), count)).collect();
    run.lost = errors + others;
    Ok(run)
}

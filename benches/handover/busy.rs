//! Clients that ask back to back, and a restart each second.

use std::{net::SocketAddr, process::Stdio, time::Duration};

use anyhow::Context;
use load::{Exchange, Load, Mode};
use tokio::{
    process::Command,
    time::{sleep, timeout},
};

use super::{Args, SECOND, Verdict, each_second, support::client_ports};

impl Args {
    pub(super) async fn busy(&self) -> anyhow::Result<Verdict> {
        let mut fleet = self.start_server().await?;
        let load = Load::new(fleet.address, Mode::KeepAlive(Exchange::get())).clients(self.clients).start();
        load.reach(u64::from(self.clients) * 10).await?; // all are connected
        let restarts = each_second(self.seconds, async || {
            fleet.signal()?;
            fleet.succeeded().await
        })
        .await?;
        load.reach(u64::from(self.clients) * 10).await?; // and all have asked the last one
        let tally = load.stop().await;
        fleet.stop().await?;
        self.heading();
        let (lost, reconnects) = (tally.lost(), tally.reconnects());
        row("our own clients", restarts, tally.answered(), lost, reconnects);
        tally.failures().iter().for_each(|failure| println!("  {failure}"));
        Ok(Verdict::of(lost, reconnects))
    }

    pub(super) async fn wrk(&self) -> anyhow::Result<Verdict> {
        if Command::new("wrk").arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status().await.is_err() {
            println!("wrk is not installed: left out");
            return Ok(Verdict::Lossless);
        }
        self.heading();
        let mut verdict = Verdict::Lossless;
        for script in &self.scripts {
            verdict = verdict.and(self.wrk_by(script).await.with_context(|| format!("wrk, {script}.lua"))?);
        }
        Ok(verdict)
    }

    fn heading(&self) {
        println!("{} busy keep-alive connections, a restart each second", self.clients);
        println!("                     restarts    answered    lost  reconnects");
    }

    async fn wrk_by(&self, script: &str) -> anyhow::Result<Verdict> {
        let mut fleet = self.start_server().await?;
        let SocketAddr::V4(server) = fleet.address else { anyhow::bail!("{} is not IPv4", fleet.address) };
        let wrk = Command::new("wrk")
            // Longer than the restarts: it is looked at while all of its connections are there.
            .args([format!("-c{}", self.clients), "-t1".into(), format!("-d{}s", self.seconds + 2)])
            .args(["-s", &format!("{}/benches/wrk/{script}.lua", env!("CARGO_MANIFEST_DIR"))])
            .arg(format!("http://{server}/"))
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let clients = usize::try_from(self.clients)?;
        let connected = async {
            while client_ports(server)?.len() < clients {
                sleep(Duration::from_millis(10)).await;
            }
            client_ports(server)
        };
        let ports = timeout(SECOND, connected).await.context("not all of wrk's clients connect")??;
        let restarts = each_second(self.seconds, async || {
            fleet.signal()?;
            fleet.succeeded().await
        })
        .await?;
        let still = client_ports(server)?;
        anyhow::ensure!(still.len() == clients, "wrk has {} connections after the last restart", still.len());
        let reconnects = still.difference(&ports).count();
        let said = wrk.wait_with_output().await?;
        let said = String::from_utf8_lossy(&said.stdout);
        let numbers = |after: &str| {
            let line = said.lines().find_map(|line| line.trim().strip_prefix(after))?;
            let words = line.split(|c: char| !c.is_ascii_digit());
            Some(words.filter_map(|word| word.parse::<u64>().ok()).sum::<u64>())
        };
        let answered = said.lines().find_map(|line| line.trim().split_once(" requests in "));
        let answered = answered.with_context(|| said.to_string())?.0.parse()?;
        let lost = numbers("Socket errors:").unwrap_or(0) + numbers("Non-2xx or 3xx responses:").unwrap_or(0);
        fleet.stop().await?;
        row(&format!("wrk, {script}.lua"), restarts, answered, lost, reconnects as u64);
        Ok(Verdict::of(lost, reconnects as u64))
    }
}

fn row(name: &str, restarts: u64, answered: u64, lost: u64, reconnects: u64) {
    println!("{name:<20} {restarts:>8} {answered:>11} {lost:>7} {reconnects:>11}");
}

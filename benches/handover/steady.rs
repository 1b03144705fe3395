//! Clients at a constant rate, whose latency counts from when a request was due.

use std::net::SocketAddr;

use load::{Exchange, Latency, Load, Mode, Tally, Window};

use super::{
    Args, MS, Verdict, each_second,
    support::{Fleet, Summary, ms},
};

/// What clients saw in some slices.
#[derive(Debug, Default)]
struct Slices {
    /// How often something was done meanwhile.
    times: u64,
    /// Its latencies are those in restarts.
    tally: Tally,
    /// In milliseconds, slice by slice.
    p999: Vec<f64>,
    max: Vec<f64>,
}

impl Args {
    pub(super) async fn steady(&self) -> anyhow::Result<Verdict> {
        let mut fleet = self.start_server().await?;
        let address = fleet.address;
        let (mut restarts, mut cold) = (Slices::default(), Slices::default());
        let mut unrelated: Option<Fleet> = None;
        for _ in 0..self.pairs {
            let restart = async || {
                fleet.signal()?;
                fleet.succeeded().await
            };
            restarts.add(self.slice(address, self.slice, restart).await?);
            let start = async || {
                let before = unrelated.replace(self.start_server().await?);
                // As a restart has one process end where another begins.
                if let Some(before) = before { before.stop().await } else { Ok(()) }
            };
            cold.add(self.slice(address, self.slice, start).await?);
        }
        if let Some(unrelated) = unrelated {
            unrelated.stop().await?;
        }
        fleet.stop().await?;
        let rate = 1_000 * u64::from(self.clients) / self.every;
        println!("{} connections, {rate} requests a second, latency in ms from when they were due", self.clients);
        println!(
            "each second            times    lost  reconnects      p50      p99    p99.9      max   max of a slice"
        );
        restarts.print("restart");
        cold.print("cold start");
        let [ours, twin] = [&restarts, &cold].map(|slices| ms(slices.latency().percentile(99.9)));
        let ratios: Vec<_> = restarts.p999.iter().zip(&cold.p999).map(|(ours, twin)| ours / twin).collect();
        println!("p99.9, restart / cold start: {:.3}; {} by pairs [95 %]", ours / twin, Summary::of(&ratios));
        Ok(Verdict::of(restarts.tally.lost() + cold.tally.lost(), restarts.tally.reconnects()))
    }

    /// Asks for so long, while this is done each second.
    async fn slice(
        &self,
        address: SocketAddr,
        seconds: u32,
        what: impl AsyncFnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<(u64, Tally)> {
        let window = Window::default();
        let exchange = Exchange::get().without_generation();
        let mode = Mode::Steady { exchange, every: MS * u32::try_from(self.every)? };
        let load = Load::new(address, mode).clients(self.clients).window(&window).start();
        load.reach(u64::from(self.clients) * 3).await?; // all are connected, and nobody is late because of that
        let open = window.open();
        let times = each_second(seconds, what).await?;
        drop(open);
        Ok((times, load.stop().await))
    }
}

impl Slices {
    fn add(&mut self, (times, tally): (u64, Tally)) {
        self.times += times;
        self.p999.push(ms(tally.in_restarts().percentile(99.9)));
        self.max.push(ms(tally.in_restarts().max()));
        self.tally += tally;
    }

    fn latency(&self) -> &Latency {
        self.tally.in_restarts()
    }

    fn print(&self, name: &str) {
        let [p50, p99, p999] = [50.0, 99.0, 99.9].map(|part| ms(self.latency().percentile(part)));
        let (lost, reconnects, max) = (self.tally.lost(), self.tally.reconnects(), ms(self.latency().max()));
        println!(
            "{name:<20} {:>7} {lost:>7} {reconnects:>11} {p50:>8.2} {p99:>8.2} {p999:>8.2} {max:>8.2}   {}",
            self.times,
            Summary::of(&self.max)
        );
        self.tally.failures().iter().take(3).for_each(|failure| println!("  {failure}"));
    }
}

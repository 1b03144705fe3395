//! Idle connections, handed over together at one restart after the other.

use std::{
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use load::{Exchange, Load, Mode, Tally, Window};
use tokio::time::{sleep, timeout};

use super::{
    Args, MS, SECOND, Verdict, server,
    support::{Fleet, Gap, ask_again, ask_once, cpu_time, forget_peak, ms, quantile, raise_descriptor_limit, resident},
};

/// What restarts with so many idle connections cost.
#[derive(Debug)]
struct Row {
    connections: usize,
    handovers: Vec<Handover>,
    /// The longest delays of a busy client, in milliseconds: at each restart, and at a cold start before it.
    restarts: Vec<f64>,
    cold: Vec<f64>,
    /// How many of the idle ones got no answer in the end.
    gone: usize,
    /// What became of the busy client.
    tally: Tally,
}

/// One restart: of the predecessor, and of the successor.
#[derive(Clone, Copy, Debug)]
struct Handover {
    wall: Duration,
    /// The successor's from its start on.
    cpu: [Duration; 2],
    /// Bytes. The predecessor's beyond what it had before; the successor's after it.
    memory: [u64; 2],
    /// Of the predecessor's event loop.
    gap: Gap,
}

impl Args {
    pub(super) async fn idle(&self) -> anyhow::Result<Verdict> {
        let limit = raise_descriptor_limit()?;
        let most = self.idle.iter().max().copied().unwrap_or_default();
        anyhow::ensure!((most as u64) < limit - 100, "the system allows {limit} descriptors");
        let none = self.with_idle(0).await?;
        let mut rows = Vec::new();
        for &connections in &self.idle {
            rows.push(self.with_idle(connections).await?);
        }
        self.print_costs(&rows, &none);
        self.print_delays(&rows, &none);
        let gone: usize = rows.iter().map(|row| row.gone).sum();
        let busy: Tally = rows.into_iter().chain([none]).map(|row| row.tally).sum();
        let (lost, reconnects) = (busy.lost(), busy.reconnects());
        println!("{gone} idle connections gone; of the busy client {lost} requests lost, {reconnects} reconnects");
        Ok(Verdict::of(gone as u64 + lost, reconnects))
    }

    fn print_costs(&self, rows: &[Row], none: &Row) {
        println!("idle connections, {} restarts; for each, beyond a restart with none", self.runs);
        println!(
            "        processor µs: predecessor, successor   bytes: predecessor, successor   wall, ms: best  median"
        );
        for row in rows.iter().chain([none]) {
            let [[cpu_p, cpu_s], [bytes_p, bytes_s]] = row.each_beyond(none);
            let [best, median] = [0.0, 0.5].map(|part| row.wall(part));
            print!("{:>6} {cpu_p:>25.1} {cpu_s:>12.1} {bytes_p:>19.0} {bytes_s:>11.0}", row.connections);
            println!(" {best:>16.1} {median:>7.1}");
        }
        if let [first, .., last] = rows {
            let [few, many] = [first, last].map(|row| row.each_beyond(none).concat());
            let ratios: Vec<_> = many.iter().zip(few).map(|(many, few)| format!("{:.2}", many / few)).collect();
            println!("each of {} / each of {}: {}", last.connections, first.connections, ratios.join(", "));
        }
    }

    fn print_delays(&self, rows: &[Row], none: &Row) {
        println!("longest delay of a client that asks every 2 ms, ms, median of {}", self.delays);
        print!("          restart   cold start   restart beyond that   restart beyond one with none");
        println!("   predecessor's longest gap (own work)");
        for row in rows.iter().chain([none]) {
            let [restart, cold, without] = [&row.restarts, &row.cold, &none.restarts].map(|max| quantile(max, 0.5));
            let (beyond_cold, beyond_none) = (restart - cold, restart - without);
            print!("{:>6} {restart:>10.1} {cold:>12.1} {beyond_cold:>21.1} {beyond_none:>30.1}", row.connections);
            println!(" {:>31.1} ({:.1})", row.median(|it| ms(it.gap.late)), row.median(|it| ms(it.gap.busy)));
        }
    }

    async fn with_idle(&self, connections: usize) -> anyhow::Result<Row> {
        let mut fleet = self.start_server().await?;
        let mut idle = (0..connections).map(|_| ask_once(fleet.address)).collect::<Result<Vec<_>, _>>()?;
        let mut row = Row {
            connections,
            handovers: Vec::new(),
            restarts: Vec::new(),
            cold: Vec::new(),
            gone: 0,
            tally: Tally::default(),
        };
        for _ in 0..self.runs {
            row.handovers.push(hand_over(&mut fleet).await?);
        }
        let address = fleet.address;
        for _ in 0..self.delays {
            let start = async || self.start_server().await?.stop().await;
            let beside_start = ask_meanwhile(address, start).await?;
            let restart = async || {
                fleet.signal()?;
                fleet.succeeded().await
            };
            let beside_restart = ask_meanwhile(address, restart).await?;
            row.cold.push(ms(beside_start.in_restarts().max()));
            row.restarts.push(ms(beside_restart.in_restarts().max()));
            row.tally += beside_start + beside_restart;
            settled(fleet.pid()).await?;
        }
        let newest = format!("x-generation: {}", fleet.generation);
        let is_there = |stream: &mut TcpStream| ask_again(stream).is_ok_and(|head| head.contains(&newest));
        row.gone = idle.iter_mut().map(is_there).filter(|is_there| !is_there).count();
        fleet.stop().await?;
        Ok(row)
    }
}

/// One restart, with nothing else going on.
async fn hand_over(fleet: &mut Fleet) -> anyhow::Result<Handover> {
    let (generation, predecessor) = (fleet.generation, fleet.pid());
    settled(predecessor).await?;
    forget_peak(predecessor)?;
    let (cpu, memory) = (cpu_time(predecessor)?, resident(predecessor)?);
    fleet.forget();
    fleet.signal()?;
    fleet.succeeded().await?;
    let last = server::last_words(fleet, generation).await?;
    let confirmed = server::confirmed(fleet, generation + 1).await?;
    let successor = fleet.pid();
    settled(successor).await?;
    Ok(Handover {
        // Whoever saw it first: a busy predecessor may learn late of what it has done itself.
        wall: last.drained - last.replaced.min(confirmed),
        cpu: [last.cpu - cpu, cpu_time(successor)?],
        memory: [last.peak.saturating_sub(memory), resident(successor)?],
        gap: last.gap,
    })
}

/// What a busy client saw while this was done, which is kept apart as in a restart.
async fn ask_meanwhile(address: SocketAddr, what: impl AsyncFnOnce() -> anyhow::Result<()>) -> anyhow::Result<Tally> {
    let window = Window::default();
    let mode = Mode::Steady { exchange: Exchange::get(), every: 2 * MS };
    let load = Load::new(address, mode).window(&window).start();
    load.reach(50).await?;
    let open = window.open();
    what().await?;
    load.reach(50).await?;
    drop(open);
    Ok(load.stop().await)
}

/// Waits until a process rests.
async fn settled(pid: u32) -> anyhow::Result<()> {
    let rests = async {
        loop {
            let used = cpu_time(pid)?;
            sleep(50 * MS).await;
            if cpu_time(pid)? == used {
                return Ok(());
            }
        }
    };
    timeout(10 * SECOND, rests).await?
}

impl Row {
    /// What each connection has cost beyond what a restart with none does: µs, bytes; the predecessor, the successor.
    fn each_beyond(&self, none: &Self) -> [[f64; 2]; 2] {
        let each = |of: &dyn Fn(&Handover) -> f64| (self.median(of) - none.median(of)) / self.connections.max(1) as f64;
        [
            [0, 1].map(|side| each(&|handover| 1e3 * ms(handover.cpu[side]))),
            [0, 1].map(|side| each(&|handover| handover.memory[side] as f64)),
        ]
    }

    fn median(&self, of: impl Fn(&Handover) -> f64) -> f64 {
        quantile(&self.handovers.iter().map(of).collect::<Vec<_>>(), 0.5)
    }

    fn wall(&self, part: f64) -> f64 {
        quantile(&self.handovers.iter().map(|handover| ms(handover.wall)).collect::<Vec<_>>(), part)
    }
}

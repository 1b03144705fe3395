//! What stops under load lose, with a lame duck and without.
//!
//! Two servers are a fleet, and one after the other is stopped and started anew, as a rolling update does it, while the same
//! clients ask on and on: kept-alive back to back, after a pause, slowly, with a connection for each request, over HTTP/2.
//! Whoever sends them looks at `/readyz` on a listener that is last to close, each 100 ms, as a load balancer would, and
//! sends new connections to the other server once the answer is no; the worst case, for it has always looked just before the
//! stop. A connection that is open stays with its server until that one says `connection: close`, or GOAWAY. Every request ends in exactly one bucket, and none is ever tried again.
//!
//! In the same run what a lame duck is for: the same without one, and clients that look at nothing and come back until the
//! server has ended. These must be refused, or the counter counts nothing.
//!
//! Exits with 1 where a client that obeys loses anything under a lame duck, or where a server's report is not clean.
//!
//! ```text
//! cargo bench --features http2 --bench stop                     # 5 stops, and 2 of each other kind, some 35 s
//! cargo bench --features http2 --bench stop -- --stops 25 --requests 100000
//! ```

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod support;

use std::{
    net::{Ipv4Addr, SocketAddr},
    process::{ExitCode, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context;
use axum::{Router, extract::Path, http::StatusCode, routing::get};
use clap::Parser;
use load::{Exchange, Load, Mode, Outcome, Running, Signpost, Tally};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use support::{Harness, ms, quantile};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
    time::{sleep, timeout},
};
use tokio_hotrestart::{Graceful, State, drain::Times};

/// What stops under load lose
#[derive(Debug, Parser)]
struct Args {
    /// Stops with a lame duck, of clients that obey
    #[arg(long, default_value_t = 5)]
    stops: usize,
    /// Stops of each other kind
    #[arg(long, default_value_t = 2)]
    others: usize,
    /// Requests to be answered over the stops of each kind, at least
    #[arg(long, default_value_t = 20_000)]
    requests: u64,
    /// The lame duck
    #[arg(long, value_name = "MS", default_value_t = 1_000)]
    lame_duck: u64,
    /// How often whoever sends the clients looks whether a server is ready
    #[arg(long, value_name = "MS", default_value_t = 100)]
    look: u64,
    /// Be a server with this lame duck
    #[arg(long, hide = true, value_name = "MS")]
    be: Option<u64>,
    #[command(flatten)]
    harness: Harness,
}

/// How long a server may take for anything.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match args.be {
            Some(lame_duck) => serve(Duration::from_millis(lame_duck)).await,
            None => args.compare().await,
        }
    })
}

/// How clients are sent, and what the servers do about it.
#[derive(Clone, Copy)]
struct Row {
    name: &'static str,
    stops: usize,
    lame_duck: u64,
    sent: Sent,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sent {
    ByReadiness,
    /// Elsewhere when the server has ended.
    Blindly,
}

/// What became of them.
#[derive(Default)]
struct Figures {
    tally: Tally,
    /// In milliseconds from the signal: until somebody has seen that it is not ready, and until it had ended.
    seen: Vec<f64>,
    ended: Vec<f64>,
}

impl Args {
    async fn compare(&self) -> anyhow::Result<ExitCode> {
        let row = |name, stops, lame_duck, sent| Row { name, stops, lame_duck, sent };
        let rows = [
            row("lame duck, obeying", self.stops, self.lame_duck, Sent::ByReadiness),
            row("none, obeying", self.others, 0, Sent::ByReadiness),
            row("none, not obeying", self.others, 0, Sent::Blindly),
        ];
        println!("a lame duck of {} ms, readiness looked at each {} ms", self.lame_duck, self.look);
        println!(
            "                      stops   answered    lost  refused   raced    told  untold   per stop, ms: seen   ended"
        );
        let mut lost = Vec::new();
        for row in rows {
            let figures = self.stop_under_load(row).await.with_context(|| row.name)?;
            figures.print(row);
            lost.push(figures.tally.lost());
        }
        let nothing = lost[0] == 0;
        println!("{}", if nothing { "a lame duck lost nothing" } else { "REQUESTS WERE LOST" });
        anyhow::ensure!(self.others == 0 || lost[2] > 0, "nobody was refused who did not obey: this counts nothing");
        Ok(ExitCode::from(u8::from(!nothing)))
    }

    /// Each server is stopped in its turn, and another one started in its place.
    async fn stop_under_load(&self, row: Row) -> anyhow::Result<Figures> {
        let mut figures = Figures::default();
        let Some(stops) = u64::try_from(row.stops).ok().filter(|stops| *stops > 0) else { return Ok(figures) };
        let mut serving = Server::start(row.lame_duck).await?;
        let signpost = Signpost::new(serving.http);
        let loads = start_loads(&signpost);
        for _ in 0..row.stops {
            let next = Server::start(row.lame_duck).await?;
            loads[0].reach(self.requests.div_ceil(stops)).await?;
            let asked = serving.signal()?;
            if row.sent == Sent::ByReadiness {
                serving.not_ready(Duration::from_millis(self.look)).await?;
                signpost.turn(next.http);
                figures.seen.push(ms(asked.elapsed()));
            }
            serving.ended().await?;
            figures.ended.push(ms(asked.elapsed()));
            signpost.turn(next.http);
            serving = next;
        }
        for load in loads {
            figures.tally += load.stop().await;
        }
        serving.signal()?;
        serving.ended().await?;
        Ok(figures)
    }
}

/// The first is the quickest.
fn start_loads(signpost: &Signpost) -> Vec<Running> {
    const MS: Duration = Duration::from_millis(1);
    let get = || Exchange::get().without_generation();
    let load = |clients, mode| Load::new(signpost.clone(), mode).clients(clients);
    let mut loads = vec![
        load(32, Mode::KeepAlive(get())),
        load(64, Mode::KeepAlive(get())).think(20 * MS),
        load(16, Mode::KeepAlive(Exchange::slow(20 * MS).without_generation())),
        load(8, Mode::Fresh(get())),
    ];
    if cfg!(feature = "http2") {
        loads.push(load(4, Mode::Http2 { exchange: get(), streams: 8 }));
    }
    loads.into_iter().map(Load::start).collect()
}

impl Figures {
    fn print(&self, row: Row) {
        let Self { tally, seen, ended } = self;
        // Nobody looks who does not obey.
        let seen = if seen.is_empty() { "-".into() } else { format!("{:.1}", quantile(seen, 0.5)) };
        println!(
            "{:<20} {:>6} {:>10} {:>7} {:>8} {:>7} {:>7} {:>7} {seen:>20} {:>7.0}",
            row.name,
            row.stops,
            tally.answered(),
            tally.lost(),
            tally.count(Outcome::Refused),
            tally.count(Outcome::Raced),
            tally.told(),
            tally.untold(),
            quantile(ended, 0.5),
        );
        tally.failures().iter().take(3).for_each(|failure| println!("  {failure}"));
    }
}

/// One of the fleet, as a process of its own: this program, run once more.
struct Server {
    child: Child,
    http: SocketAddr,
    /// Where it says whether it is ready.
    health: SocketAddr,
}

impl Server {
    async fn start(lame_duck: u64) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--be", &lame_duck.to_string()]).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("start {command:?}"))?;
        let mut line = String::new();
        let read = BufReader::new(child.stdout.take().context("it is piped")?).read_line(&mut line).await;
        read.context("a server that is not ready")?;
        let (http, health) = line.trim().split_once(' ').with_context(|| format!("{line:?} from {command:?}"))?;
        Ok(Self { http: http.parse()?, health: health.parse()?, child })
    }

    /// Asks it to stop.
    fn signal(&self) -> anyhow::Result<Instant> {
        let pid = self.child.id().context("it has ended by itself")?;
        let asked = Instant::now();
        kill(Pid::from_raw(pid.try_into()?), Signal::SIGTERM)?;
        Ok(asked)
    }

    /// Looks so often, until it says that it is not ready. It has looked just before.
    async fn not_ready(&self, often: Duration) -> anyhow::Result<()> {
        loop {
            sleep(often).await;
            if !timeout(PATIENCE, is_ready(self.health)).await?.context("/readyz does not answer")? {
                return Ok(());
            }
        }
    }

    /// Waits until it has ended, and nothing of its own was cut.
    async fn ended(mut self) -> anyhow::Result<()> {
        let status = timeout(PATIENCE, self.child.wait()).await.context("a server does not stop")??;
        anyhow::ensure!(status.success(), "a server's report is not clean: {status}");
        Ok(())
    }
}

async fn is_ready(address: SocketAddr) -> anyhow::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let status = answer.split(' ').nth(1).with_context(|| format!("no HTTP: {answer:?}"))?;
    Ok(status == "200")
}

/// Is one of the fleet, until SIGTERM and its drain's end.
async fn serve(lame_duck: Duration) -> anyhow::Result<ExitCode> {
    let graceful = Graceful::builder().on_stop(Times::for_stop().lame_duck(lame_duck)).build().await?;
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (http, health) = (graceful.listen("http", any).await?, graceful.listen("health", any).await?);
    println!("{} {}", http.local_addr()?, health.local_addr()?);
    let state = graceful.state();
    let readyz = move || {
        let is_ready = matches!(*state.borrow(), State::Ready | State::Restarting);
        std::future::ready(if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE })
    };
    tokio::spawn(graceful.serve(health, Router::new().route("/readyz", get(readyz))).last_to_close());
    let app = Router::new().route("/", get(|| async { "hello world" })).route("/slow/{ms}", get(slow));
    tokio::spawn(graceful.serve(http, app));
    graceful.ready().await?;
    graceful.restart_signal().await;
    Ok(ExitCode::from(graceful.drain().await.exit_code()))
}

async fn slow(Path(ms): Path<u64>) -> String {
    sleep(Duration::from_millis(ms)).await;
    format!("slept {ms} ms")
}

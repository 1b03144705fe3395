//! What becomes of 10,000 idle kept-alive connections at a stop: when each is let go, and how long the event loop stops.
//!
//! A server with so many connections, of which each has asked once, is told to stop. The client notes when each of them
//! ends; the server, on a current-thread runtime, has a ticker of a millisecond, which notes the longest gap in the seconds
//! before the stop, in the first second of it, and in the rest. Beside the gap stands the longest that the server's own
//! thread worked between two ticks, which no neighbour on the machine changes.
//!
//! Three servers: with our times as they are, with `Times::at_once`, and plain `axum::serve` with its graceful shutdown. What
//! a connection costs in memory while it idles is told by `memory`.
//!
//! ```text
//! cargo bench --bench idle                                      # one of each, some 40 s
//! cargo bench --bench idle -- --connections 10000 --runs 3
//! ```

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod support;

use std::{
    fmt,
    future::IntoFuture,
    io::{BufRead, BufReader, Lines},
    net::{SocketAddr, TcpStream},
    pin::pin,
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context;
use axum::{Router, routing::get};
use clap::{Parser, ValueEnum};
use support::{Gap, Gaps, Harness, ask_once, ms, quantile, raise_descriptor_limit};
use tokio::{
    io::AsyncReadExt,
    net::TcpListener,
    runtime,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_hotrestart::{Graceful, Signals, drain::Times};
use tokio_util::sync::CancellationToken;

/// What becomes of idle connections at a stop
#[derive(Debug, Parser)]
struct Args {
    /// How many connections
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// How many servers of each kind; the medians count
    #[arg(long, default_value_t = 1)]
    runs: usize,
    /// Over how long they are let go
    #[arg(long, value_name = "SECS", default_value_t = 5)]
    grace: u32,
    /// Be a server
    #[arg(long, hide = true, value_name = "KIND")]
    be: Option<Kind>,
    #[command(flatten)]
    harness: Harness,
}

/// Who serves.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Spread,
    AtOnce,
    Plain,
}

const SECOND: Duration = Duration::from_secs(1);

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    if let Some(kind) = args.be {
        return runtime.block_on(kind.serve(args.grace));
    }
    let limit = raise_descriptor_limit()?;
    anyhow::ensure!((args.connections as u64) < limit - 100, "the system allows {limit} descriptors");
    let Args { connections, grace, runs, .. } = args;
    println!("{connections} idle connections, a grace of {grace} s, {runs} of each");
    println!("              let go at, s          within each tenth of the grace, %           most in 100 ms, %");
    let mut gaps = Vec::new();
    for kind in Kind::value_variants() {
        let runs = (0..runs).map(|_| args.run(&runtime, *kind)).collect::<Result<Vec<_>, _>>()?;
        args.print(*kind, &runs);
        gaps.push((kind, runs));
    }
    println!("longest gap, ms (own work)      before the stop   in its first second       after that");
    for (kind, runs) in gaps {
        let [before, first, rest] = [0, 1, 2].map(|window| {
            let median = |of: fn(Gap) -> Duration| {
                quantile(&runs.iter().map(|run| ms(of(run.gaps[window]))).collect::<Vec<_>>(), 0.5)
            };
            format!("{:.2} ({:.2})", median(|gap| gap.late), median(|gap| gap.busy))
        });
        println!("{:<30} {before:>16} {first:>21} {rest:>16}", kind.to_string());
    }
    Ok(())
}

/// What one server did.
struct Run {
    /// When each connection ended, from the stop on, in seconds, sorted.
    ends: Vec<f64>,
    /// Before the stop, in its first second, after that.
    gaps: [Gap; 3],
}

impl Args {
    fn run(&self, runtime: &runtime::Runtime, kind: Kind) -> anyhow::Result<Run> {
        let subject = Subject::start(kind, self.grace)?;
        let idle = (0..self.connections).map(|_| ask_once(subject.address)).collect::<Result<Vec<_>, _>>()?;
        let (ends, gaps) = runtime.block_on(async {
            let mut clients = idle.into_iter().map(ended).collect::<JoinSet<_>>();
            // In a thread of its own: this one looks after the connections.
            let stop = tokio::task::spawn_blocking(move || subject.stop());
            let mut ends = Vec::new();
            while let Some(end) = clients.join_next().await {
                ends.push(end??);
            }
            let (began, gaps) = stop.await??;
            let since = |end: Instant| end.saturating_duration_since(began).as_secs_f64();
            anyhow::Ok((ends.into_iter().map(since).collect::<Vec<_>>(), gaps))
        })?;
        let mut run = Run { ends, gaps };
        run.ends.sort_by(f64::total_cmp);
        Ok(run)
    }

    fn print(&self, kind: Kind, runs: &[Run]) {
        let median = |of: &dyn Fn(&Run) -> f64| quantile(&runs.iter().map(of).collect::<Vec<_>>(), 0.5);
        let (first, last) = (median(&|run| run.ends[0]), median(&|run| run.ends[run.ends.len() - 1]));
        let tenth = f64::from(self.grace) / 10.0;
        let within = |number: u32| {
            let (from, to) = (tenth * f64::from(number), tenth * f64::from(number + 1));
            // The last one has what a busy machine delays beyond the grace.
            median(&|run| run.share(|end| *end >= from && (*end < to || number == 9)))
        };
        let tenths = (0..10).map(|number| format!("{:>5.1}", within(number))).collect::<String>();
        println!(
            "{:<12} {first:>5.2} to {last:>5.2} {tenths} {:>17.1}",
            kind.to_string(),
            median(&Run::most_in_100_ms)
        );
    }
}

impl Run {
    /// In percent.
    fn share(&self, is_one: impl Fn(&f64) -> bool) -> f64 {
        100.0 * self.ends.iter().filter(|end| is_one(end)).count() as f64 / self.ends.len() as f64
    }

    fn most_in_100_ms(&self) -> f64 {
        let from = |at: usize| self.ends.partition_point(|end| *end < self.ends[at] + 0.1) - at;
        let most = (0..self.ends.len()).map(from).max().unwrap_or_default();
        100.0 * most as f64 / self.ends.len() as f64
    }
}

/// When the server ends this connection, which must be in peace.
async fn ended(idle: TcpStream) -> anyhow::Result<Instant> {
    idle.set_nonblocking(true)?;
    let mut idle = tokio::net::TcpStream::from_std(idle)?;
    let read = idle.read(&mut [0; 16]).await.context("an idle connection")?;
    anyhow::ensure!(read == 0, "{read} bytes that nobody has asked for");
    Ok(Instant::now())
}

/// Such a server, as a process of its own: this program, run once more.
struct Subject {
    address: SocketAddr,
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Subject {
    fn start(kind: Kind, grace: u32) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["--be", &kind.name(), "--grace", &grace.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("start {command:?}"))?;
        let lines = BufReader::new(child.stdout.take().context("it is piped")?).lines();
        let mut subject = Self { address: SocketAddr::from(([0; 4], 0)), child, lines };
        subject.address = subject.line()?.parse()?;
        Ok(subject)
    }

    fn line(&mut self) -> anyhow::Result<String> {
        Ok(self.lines.next().context("it has ended")??)
    }

    /// Has it measure itself, and stop; tells when it did, and what gaps it saw.
    fn stop(mut self) -> anyhow::Result<(Instant, [Gap; 3])> {
        drop(self.child.stdin.take()); // all are connected
        anyhow::ensure!(self.line()? == "stops", "it does not stop");
        let began = Instant::now();
        let line = self.line()?;
        let mut numbers = line.split(' ').map(|number| number.parse().map(Duration::from_nanos));
        let mut number = || anyhow::Ok(numbers.next().with_context(|| format!("six numbers, not {line:?}"))??);
        let mut gaps = [Gap::default(); 3];
        for gap in &mut gaps {
            *gap = Gap { late: number()?, busy: number()? };
        }
        anyhow::ensure!(self.child.wait()?.success(), "its report is not clean");
        Ok((began, gaps))
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        // Both fail where it has ended, and that is what they are for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Kind {
    /// Is this server, until it is told to stop, and until all are let go.
    async fn serve(self, grace: u32) -> anyhow::Result<()> {
        let app = Router::new().route("/", get(|| async { "hello world" }));
        let times = Times::for_stop().grace(SECOND * grace);
        let times = if matches!(self, Self::AtOnce) { times.at_once() } else { times };
        let graceful = Graceful::builder().signals(Signals::none()).on_stop(times).build().await?;
        if let Self::Plain = self {
            let (listener, stop) = (TcpListener::bind("127.0.0.1:0").await?, CancellationToken::new());
            println!("{}", listener.local_addr()?);
            let serve = axum::serve(listener, app).with_graceful_shutdown(stop.clone().cancelled_owned());
            let served = tokio::spawn(serve.into_future());
            return watch_itself(grace, || stop.cancel(), async { Ok(served.await??) }).await;
        }
        let listener = graceful.listen("http", "127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        tokio::spawn(graceful.serve(listener, app));
        graceful.ready().await?;
        let drained = graceful.drain();
        let clean = async {
            let report = drained.await;
            anyhow::ensure!(report.is_clean(), "{report}");
            Ok(())
        };
        watch_itself(grace, || graceful.stop(), clean).await
    }

    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// Notes the longest gaps: in as many seconds as the grace has, then from the stop on until the end.
async fn watch_itself(
    grace: u32,
    stop: impl FnOnce(),
    end: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    // The end of stdin: all are connected.
    tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink())).await??;
    let gaps = Gaps::start();
    sleep(SECOND / 10).await;
    gaps.forget();
    sleep(SECOND * grace).await;
    let before = gaps.longest();
    gaps.forget();
    println!("stops");
    stop();
    let mut end = pin!(end);
    let mut over = timeout(SECOND, &mut end).await;
    sleep(SECOND / 100).await; // the ticker has its turn after the last gap
    let first = gaps.longest();
    gaps.forget();
    if over.is_err() {
        over = Ok(end.await);
        sleep(SECOND / 100).await;
    }
    over??;
    let numbers = [before, first, gaps.longest()].map(|gap| format!("{} {}", gap.late.as_nanos(), gap.busy.as_nanos()));
    println!("{}", numbers.join(" "));
    Ok(())
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Spread => "ours, spread",
            Self::AtOnce => "ours, at once",
            Self::Plain => "axum::serve",
        })
    }
}

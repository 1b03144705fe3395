//! A server is replaced ten times under load, once by a program that cannot start, and nothing is lost.
//!
//! ```text
//! cargo run --release --example demo
//! ```
//!
//! The server is this same program, started as `demo serve` in a process of its own. What counts is counted by the
//! `load` crate beside this one: every request ends in exactly one bucket, and none is ever tried again.

#![expect(clippy::print_stdout, reason = "a program speaks to whoever started it")]

use std::{
    fs, io,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use axum::{Router, http::HeaderValue, middleware::map_response, response::Response, routing::get};
use clap::{Parser, Subcommand};
use load::{Exchange, Load, Mode, Running, Tally, Window};
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::Command,
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::timeout,
};
use tokio_hotrestart::{Graceful, drain::Times};
use tracing_subscriber::EnvFilter;

const RESTARTS: u64 = 10;

/// After which of them the program file is a bad one for a while.
const BAD_AFTER: u64 = 5;

/// How long the server may take for anything.
const PATIENCE: Duration = Duration::from_secs(10);

/// Replaces a server ten times under load, once by a program that cannot start, and counts what is lost.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// The server, as the demo starts it
    #[command(hide = true)]
    Serve,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    match Args::parse().role {
        Some(Role::Serve) => serve().await,
        None => demo().await,
    }
}

/// The server: what a server needs to be replaced, and two lines on stdout by which the demo follows it.
async fn serve() -> anyhow::Result<ExitCode> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(false).without_time().init();

    // Clients are sent away one after the other, here over a second and not over the usual five: nobody likes to wait.
    let graceful = Graceful::builder().on_restart(Times::for_restart().grace(Duration::from_secs(1))).build().await?;
    let listener = graceful.listen("http", "127.0.0.1:0").await?;
    let (generation, address) = (graceful.generation(), listener.local_addr()?);
    let mark = move |mut response: Response| {
        response.headers_mut().insert("x-generation", HeaderValue::from(generation));
        std::future::ready(response)
    };
    let app = Router::new().route("/", get(|| async { "hello world" })).layer(map_response(mark));
    tokio::spawn(graceful.serve(listener, app));
    graceful.ready().await?;
    println!("ready {generation} {} {address}", std::process::id());

    graceful.restart_signal().await;
    let report = graceful.drain().await;
    println!("ended {generation} {report}");
    Ok(ExitCode::from(report.exit_code()))
}

/// The demo: whatever happens in it, the server's processes are ended.
async fn demo() -> anyhow::Result<ExitCode> {
    let mut interrupted = Interrupts::new()?;
    let mut server = Server::start()?;
    let outcome = tokio::select! {
        outcome = rehearse(&mut server) => outcome,
        () = interrupted.next() => Err(anyhow::anyhow!("interrupted")),
    };
    let ended = server.end().await;
    let summary = outcome?;
    ended?;
    println!("\n{summary}");
    Ok(ExitCode::from(u8::from(summary.tally.lost() > 0)))
}

async fn rehearse(server: &mut Server) -> anyhow::Result<Summary> {
    let address = server.ready(0).await?;
    let window = Window::default();
    let plan = |mode| Load::new(address.as_str(), mode).window(&window);
    let kept = plan(Mode::KeepAlive(Exchange::get())).clients(64).think(Duration::from_millis(2)).start();
    let fresh = plan(Mode::Fresh(Exchange::get())).clients(16).think(Duration::from_millis(4)).start();
    println!("64 clients on kept-alive connections, 16 with a new connection for each request, at {address}");
    calm(server, &kept).await?;

    let mut took = Vec::new();
    for generation in 1..=RESTARTS {
        let restart = window.open();
        let asked = Instant::now();
        server.signal(Signal::SIGUSR2)?;
        server.ready(generation).await?;
        let (one, other) = tokio::try_join!(kept.generation(generation), fresh.generation(generation))?;
        let answered = one.min(other) - asked;
        server.ended(generation - 1).await?; // after the half second in which it could take its work back
        drop(restart);
        took.push(answered);
        println!(
            "restart {generation:>2}: pid {} answers after {:5.1} ms, its predecessor is gone after {:5.1} ms; {}",
            server.newest,
            ms(answered),
            ms(asked.elapsed()),
            so_far(&kept, &fresh),
        );
        if generation == BAD_AFTER {
            println!("now the program file is a script that says why it cannot start, and exits with 3");
            server.restart_with_a_bad_program().await?;
            println!("generation {generation} serves on; {}", so_far(&kept, &fresh));
        }
        calm(server, &kept).await?;
    }
    let (kept, fresh) = tokio::join!(kept.stop(), fresh.stop());
    took.sort_unstable();
    Ok(Summary { tally: kept + fresh, took })
}

/// Some time without a restart, for comparison.
async fn calm(server: &mut Server, load: &Running) -> anyhow::Result<()> {
    tokio::select! {
        reached = load.reach(10_000) => Ok(reached?),
        failed = server.wait_for(|_| None) => failed, // it is not asked for anything, so it only speaks of trouble
    }
}

fn so_far(kept: &Running, fresh: &Running) -> String {
    format!("{} answered, {} lost", kept.answered() + fresh.answered(), kept.lost() + fresh.lost())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// What the demo shows in the end.
struct Summary {
    tally: Tally,
    /// From each signal to the first answer of the successor, sorted.
    took: Vec<Duration>,
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { tally, took } = self;
        let (median, longest) = (ms(took[took.len() / 2]), ms(took[took.len() - 1]));
        let (told, untold) = (tally.told(), tally.untold());
        writeln!(f, "requests    {:>9}", tally.requests())?;
        writeln!(f, "lost        {:>9}", tally.lost())?;
        writeln!(f, "reconnects  {:>9}   {told} told by `connection: close`, {untold} not", tally.reconnects())?;
        writeln!(
            f,
            "restarts    {:>9}   {median:.1} ms median, {longest:.1} ms at most to the first answer",
            took.len()
        )?;
        writeln!(f, "latency        in restarts   {}", tally.in_restarts())?;
        write!(f, "               outside       {}", tally.outside())?;
        tally.failures().iter().try_for_each(|failure| write!(f, "\nlost: {failure}"))
    }
}

/// All generations of the server, as one sees them from outside.
struct Server {
    /// Holds the program file, a link that is flipped as a release would be.
    directory: TempDir,
    /// Generation 0's pid, and the id of the process group in which all generations are.
    group: Pid,
    /// The newest generation that is ready.
    newest: Pid,
    lines: mpsc::UnboundedReceiver<Line>,
    /// All generations share stdout and stderr, so their end is the end of the last process.
    gone: bool,
}

/// What a generation says.
#[derive(Debug)]
enum Line {
    Out(String),
    Log(String),
}

impl Server {
    fn start() -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let program = directory.path().join("server");
        flip(&program, &std::env::current_exe()?)?;
        let mut child = Command::new(&program)
            .arg("serve")
            .process_group(0) // Ctrl-C is for the demo, which then ends the server
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("start the server")?;
        let group = Pid::from_raw(child.id().context("the server has ended")?.try_into()?);
        let (told, lines) = mpsc::unbounded_channel();
        tokio::spawn(tell(child.stdout.take(), Line::Out, told.clone()));
        tokio::spawn(tell(child.stderr.take(), Line::Log, told));
        Ok(Self { directory, group, newest: group, lines, gone: false })
    }

    /// Waits until this generation is ready, and tells where it listens.
    async fn ready(&mut self, generation: u64) -> anyhow::Result<String> {
        let words = self.wait_for(|line| line_of(line, "ready", generation)).await?;
        let (pid, address) = words.split_once(' ').context("`ready` without an address")?;
        self.newest = Pid::from_raw(pid.parse()?);
        Ok(address.to_owned())
    }

    /// Waits until this generation has drained.
    async fn ended(&mut self, generation: u64) -> anyhow::Result<()> {
        self.wait_for(|line| line_of(line, "ended", generation)).await.map(drop)
    }

    /// Asks for a restart while the program file is one that cannot start, and shows what the server logs about it.
    async fn restart_with_a_bad_program(&mut self) -> anyhow::Result<()> {
        let (program, good) = (self.directory.path().join("server"), std::env::current_exe()?);
        let bad = self.directory.path().join("bad");
        fs::write(&bad, "#!/bin/sh\necho 'cannot read config.toml: no such file' >&2\nexit 3\n")?;
        fs::set_permissions(&bad, fs::Permissions::from_mode(0o755))?;
        flip(&program, &bad)?;
        self.signal(Signal::SIGUSR2)?;
        let logged = self.wait_for(|line| log_with(line, "the restart failed")).await?;
        println!("  {logged}");
        if !logged.contains("config.toml") {
            // The script's own words are the last of the message, on a line of their own.
            println!("  {}", self.wait_for(|line| log_with(line, "config.toml")).await?);
        }
        Ok(flip(&program, &good)?)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        kill(self.newest, signal).with_context(|| format!("{signal} to pid {}", self.newest))
    }

    /// Ends all generations, in peace if they are quick.
    async fn end(&mut self) -> anyhow::Result<()> {
        if !self.gone {
            killpg(self.group, Signal::SIGTERM).context("stop the server")?;
        }
        let all_said = async { while self.lines.recv().await.is_some() {} };
        if timeout(PATIENCE, all_said).await.is_err() {
            bail!("the server has not stopped within {PATIENCE:?}");
        }
        self.gone = true;
        Ok(())
    }

    /// Waits for a line, and shows the server's log meanwhile.
    async fn wait_for<T>(&mut self, wanted: impl Fn(&Line) -> Option<T>) -> anyhow::Result<T> {
        let found = async {
            while let Some(line) = self.lines.recv().await {
                if let Some(found) = wanted(&line) {
                    return Ok(found);
                }
                if let Line::Log(line) = line {
                    println!("  {line}");
                }
            }
            self.gone = true;
            bail!("the server has ended")
        };
        timeout(PATIENCE, found).await.context("the server takes too long")?
    }
}

/// Also where the demo panics or fails half way.
impl Drop for Server {
    fn drop(&mut self) {
        if !self.gone {
            // It fails where nobody is left, and that is what it is for.
            let _ = killpg(self.group, Signal::SIGKILL);
        }
    }
}

/// What follows `word generation` in a line of this generation.
fn line_of(line: &Line, word: &str, generation: u64) -> Option<String> {
    let Line::Out(line) = line else { return None };
    line.strip_prefix(&format!("{word} {generation} ")).map(str::to_owned)
}

fn log_with(line: &Line, words: &str) -> Option<String> {
    let Line::Log(line) = line else { return None };
    line.contains(words).then(|| line.trim().to_owned())
}

/// Passes on every line, to the end.
async fn tell<R: AsyncRead + Unpin>(from: Option<R>, line: fn(String) -> Line, told: mpsc::UnboundedSender<Line>) {
    let mut lines = BufReader::new(from.expect("it is piped")).lines();
    while let Ok(Some(text)) = lines.next_line().await {
        drop(told.send(line(text)));
    }
}

/// Makes the link point there, with no moment at which it does not exist.
fn flip(link: &Path, there: &Path) -> io::Result<()> {
    let new: PathBuf = link.with_extension("new");
    symlink(there, &new)?;
    fs::rename(new, link)
}

/// Ctrl-C, and what else asks a program to end.
struct Interrupts([tokio::signal::unix::Signal; 3]);

impl Interrupts {
    fn new() -> io::Result<Self> {
        let [interrupt, terminate, hangup] = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        Ok(Self([signal(interrupt)?, signal(terminate)?, signal(hangup)?]))
    }

    async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! { _ = interrupt.recv() => {} _ = terminate.recv() => {} _ = hangup.recv() => {} }
    }
}

//! All generations of a server: of an example, or of a benchmark's own.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::{sleep, timeout},
};

/// How long a server may take for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// Builds an example as a release, and says where it is.
pub(crate) fn example(name: &str) -> anyhow::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = std::process::Command::new(cargo);
    // What `cargo bench` tells us of this package would look to some build scripts like another one, and then their
    // crates are built anew each time, there and back.
    let is_ours = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_ours)) {
        build.env_remove(name);
    }
    let built = build
        .args(["build", "--quiet", "--release", "--example", name, "--features", "http2"])
        .arg(concat!("--manifest-path=", env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .status()?;
    anyhow::ensure!(built.success(), "examples/{name}.rs does not build");
    // We are `release/deps/NAME-HASH`.
    let this = std::env::current_exe()?;
    let release = this.ancestors().nth(2).context("no target directory")?;
    Ok(release.join("examples").join(name))
}

/// A server, and whoever succeeds it.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) address: SocketAddr,
    pub(crate) generation: u64,
    /// When it was started.
    pub(crate) began: Instant,
    first: Child,
    /// Generation 0's pid, and the id of the process group in which all generations are.
    group: Pid,
    newest: Pid,
    /// One pipe for all generations: its end is the end of the last.
    lines: Lines<BufReader<ChildStdout>>,
    /// What all of them have said besides, and nobody has asked for yet.
    said: Vec<String>,
    gone: bool,
}

impl Fleet {
    /// Starts generation 0 of `examples/axum.rs`, and waits until it is ready.
    pub(crate) async fn start(program: &PathBuf, arguments: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command.args(["--listen", "127.0.0.1:0", "--threads", "1"]).args(arguments).env("RUST_LOG", "error");
        Self::start_by(command).await
    }

    /// Any server that says `ready generation=… pid=… …=address` when it is.
    pub(crate) async fn start_by(mut command: Command) -> anyhow::Result<Self> {
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped());
        let began = Instant::now();
        let mut first = command.spawn().with_context(|| format!("start {command:?}"))?;
        let group = Pid::from_raw(first.id().context("it has ended")?.try_into()?);
        let lines = BufReader::new(first.stdout.take().context("it is piped")?).lines();
        let address = SocketAddr::from(([0; 4], 0));
        let said = Vec::new();
        let mut fleet = Self { address, generation: 0, began, first, group, newest: group, lines, said, gone: false };
        fleet.address = fleet.ready(0).await?.parse()?;
        Ok(fleet)
    }

    /// Asks for a successor.
    pub(crate) fn signal(&self) -> anyhow::Result<Instant> {
        let asked = Instant::now();
        kill(self.newest, Signal::SIGUSR2)?;
        Ok(asked)
    }

    /// Waits until the successor is ready and its predecessor has ended.
    pub(crate) async fn succeeded(&mut self) -> anyhow::Result<()> {
        let predecessor = self.newest;
        self.ready(self.generation + 1).await?;
        self.generation += 1;
        let ended = async {
            while is_alive(predecessor) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, ended).await.with_context(|| format!("{predecessor} does not end"))
    }

    /// Waits until this generation says that it is ready, and where it listens.
    async fn ready(&mut self, generation: u64) -> anyhow::Result<String> {
        let begin = format!("ready generation={generation} pid=");
        let said = async {
            while let Some(line) = self.lines.next_line().await? {
                let Some((pid, address)) = line.strip_prefix(&begin).and_then(|rest| rest.split_once(' ')) else {
                    self.said.push(line);
                    continue;
                };
                self.newest = Pid::from_raw(pid.parse()?);
                let (_, address) = address.split_once('=').context("`ready` without an address")?;
                return Ok(address.to_owned());
            }
            bail!("all generations have ended")
        };
        timeout(PATIENCE, said).await.with_context(|| format!("generation {generation} is not ready"))?
    }

    /// What was said before and nobody has asked for is forgotten.
    pub(crate) fn forget(&mut self) {
        self.said.clear();
    }

    /// The first line that ends so and is not forgotten, now or when it comes.
    pub(crate) async fn said(&mut self, end: &str) -> anyhow::Result<String> {
        let said = async {
            loop {
                if let Some(line) = self.said.iter().find(|line| line.ends_with(end)) {
                    return Ok(line.clone());
                }
                let line = self.lines.next_line().await?.context("all generations have ended")?;
                self.said.push(line);
            }
        };
        timeout(PATIENCE, said).await.with_context(|| format!("nobody says {end:?}"))?
    }

    /// The newest generation's.
    pub(crate) fn pid(&self) -> u32 {
        self.newest.as_raw().unsigned_abs()
    }

    /// Ends the newest generation, and waits for all.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        kill(self.newest, Signal::SIGTERM)?;
        let all_said = async { while let Ok(Some(_)) = self.lines.next_line().await {} };
        timeout(PATIENCE, all_said).await.context("the server does not stop")?;
        self.gone = true;
        self.first.wait().await?;
        Ok(())
    }
}

/// Where a benchmark fails half way.
impl Drop for Fleet {
    fn drop(&mut self) {
        if !self.gone {
            // It fails where nobody is left, and that is what it is for.
            let _ = killpg(self.group, Signal::SIGKILL);
        }
    }
}

/// A zombie is not.
fn is_alive(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

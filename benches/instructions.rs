//! Instructions per request, which no neighbour on the machine changes: `Graceful::serve` beside plain `axum::serve`, and
//! beside itself where no connection is ever handed over.
//!
//! Each serves n requests under valgrind, then 2n in a new process; the difference is what n cost, without start and
//! end. User mode only, on a current-thread runtime. The client asks on all its connections, then reads all answers:
//! with one connection each request has a turn of the reactor for itself, with 16 they share it, as under load. Each
//! connection needs some hundred requests: until then hyper's first read buffer is not used up, and costs less.
//!
//! The second row leaves out what is executed in glibc's allocator: with the same calls it takes some hundred
//! instructions more or less per request, as chunks happen to lie.
//!
//! ```text
//! cargo bench --bench instructions
//! cargo bench --bench instructions -- --requests 50000 --keep /tmp   # then: callgrind_annotate /tmp/ours-16-100000
//! ```

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod support;

use std::{
    collections::HashMap,
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    ops::Sub,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::Context;
use clap::Parser;
use support::{Harness, Kind, Subject};

/// Instructions per request, by valgrind
#[derive(Debug, Parser)]
struct Args {
    /// The smaller number of requests
    #[arg(long, default_value_t = 8_000)]
    requests: usize,
    /// How many kept-alive connections
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16])]
    connections: Vec<usize>,
    /// A directory that keeps callgrind's files, by the names `KIND-CONNECTIONS-REQUESTS`
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    #[command(flatten)]
    harness: Harness,
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: bench\r\n\r\n";

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(kind) = args.harness.serve {
        return kind.serve();
    }
    println!("instructions per request         ours      plain   ours / plain   without handover   ours / without");
    for &connections in &args.connections {
        let per_request = |kind| args.per_request(kind, connections);
        let kinds = [per_request(Kind::Ours)?, per_request(Kind::Plain)?, per_request(Kind::Never)?];
        let row = |what: &str, of: fn(Instructions) -> f64| {
            let [ours, plain, never] = kinds.map(of);
            let (by_plain, by_never) = (ours / plain, ours / never);
            println!("{what:<25} {ours:>11.0} {plain:>10.0} {by_plain:>14.3} {never:>18.0} {by_never:>16.3}");
        };
        row(&format!("{connections} connections"), |kind| kind.all);
        row("  but in malloc and free", |kind| kind.all - kind.allocator);
    }
    Ok(())
}

/// What was executed.
#[derive(Clone, Copy, Debug, Default)]
struct Instructions {
    all: f64,
    /// Of these in malloc, free, and what they call.
    allocator: f64,
}

impl Args {
    fn per_request(&self, kind: Kind, connections: usize) -> anyhow::Result<Instructions> {
        let rounds = self.requests.div_ceil(connections);
        let more = self.instructions(kind, connections, 2 * rounds)? - self.instructions(kind, connections, rounds)?;
        let requests = (rounds * connections) as f64;
        Ok(Instructions { all: more.all / requests, allocator: more.allocator / requests })
    }

    /// What a server executes from its start to its end.
    fn instructions(&self, kind: Kind, connections: usize, rounds: usize) -> anyhow::Result<Instructions> {
        let place = tempfile::tempdir()?;
        let name = format!("{kind}-{connections}-{}", connections * rounds);
        let file = self.keep.as_deref().unwrap_or_else(|| place.path()).join(name);
        let subject = Subject::start_by(under_callgrind(&file)?, kind)?;
        ask(subject.address, connections, rounds)?;
        let said = subject.stop()?;
        let profile = fs::read_to_string(&file).with_context(|| format!("{}: {said}", file.display()))?;
        Ok(Instructions::of(&profile))
    }
}

impl Instructions {
    /// Adds up what each function executes itself, by callgrind's format.
    fn of(profile: &str) -> Self {
        let (mut sum, mut names, mut in_allocator) = (Self::default(), HashMap::new(), false);
        let mut lines = profile.lines();
        while let Some(line) = lines.next() {
            if let Some((called, id)) = line.split_once("fn=") {
                // A function is named once, `fn=(7) malloc`, and then called `fn=(7)`.
                let (id, name) = id.split_once(' ').unwrap_or((id, ""));
                let is_allocator = *names.entry(id).or_insert_with(|| is_allocator(name));
                in_allocator = if called.is_empty() { is_allocator } else { in_allocator };
            } else if line.starts_with("calls=") {
                lines.next(); // what the called one executes, which is counted there
            } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
                let cost = line.split(' ').nth(1).and_then(|cost| cost.parse().ok()).unwrap_or(0.0);
                sum.all += cost;
                sum.allocator += if in_allocator { cost } else { 0.0 };
            }
        }
        sum
    }
}

fn is_allocator(name: &str) -> bool {
    const NAMES: [&str; 5] = ["malloc", "free", "calloc", "realloc", "posix_memalign"];
    const BEGINNINGS: [&str; 5] = ["_int_", "malloc_", "unlink_chunk", "_mid_memalign", "tcache_"];
    NAMES.contains(&name) || BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
}

impl Sub for Instructions {
    type Output = Self;

    fn sub(self, less: Self) -> Self {
        Self { all: self.all - less.all, allocator: self.allocator - less.allocator }
    }
}

fn under_callgrind(file: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", &format!("--callgrind-out-file={}", file.display())]);
    command.arg(std::env::current_exe()?).stderr(Stdio::piped());
    Ok(command)
}

/// One client, and no runtime: the order of events is the same in each run.
fn ask(address: SocketAddr, connections: usize, rounds: usize) -> anyhow::Result<()> {
    let connect = |_| {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        anyhow::Ok(stream)
    };
    let mut streams = (0..connections).map(connect).collect::<Result<Vec<_>, _>>()?;
    for _ in 0..rounds {
        streams.iter_mut().try_for_each(|stream| stream.write_all(REQUEST))?;
        streams.iter_mut().try_for_each(read_answer)?;
    }
    Ok(())
}

fn read_answer(stream: &mut TcpStream) -> anyhow::Result<()> {
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nhello world") {
        let mut some = [0; 512];
        let read = stream.read(&mut some)?;
        anyhow::ensure!(read > 0, "an answer ends after {:?}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&some[..read]);
    }
    Ok(())
}

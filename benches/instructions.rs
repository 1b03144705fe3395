//! Instructions per request, which no neighbour on the machine changes: `Graceful::serve` beside plain `axum::serve`.
//!
//! Each serves n requests under valgrind, then 2n in a new process; the difference is what n cost, without start and
//! end. User mode only, on a current-thread runtime. The client asks on all its connections, then reads all answers:
//! with one connection each request has a turn of the reactor for itself, with 16 they share it, as under load. Each
//! connection needs some hundred requests: until then hyper's first read buffer is not used up, and costs less.
//!
//! ```text
//! cargo bench --bench instructions
//! cargo bench --bench instructions -- --requests 50000 --keep /tmp   # then: callgrind_annotate /tmp/ours-16-100000
//! ```

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod support;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
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
    println!("connections       ours      plain   ours / plain   (instructions per request)");
    for &connections in &args.connections {
        let [ours, plain] = Kind::BOTH.map(|kind| args.per_request(kind, connections));
        let (ours, plain) = (ours?, plain?);
        println!("{connections:>11}  {ours:>9.0}  {plain:>9.0}          {:.3}", ours / plain);
    }
    Ok(())
}

impl Args {
    fn per_request(&self, kind: Kind, connections: usize) -> anyhow::Result<f64> {
        let rounds = self.requests.div_ceil(connections);
        let once = self.instructions(kind, connections, rounds)?;
        let twice = self.instructions(kind, connections, 2 * rounds)?;
        Ok((twice - once) / (rounds * connections) as f64)
    }

    /// What a server executes from its start to its end.
    fn instructions(&self, kind: Kind, connections: usize, rounds: usize) -> anyhow::Result<f64> {
        let name = format!("{kind}-{connections}-{}", connections * rounds);
        let file = self.keep.as_deref().map_or_else(|| PathBuf::from("/dev/null"), |place| place.join(name));
        let subject = Subject::start_by(under_callgrind(&file)?, kind)?;
        ask(subject.address, connections, rounds)?;
        let said = subject.stop()?;
        let collected = said.lines().find_map(|line| line.split_once("Collected :"));
        Ok(collected.with_context(|| said.clone())?.1.trim().parse()?)
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

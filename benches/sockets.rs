//! What more listening sockets add to a restart, and where.
//!
//! Servers with so many listeners, each of them served, all alive at once and restarted in turn; one client, that opens a
//! connection for each request, sees the successor. All processes read one clock, so the parts of a restart come from
//! their own logs:
//!
//! * *gather*: from the signal until the predecessor has started the program and said HELLO;
//! * *pass*: until it hears ACCEPTED, with the successor's own start;
//! * *claim*: until the successor has claimed every socket and spawned its `serve`;
//! * *ready*: until the predecessor hears READY;
//! * *serve*: until the first answer, while the predecessor lets its sockets go.
//!
//! Beside it the kernel's floor: as many listeners over a socket pair within one process, in messages of 253, and each
//! registered with the reactor. No probation: the successor answers before it in any case.
//!
//! ```text
//! cargo bench --features http2 --bench sockets                            # 20 rounds, some 40 s
//! cargo bench --features http2 --bench sockets -- --rounds 3 --sockets 1,1000
//! ```

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(unsafe_code, clippy::disallowed_methods, reason = "the floor is the system's own calls")]

mod support;

use std::{
    array, fmt,
    io::{IoSlice, IoSliceMut},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    time::{Duration, Instant},
};

use anyhow::Context;
use axum::{Router, http::HeaderValue, middleware::map_response, response::Response, routing::get};
use clap::Parser;
use load::{Exchange, Load, Mode};
use nix::{
    cmsg_space,
    sys::socket::{
        AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, sendmsg, socketpair,
    },
    time::{ClockId, clock_gettime},
};
use support::{Fleet, Harness, Summary, cpu_time, ms, quantile, raise_descriptor_limit};
use tokio::{net, process::Command};
use tokio_hotrestart::Graceful;
use tracing_subscriber::fmt::{format::Writer, time::FormatTime};

/// What more listening sockets add to a restart
#[derive(Debug, Parser)]
struct Args {
    /// Restarts of each server
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// How many listeners each server has; the first is what the others are compared with
    #[arg(long, value_delimiter = ',', default_value = "1,252,1000,4000")]
    sockets: Vec<usize>,
    /// Be such a server
    #[arg(long, hide = true, value_name = "SOCKETS")]
    many: Option<usize>,
    #[command(flatten)]
    harness: Harness,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(sockets) = args.many {
        return serve(sockets).await;
    }
    // The application's socket and the crate's duplicate of each, and here both ends of the floor.
    let most = args.sockets.iter().max().copied().unwrap_or_default() as u64;
    let limit = raise_descriptor_limit()?;
    anyhow::ensure!(2 * most + 100 < limit, "the system allows {limit} descriptors");
    args.compare().await
}

/// One server and its figures.
struct Subject {
    sockets: usize,
    fleet: Fleet,
    /// In milliseconds, a row for each restart.
    rows: Vec<[f64; COLUMNS.len()]>,
}

/// `answer`: from the signal to the first one. `READY`: from the spawn. Then the parts of `answer`; and, for a machine
/// that others use as well, the processor time of the predecessor from the signal to its end, and of the successor until
/// it is confirmed; and the floor.
const COLUMNS: [&str; 10] =
    ["answer", "READY", "gather", "pass", "claim", "ready", "serve", "P's CPU", "S's CPU", "floor"];
/// Of these also what each socket adds.
const COMPARED: [usize; 5] = [0, 1, 7, 8, 9];

impl Args {
    async fn compare(&self) -> anyhow::Result<()> {
        let mut subjects = Vec::new();
        for &sockets in &self.sockets {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["--many", &sockets.to_string()]);
            subjects.push(Subject { sockets, fleet: Fleet::start_by(command).await?, rows: Vec::new() });
        }
        for _ in 0..self.rounds {
            for subject in &mut subjects {
                subject.restart().await?;
            }
            // There and back, so that none is always the one after the largest, whose end keeps the kernel busy.
            subjects.reverse();
        }
        subjects.sort_by_key(|subject| self.sockets.iter().position(|sockets| *sockets == subject.sockets));
        report(&subjects);
        for subject in subjects {
            subject.fleet.stop().await?;
        }
        Ok(())
    }
}

impl Subject {
    async fn restart(&mut self) -> anyhow::Result<()> {
        let load = Load::new(self.fleet.address, Mode::Fresh(Exchange::get())).think(Duration::from_millis(1)).start();
        load.reach(30).await?;
        self.fleet.forget();
        let used = cpu_time(self.fleet.pid())?;
        let began = Clock::now();
        let asked = self.fleet.signal()?;
        let answered = load.generation(self.fleet.generation + 1).await? - asked;
        self.fleet.succeeded().await?;
        let tally = load.stop().await;
        anyhow::ensure!(tally.lost() == 0, "{tally}");
        let mut at = [Duration::ZERO; 4];
        for (at, event) in at.iter_mut().zip(["Spawned", "Accepted", "Claimed", "Ready"]) {
            *at = Clock::read(&self.fleet.said(&format!("event={event}")).await?)?.since(began);
        }
        let [spawned, accepted, claimed, ready] = at.map(ms);
        let answered = ms(answered);
        let by_predecessor = Clock::read(&self.fleet.said("used by the predecessor").await?)?.since(Clock(used));
        let by_successor = Clock::read(&self.fleet.said("used by the successor").await?)?.0;
        self.rows.push([
            answered,
            ready - spawned,
            spawned,
            accepted - spawned,
            claimed - accepted,
            ready - claimed,
            answered - ready,
            ms(by_predecessor),
            ms(by_successor),
            ms(floor(self.sockets)?),
        ]);
        Ok(())
    }

    fn column(&self, column: usize) -> Vec<f64> {
        self.rows.iter().map(|row| row[column]).collect()
    }

    /// Each restart beyond that of another server in the same round.
    fn beyond(&self, other: &Self, column: usize) -> Summary {
        let pairs = self.rows.iter().zip(&other.rows);
        Summary::of(&pairs.map(|(ours, theirs)| ours[column] - theirs[column]).collect::<Vec<_>>())
    }
}

fn report(subjects: &[Subject]) {
    let Some((one, more)) = subjects.split_first() else { return };
    println!("ms, medians    {}", COLUMNS.map(|name| format!("{name:>8}")).concat());
    for it in subjects {
        let medians: [_; COLUMNS.len()] = array::from_fn(|column| quantile(&it.column(column), 0.5));
        println!("{:>5} sockets  {}", it.sockets, medians.map(|median| format!("{median:>8.2}")).concat());
    }
    for it in more {
        println!("{} sockets beyond {}: ms by pairs [95 %], and us for each socket", it.sockets, one.sockets);
        for column in COMPARED {
            let beyond = it.beyond(one, column);
            let each = 1e3 * beyond.median / (it.sockets - one.sockets) as f64;
            println!("  {:<8} {:<28} {each:>6.2}", COLUMNS[column], beyond.to_string());
        }
    }
}

/// Is the server, and says when it has done what.
async fn serve(sockets: usize) -> anyhow::Result<()> {
    let filter = "tokio_hotrestart::graceful::life=debug";
    tracing_subscriber::fmt().with_env_filter(filter).with_timer(Clock::now()).with_ansi(false).init();
    let graceful = Graceful::builder().probation(Duration::ZERO).build().await?;
    let generation = HeaderValue::from(graceful.generation());
    let mark = move |mut response: Response| {
        response.headers_mut().insert("x-generation", generation.clone());
        std::future::ready(response)
    };
    let app = Router::new().route("/", get(|| async { "hello world" })).layer(map_response(mark));
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    for number in 1..sockets {
        let listener = graceful.listen(&format!("http-{number}"), any).await?;
        tokio::spawn(graceful.serve(listener, app.clone()));
    }
    // The one that is asked has its turn after all others.
    let listener = graceful.listen("http", any).await?;
    let address = listener.local_addr()?;
    tokio::spawn(graceful.serve(listener, app));
    println!("{} event=Claimed", Clock::now());
    graceful.ready().await?;
    println!("{} used by the successor", Clock::used()?);
    println!("ready generation={} pid={} http={address}", graceful.generation(), std::process::id());
    graceful.restart_signal().await;
    graceful.drain().await;
    println!("{} used by the predecessor", Clock::used()?);
    Ok(())
}

/// How long as many listeners take through a socket pair, and into the reactor.
fn floor(sockets: usize) -> anyhow::Result<Duration> {
    let bind = |_| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    let listeners = (0..sockets).map(bind).collect::<std::io::Result<Vec<_>>>()?;
    let (here, there) = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)?;
    let mut registered = Vec::new();
    let began = Instant::now();
    for batch in listeners.chunks(253) {
        let numbers: Vec<_> = batch.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&numbers)];
        sendmsg::<()>(here.as_raw_fd(), &[IoSlice::new(&[0])], &rights, MsgFlags::empty(), None)?;
        let (mut byte, mut control) = ([0], cmsg_space!([RawFd; 253]));
        let mut into = [IoSliceMut::new(&mut byte)];
        let received = recvmsg::<()>(there.as_raw_fd(), &mut into, Some(&mut control), MsgFlags::MSG_CMSG_CLOEXEC)?;
        for message in received.cmsgs()? {
            if let ControlMessageOwned::ScmRights(numbers) = message {
                for number in numbers {
                    // SAFETY: the kernel has just installed it in this process, so nobody else owns it.
                    let listener = unsafe { OwnedFd::from_raw_fd(number) };
                    registered.push(net::TcpListener::from_std(listener.into())?);
                }
            }
        }
    }
    let took = began.elapsed();
    anyhow::ensure!(registered.len() == sockets, "{} of {sockets} have arrived", registered.len());
    Ok(took)
}

/// A moment on the clock that all processes of the machine share.
#[derive(Clone, Copy)]
struct Clock(Duration);

impl Clock {
    fn now() -> Self {
        Self(clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default())
    }

    /// On this process's own clock, which goes only while it runs.
    fn used() -> nix::Result<Self> {
        clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map(Duration::from).map(Self)
    }

    /// From the beginning of a line.
    fn read(line: &str) -> anyhow::Result<Self> {
        let number = line.split(' ').next().unwrap_or_default();
        Ok(Self(Duration::from_nanos(number.parse().with_context(|| format!("no time in {line:?}"))?)))
    }

    fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_nanos().fmt(f)
    }
}

/// For the crate's log.
impl FormatTime for Clock {
    fn format_time(&self, to: &mut Writer<'_>) -> fmt::Result {
        write!(to, "{}", Self::now())
    }
}

//! What restarts do to datagrams that come at a steady rate.
//!
//! `examples/udp_echo.rs` is restarted again and again, with its half second of probation, while some sockets send
//! numbered datagrams by the clock, answered or not. Each is to come back exactly once. A datagram that finds a socket's
//! buffer full is dropped by the kernel, which counts it (`drops` in `/proc/net/udp`): those are told apart. Exits with 1
//! where one is lost otherwise, comes back twice, or finds nobody.
//!
//! ```text
//! cargo bench --features http2 --bench udp                                # 20 restarts, some 15 s
//! cargo bench --features http2 --bench udp -- --restarts 5 --rate 20000
//! ```

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod support;

use std::{
    collections::HashSet,
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    process::ExitCode,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::Parser;
use socket2::SockRef;
use support::{Fleet, Harness, example, ms};
use tokio::{
    net::UdpSocket,
    process::Command,
    sync::watch,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

/// What restarts do to datagrams that come at a steady rate
#[derive(Debug, Parser)]
struct Args {
    /// How often the server is restarted
    #[arg(long, default_value_t = 20)]
    restarts: usize,
    /// Datagrams a second, by all clients together
    #[arg(long, default_value_t = 5_000)]
    rate: u64,
    /// Sockets that send and receive
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// An answer that takes longer is late
    #[arg(long, value_name = "MS", default_value_t = 50)]
    late: u64,
    #[command(flatten)]
    harness: Harness,
}

/// Nothing is on its way any more when no answer has come for so long.
const SILENCE: Duration = Duration::from_secs(1);

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let mut command = Command::new(example("udp_echo")?);
    command.args(["--listen", "127.0.0.1:0"]).env("RUST_LOG", "error");
    let mut fleet = Fleet::start_by(command).await?;
    let clients = Clients::new(fleet.address, args.clients).await?;
    let enough = CancellationToken::new();
    let sending = tokio::spawn(clients.clone().send(args.rate, enough.clone()));
    let mut restarts = Vec::new();
    // A fifth of a second without a restart, before each and at the end.
    clients.answered_more(args.rate / 5).await?;
    for _ in 0..args.restarts {
        let asked = fleet.signal()?;
        fleet.succeeded().await?;
        restarts.push((asked, Instant::now()));
        clients.answered_more(args.rate / 5).await?;
    }
    enough.cancel();
    sending.await?;
    clients.silent().await;
    let dropped = clients.dropped(fleet.address)?;
    fleet.stop().await?;
    Ok(clients.book().report(&args, &restarts, dropped))
}

/// All sockets, and what they have seen.
#[derive(Clone)]
struct Clients {
    sockets: Arc<[UdpSocket]>,
    book: Arc<Mutex<Book>>,
    answered: watch::Sender<u64>,
}

/// Every datagram by its number.
#[derive(Default)]
struct Book {
    sent: Vec<Instant>,
    /// For how long each that has come back was away.
    away: Vec<Option<Duration>>,
    /// When something came back, in order.
    heard: Vec<Instant>,
    doubled: u64,
    /// Said by the kernel: nobody was bound there.
    refused: u64,
}

impl Clients {
    async fn new(server: SocketAddr, count: usize) -> anyhow::Result<Self> {
        let mut sockets = Vec::new();
        for _ in 0..count {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            socket.connect(server).await?;
            // What is measured is the server's buffer.
            SockRef::from(&socket).set_recv_buffer_size(4 << 20)?;
            sockets.push(socket);
        }
        let clients = Self { sockets: sockets.into(), book: Arc::default(), answered: watch::Sender::new(0) };
        for number in 0..count {
            tokio::spawn(clients.clone().receive(number));
        }
        Ok(clients)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("nobody panics while it is locked")
    }

    /// By the clock: what could not be sent in time is sent as soon as it can be.
    async fn send(self, rate: u64, enough: CancellationToken) {
        let mut clock = interval(Duration::from_millis(1));
        clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let began = Instant::now();
        let mut sockets = self.sockets.iter().cycle();
        for number in 0_u64.. {
            while began.elapsed().as_nanos() < u128::from(number) * 1_000_000_000 / u128::from(rate) {
                clock.tick().await;
            }
            let Some(socket) = sockets.next().filter(|_| !enough.is_cancelled()) else { return };
            {
                let mut book = self.book();
                book.sent.push(Instant::now());
                book.away.push(None);
            }
            // The kernel says here as well that an earlier one found nobody; this one is not sent then.
            while let Err(error) = socket.send(&number.to_le_bytes()).await {
                self.book().note(&error);
            }
        }
    }

    async fn receive(self, client: usize) {
        let mut datagram = [0; 8];
        loop {
            let received = self.sockets[client].recv(&mut datagram).await;
            match received {
                Ok(_) => self.book().heard(u64::from_le_bytes(datagram)),
                Err(error) => self.book().note(&error),
            }
            self.answered.send_modify(|answered| *answered += 1);
        }
    }

    /// Waits for so many more answers.
    async fn answered_more(&self, count: u64) -> anyhow::Result<()> {
        let mut answered = self.answered.subscribe();
        let wanted = *answered.borrow() + count;
        let reached = answered.wait_for(|answered| *answered >= wanted);
        timeout(Duration::from_secs(30), reached).await.context("no answers come any more")??;
        Ok(())
    }

    async fn silent(&self) {
        let mut answered = self.answered.subscribe();
        while timeout(SILENCE, answered.changed()).await.is_ok() {}
    }

    /// What the kernel has dropped because a buffer was full: the server's, and the clients'.
    fn dropped(&self, server: SocketAddr) -> anyhow::Result<[u64; 2]> {
        let clients = self.sockets.iter().map(|socket| Ok(socket.local_addr()?.port()));
        let clients = clients.collect::<io::Result<HashSet<_>>>()?;
        let mut dropped = [0; 2];
        for row in fs::read_to_string("/proc/net/udp")?.lines().skip(1) {
            let fields: Vec<_> = row.split_whitespace().collect();
            let (Some((_, port)), Some(drops)) = (fields[1].split_once(':'), fields.last()) else { continue };
            let port = u16::from_str_radix(port, 16)?;
            let whose = if port == server.port() { 0 } else { 1 };
            if whose == 0 || clients.contains(&port) {
                dropped[whose] += drops.parse::<u64>()?;
            }
        }
        Ok(dropped)
    }
}

impl Book {
    fn heard(&mut self, number: u64) {
        let now = Instant::now();
        self.heard.push(now);
        let number = number as usize;
        match self.away[number].replace(now - self.sent[number]) {
            None => {}
            Some(_) => self.doubled += 1,
        }
    }

    fn note(&mut self, error: &io::Error) {
        println!("a client's socket: {error}");
        self.refused += 1;
    }

    fn report(&self, args: &Args, restarts: &[(Instant, Instant)], [at_server, at_clients]: [u64; 2]) -> ExitCode {
        let sent = self.sent.len() as u64;
        let answered = self.away.iter().flatten().count() as u64;
        let lost = sent - answered;
        let unexplained = lost.saturating_sub(at_server + at_clients);
        let late = self.away.iter().flatten().filter(|away| **away > Duration::from_millis(args.late)).count();
        let longest = self.away.iter().flatten().max().copied().unwrap_or_default();
        let [within, outside] = self.gaps(restarts);
        println!("{} restarts, {} datagrams a second from {} sockets", args.restarts, args.rate, args.clients);
        println!("sent        {sent:>8}");
        println!("answered    {answered:>8}   once each but for {} doubled", self.doubled);
        println!(
            "lost        {lost:>8}   {at_server} to the server's full buffer, {at_clients} to a client's, {unexplained} OTHERWISE"
        );
        println!("refused     {:>8}", self.refused);
        println!("late        {late:>8}   by more than {} ms; the longest {:.1} ms", args.late, ms(longest));
        println!("longest gap {:>8.1} ms between two answers in a restart, {:.1} ms outside", ms(within), ms(outside));
        ExitCode::from(u8::from(unexplained + self.doubled + self.refused > 0))
    }

    /// The longest time between two answers, in restarts and outside.
    fn gaps(&self, restarts: &[(Instant, Instant)]) -> [Duration; 2] {
        let mut longest = [Duration::ZERO; 2];
        for (one, next) in self.heard.iter().zip(self.heard.iter().skip(1)) {
            let is_within = restarts.iter().any(|(asked, ended)| next > asked && one < ended);
            let longest = &mut longest[usize::from(!is_within)];
            *longest = (*longest).max(*next - *one);
        }
        longest
    }
}

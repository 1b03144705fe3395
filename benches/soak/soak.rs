//! From the seed to the verdict.

use std::{
    net::{Ipv4Addr, SocketAddr},
    process::ExitCode,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use fastrand::Rng;
use tokio::{
    runtime::Handle,
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_hotrestart::control;
use tokio_util::sync::CancellationToken;

use super::{
    Args,
    book::Book,
    clients::{Clients, Kind},
    conductor::Conductor,
    datagrams,
    fleet::Fleet,
    level::Level,
    operation::Operation,
    place::Place,
    probe,
    support::ms,
    watchman,
};

/// From the seed to the verdict.
pub(super) async fn soak(args: &Args, others: &Handle) -> anyhow::Result<ExitCode> {
    let seed = args.seed.map_or_else(any_seed, Ok)?;
    let again = format!("cargo bench --features http2 --bench soak -- --seconds {} --seed {seed}", args.seconds);
    let network = if args.apart { "a network of its own" } else { "the machine's network" };
    println!("seed {seed}, in {network}; the same operations in the same order, as many as there is time for: {again}");
    let book = Arc::new(Book::new());
    let threads = if seed % 2 == 0 { 1 } else { 2 };
    let fleet = Arc::new(Fleet::new(Place::new()?, threads, Arc::clone(&book))?);
    let carried_out = tokio::select! {
        biased;
        () = book.until_violated() => Ok(()),
        carried_out = carry_out(args, seed, &fleet, others) => carried_out,
    };
    if let Err(error) = &carried_out {
        book.violated(format!("{error:#}"));
    }
    let violations = book.violations();
    if violations.is_empty() {
        println!("lost                0 otherwise");
        return Ok(ExitCode::SUCCESS);
    }
    println!("\nVIOLATED, with seed {seed}:");
    violations.iter().take(10).for_each(|violation| println!("  {violation}"));
    println!("the last operations:");
    book.last_operations().iter().for_each(|line| println!("  {line}"));
    println!("the servers' last words:\n{}", fleet.log_tail());
    println!("again: {again}");
    Ok(ExitCode::FAILURE)
}

async fn carry_out(args: &Args, seed: u64, fleet: &Arc<Fleet>, others: &Handle) -> anyhow::Result<()> {
    let book = Arc::clone(&fleet.book);
    fleet.start_anew().await?;
    let [http, lines, udp] = fleet.place.ports.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let mut clients = Clients::new([http, lines], fleet.place.file("unix"), Arc::clone(&book), others.clone());
    Kind::ALL.into_iter().for_each(|kind| clients.more(kind, 3));
    let enough = CancellationToken::new();
    let probe = tokio::spawn(probe::probe(http, Duration::from_millis(args.gap), Arc::clone(&book), enough.clone()));
    let datagrams = others.spawn(datagrams::send(udp, Arc::clone(&book), enough.clone()));
    let watchman = tokio::spawn(watchman::watch(Arc::clone(fleet), enough.clone()));

    let (storms, level) = (JoinSet::new(), Level::default());
    let (done, fleet) = (Default::default(), Arc::clone(fleet));
    let mut conductor =
        Conductor { fleet: Arc::clone(&fleet), book: Arc::clone(&book), clients, http, storms, level, done };
    let mut rng = Rng::with_seed(seed);
    let end = Instant::now() + Duration::from_secs(args.seconds);
    let mut operations = 0;
    while Instant::now() < end {
        operations += 1;
        let operation = Operation::draw(&mut rng);
        let pause = Duration::from_millis(rng.u64(0..300));
        conductor.carry_out(operations, operation).await?;
        sleep(pause).await;
        if operations % 20 == 0 {
            conductor.rest().await?;
        }
    }
    conductor.rest().await?;
    let Conductor { clients, level, done, .. } = conductor;
    enough.cancel();
    let (gaps, datagrams, most) = (probe.await??, datagrams.await??, watchman.await??);
    let (tallies, seen) = clients.end().await;
    stop(&fleet).await?;

    let figures = book.figures();
    println!("\noperations {operations:>8}, seed {seed}, {} s", args.seconds);
    for (operation, outcomes) in &done {
        let outcomes: Vec<_> = outcomes.iter().map(|(outcome, times)| format!("{times} {outcome}")).collect();
        println!("  {operation:<16} {}", outcomes.join(", "));
    }
    println!("requests     answered  explained  reconnects (told, after a kill)    p50     p99   p99.9     max ms");
    for (kind, tally) in &tallies {
        let name = format!("{kind:?}").to_lowercase();
        let lost = figures.explained.get(&name).copied().unwrap_or_default();
        let percentile = |part| ms(tally.outside().percentile(part));
        println!(
            "  {name:<10} {:>8} {lost:>10} {:>9} ({}, {}) {:>19.1} {:>7.1} {:>7.1} {:>8.1}",
            tally.answered(),
            tally.reconnects(),
            tally.told(),
            tally.untold(),
            percentile(50.0),
            percentile(99.0),
            percentile(99.9),
            ms(tally.outside().max()),
        );
    }
    let (answered, again) = (seen.answered.load(Relaxed), seen.again.load(Relaxed));
    println!("  lines      {answered:>8} {:>10} {again:>9} sent again", figures.explained.get("lines").unwrap_or(&0));
    let datagrams::Datagrams { sent, answered, explained } = datagrams;
    println!("  datagrams  {answered:>8} {explained:>10}           of {sent} sent");
    let explained: u64 = figures.explained.values().sum();
    println!(
        "lost         {explained:>8} in kills, {} of them as an idle connection ended whose server had lost its successor",
        figures.raced
    );
    let (told, sent_back) = (figures.told, figures.sent_back);
    println!(
        "told to go   {told:>8} of HTTP/1.1 and WebSockets, {sent_back} of lines; {} came back after a kill",
        figures.bereaved
    );
    let facts = fleet.facts();
    println!(
        "generations  {:>8}; handed over {}, raced {}, cut {}",
        facts.generations, facts.handed, facts.raced, facts.cut
    );
    println!(
        "longest gap  {:>8.1} ms; {:.1} ms where a process stood still or was killed",
        ms(gaps.longest),
        ms(gaps.explained)
    );
    let peak = level.peak;
    println!(
        "at most      {most:>8} processes; {} descriptors beside clients, {} threads, {} KiB",
        peak.descriptors, peak.threads, peak.memory
    );
    Ok(())
}

/// Stops the server, and looks whether anything is left.
async fn stop(fleet: &Fleet) -> anyhow::Result<()> {
    control::stop(fleet.place.file("control")).await.context("the server stops when it is asked to")?;
    let end = Instant::now() + Duration::from_secs(20);
    while !fleet.processes()?.0.is_empty() {
        anyhow::ensure!(Instant::now() < end, "no process is left at the end: {:?}", fleet.processes()?);
        sleep(Duration::from_millis(20)).await;
    }
    for name in ["control", "unix", "pid"] {
        anyhow::ensure!(!fleet.place.file(name).exists(), "no file is left at the end: {name}");
    }
    Ok(())
}

/// That of another run is another one.
fn any_seed() -> anyhow::Result<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
    Ok(u64::try_from(now % 1_000_000_000)? ^ u64::from(std::process::id()))
}

use std::{error::Error, fmt, thread::available_parallelism, time::Instant};

use anyhow::Context;
use load::{Outcome, Tally, Window};
use tokio::{
    runtime,
    signal::{
        ctrl_c,
        unix::{SignalKind, signal},
    },
    time::sleep,
};

use super::{Pace, course::Log, cpu::Cpu, percentiles::percentiles, slots, spinners::Spinners, wrk};
use crate::{
    results::Run,
    scenarios::{Clients, Course, Machine, Scenario},
    server::Setup,
    systems::{Running, System},
};

/// Starts a system, has clients ask it, restarts it meanwhile, and ends it.
pub(crate) fn measure(system: System, scenario: &Scenario, setup: &Setup, pace: Pace) -> anyhow::Result<Run> {
    let cores = available_parallelism()?.get();
    // The clients have one thread, as the server has, and this one only waits.
    let (clients, neighbours) = match scenario.machine {
        Machine::Free => (1, 0),
        Machine::Saturated => (cores, cores),
    };
    let runtime = runtime::Builder::new_multi_thread().worker_threads(clients).enable_all().build()?;
    let measured = async {
        let mut running = Running::start(system, &scenario.setup(setup)).await?;
        let spinners = Spinners::start(neighbours);
        let run = match scenario.clients {
            Clients::Wrk(script) => wrk::measure(&mut running, script, scenario.course, pace).await,
            clients => ask(&mut running, clients, scenario, pace).await,
        };
        drop(spinners);
        let mut run = run.with_context(|| last_words(&running))?;
        if scenario.clients == Clients::WebSocket {
            // Only its application knows where a WebSocket may be cut: no server does either by itself.
            run.notes.push(match system {
                System::OURS => "its application hands each over between two frames (`Graceful::hand_over`)".into(),
                _ => "its application says goodbye to each (1012)".into(),
            });
        }
        let expected_failures = usize::from(scenario.course == Course::BrokenRelease);
        Ok(Run { scenario: scenario.name.into(), system: system.to_string(), expected_failures, ..run })
    };
    // What is dropped ends the servers, which an end of this process would not.
    runtime.block_on(async {
        let mut terminated = signal(SignalKind::terminate())?;
        tokio::select! {
            run = measured => run,
            _ = ctrl_c() => Err(Interrupted.into()),
            _ = terminated.recv() => Err(Interrupted.into()),
        }
    })
}

/// Somebody wants this program to end.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl Error for Interrupted {}

async fn ask(system: &mut Running, clients: Clients, scenario: &Scenario, pace: Pace) -> anyhow::Result<Run> {
    let window = Window::default();
    let loads: Vec<_> = clients.loads(system, &window).into_iter().map(load::Load::start).collect();
    let [first, ..] = &loads[..] else { anyhow::bail!("nobody asks") };
    first.reach(clients.warm()).await?;
    // Thousands of connects at once are slow with everybody, and no restart's doing.
    loads.iter().for_each(load::Running::begin_anew);
    let began = Instant::now();
    let mut run = Run::default();
    let answered = || loads.iter().map(load::Running::answered).sum();
    let cpu = Some(Cpu::from_now(system, &answered)?);
    let log = Log { run: &mut run, window: &window, began, ports: None, think: clients.think(), cpu };
    // As long for all: one that drains for seconds has a quiet time after it.
    let per_second = async {
        sleep(pace.time).await;
        answered() as f64 / began.elapsed().as_secs_f64()
    };
    let (taken, per_second) = tokio::join!(scenario.course.take(system, pace, log), per_second);
    taken?;
    (run.seconds, run.per_second) = (began.elapsed().as_secs_f64(), per_second);
    let mut tally = Tally::default();
    for load in loads {
        tally += load.stop().await;
    }
    let counts = Outcome::ALL.into_iter().map(|outcome| (outcome.name().to_owned(), tally.count(outcome)));
    run.outcomes = counts.filter(|(_, count)| *count > 0).collect();
    (run.lost, run.reconnects) = (tally.lost(), tally.reconnects());
    (run.outside, run.in_restarts) = (percentiles(tally.outside()), percentiles(tally.in_restarts()));
    slots::note(&mut run, tally.timeline(), began);
    run.notes.extend(tally.failures().first().cloned());
    if scenario.gib > 0 {
        run.figures.insert("longest stall, ms".into(), run.in_restarts.max);
    }
    Ok(run)
}

/// What a system has said before something went wrong.
fn last_words(system: &Running) -> String {
    let log = system.log();
    let lines: Vec<_> = log.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

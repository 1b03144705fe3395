//! `examples/consumer.rs`: a restart loses no job, and repeats none.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use nix::sys::signal::Signal;

use super::{
    broker::{Client, Real, StandIn},
    program::{PATIENCE, Program},
    report::in_order,
};

const RESTARTS: u64 = 10;
const WORKERS: usize = 4;

fn consumer(broker: SocketAddr) -> Program {
    Program::start("consumer", ["--broker", &broker.to_string(), "--workers", &WORKERS.to_string()])
}

/// Somebody who puts jobs at a steady rate, at which workers are now busy and now wait.
struct Producer {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Vec<u64>>,
}

impl Producer {
    fn on(broker: SocketAddr) -> Self {
        let over = Arc::<AtomicBool>::default();
        let told = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let (mut broker, mut ids) = (Client::connect(broker), Vec::new());
            while !told.load(Ordering::Relaxed) {
                ids.push(broker.put());
                std::thread::park_timeout(Duration::from_millis(4));
            }
            ids
        });
        Self { over, thread }
    }

    /// Off. All jobs that it has put.
    fn off(self) -> Vec<u64> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().expect("no panic")
    }
}

/// Restarts ten times while jobs are put. Each generation works, and each job has exactly one result.
#[track_caller]
fn every_job_is_done_once(broker: SocketAddr) {
    let mut consumer = consumer(broker);
    let mut pid = consumer.ready(0).pid();
    let mut client = Client::connect(broker);
    let producer = Producer::on(broker);
    let mut results = Vec::new();
    for generation in 0..=RESTARTS {
        loop {
            let result = client.result(PATIENCE).unwrap_or_else(|| panic!("nobody works: {}", consumer.log()));
            results.push(result);
            if result.1 == generation {
                break;
            }
        }
        if generation < RESTARTS {
            pid = consumer.restart(generation, pid).pid();
        }
    }
    let jobs = producer.off();
    while results.len() < jobs.len() {
        let result = client.result(PATIENCE);
        results.push(result.unwrap_or_else(|| panic!("lost: {:?} of {}", missing(&jobs, &results), jobs.len())));
    }
    consumer.stop(pid);
    // Whatever there would be too much of is there by now.
    results.extend(std::iter::from_fn(|| client.result(Duration::ZERO)));
    assert_eq!(missing(&jobs, &results), [0; 0], "lost");
    assert_eq!(results.len(), jobs.len(), "repeated");
    let generations: BTreeSet<_> = results.iter().map(|(_, generation)| *generation).collect();
    assert!(generations.into_iter().eq(0..=RESTARTS));
}

fn missing(jobs: &[u64], results: &[(u64, u64)]) -> Vec<u64> {
    let done: BTreeSet<_> = results.iter().map(|(job, _)| *job).collect();
    jobs.iter().copied().filter(|job| !done.contains(job)).collect()
}

#[test]
fn ten_restarts_lose_no_job_and_repeat_none() {
    let broker = StandIn::start();
    every_job_is_done_once(broker.address);
    broker.was_treated_well();
}

#[test]
fn ten_restarts_before_the_real_broker_lose_no_job_and_repeat_none() {
    let Some(broker) = Real::start() else { return };
    every_job_is_done_once(broker.address);
    assert_eq!(["cmd-release", "job-timeouts", "current-jobs-ready"].map(|figure| broker.figure(figure)), [0; 3]);
}

#[test]
fn a_worker_that_waits_for_a_job_does_what_arrives_during_a_stop() {
    let broker = StandIn::start();
    let mut consumer = consumer(broker.address);
    let pid = consumer.ready(0).pid();
    broker.hold_waits(true);
    broker.until_waiting(WORKERS);
    consumer.signal(pid, Signal::SIGTERM);
    consumer.until_logged("draining", 1);
    let mut client = Client::connect(broker.address);
    let job = client.put();
    broker.until_results(1);
    broker.hold_waits(false);
    in_order(&consumer.until("stopped by signal 15: "));
    consumer.until_all_have_ended();
    assert!(consumer.first_exit().success());
    assert_eq!([client.result(PATIENCE), client.result(Duration::ZERO)], [Some((job, 0)), None]);
    broker.was_treated_well();
}

/// What the counters above would see.
#[test]
fn a_killed_consumer_repeats_its_job_and_loses_none() {
    let broker = StandIn::start();
    let mut first = consumer(broker.address);
    let pid = first.ready(0).pid();
    broker.hold_results(true);
    let mut client = Client::connect(broker.address);
    let job = client.put();
    // The work is done, and not acknowledged.
    broker.until_results(1);
    first.signal(pid, Signal::SIGKILL);
    // Not only its pipe has ended: its connections too.
    assert!(!first.first_exit().success());
    broker.hold_results(false);
    broker.until_requeued(1);
    let mut second = consumer(broker.address);
    let pid = second.ready(0).pid();
    let results = [client.result(PATIENCE), client.result(PATIENCE)];
    assert_eq!(results, [Some((job, 0)); 2], "twice");
    second.stop(pid);
    assert_eq!(client.result(Duration::ZERO), None);
    assert_eq!(broker.requeued(), 1);
}

#[test]
fn a_successor_that_cannot_reach_the_broker_fails_and_its_predecessor_works_on() {
    let broker = StandIn::start();
    let mut consumer = consumer(broker.address);
    let pid = consumer.ready(0).pid();
    let mut client = Client::connect(broker.address);
    broker.close();
    consumer.signal(pid, Signal::SIGUSR2);
    consumer.until_logged("the restart failed", 1);
    let job = client.put();
    assert_eq!(client.result(PATIENCE), Some((job, 0)));
    consumer.stop(pid);
    broker.was_treated_well();
}

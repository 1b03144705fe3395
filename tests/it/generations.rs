//! More than two generations, and what has to be the same in all of them.

use std::collections::HashSet;

use nix::sys::signal::Signal;

use crate::support::{
    Fleet, Setup,
    echo::{Client, Load, echo},
    process,
};

#[test]
fn three_generations_drain_each_in_its_own_time() {
    let mut fleet = Setup::new().start();
    let mut clients = vec![Client::served(fleet.echo)];
    let mut pid = fleet.first();
    for generation in 0..3 {
        pid = fleet.restart(generation, pid);
        clients.push(Client::served(fleet.echo));
    }
    for client in &mut clients {
        client.line().expect("its own generation serves it");
    }
    // The youngest of those that drain is the first to end: nobody waits for an elder.
    for generation in [2, 0, 1] {
        clients[generation].line().expect("it waited for its client");
        clients[generation] = Client::served(fleet.echo);
        let done = fleet.until(&format!("done generation={generation}"));
        assert_eq!((done.number("cut"), done.number("code"), &done["lost"]), (0, 0, "false"));
    }
    fleet.signal(pid, Signal::SIGTERM);
    drop(clients);
    assert_eq!(fleet.until("done generation=3").number("cut"), 0);
    fleet.until_all_have_ended();
}

#[test]
fn a_restart_is_refused_while_too_many_generations_drain_and_done_when_one_has_ended() {
    let mut fleet = Setup::new().with("MAX_DRAINING", "2").start();
    let oldest = Client::served(fleet.echo);
    let second = fleet.restart(0, fleet.first());
    let middle = Client::served(fleet.echo);
    let third = fleet.restart(1, second);
    fleet.ask(third);
    assert_eq!(fleet.answer(2), "Busy: 2 earlier generations are still draining");
    echo(fleet.echo).expect("it serves on");
    drop(oldest);
    assert!(fleet.first_exit().success());
    fleet.ask(third);
    let fourth = fleet.until("ready generation=3").pid();
    assert_eq!(fleet.answer(2), format!("replaced by {fourth}"));
    drop(middle);
    fleet.signal(fourth, Signal::SIGTERM);
    fleet.until_all_have_ended();
}

#[test]
fn each_generation_accepts_from_the_very_same_sockets() {
    let mut fleet = Setup::new().with("EXTRA", "127.0.0.1:0").start();
    let mut pid = fleet.first();
    let sockets = process::listening(pid);
    assert_eq!(sockets.len(), 3, "http, echo and the extra one: {sockets:?}");
    for generation in 0..3 {
        pid = fleet.restart(generation, pid);
        assert_eq!(process::listening(pid), sockets);
    }
}

/// Both generations stand still while so many connect: no one accepts, and nobody is lost.
#[test]
fn whoever_waits_in_the_queue_at_the_switch_is_served() {
    for step in ["0:ShutGate", "0:Confirm", "1:OpenGate", "0:LetGo"] {
        let mut fleet = Setup::new().with("AT", format!("{step}:hold")).start();
        fleet.signal(fleet.first(), Signal::SIGUSR2);
        let held = fleet.until_held(step.split_once(':').expect("generation:step").1);
        let mut waiting: Vec<_> = (0..500).map(|_| Client::connect(fleet.echo).expect("queued")).collect();
        fleet.signal(held, Signal::SIGCONT);
        for client in &mut waiting {
            client.line().unwrap_or_else(|error| panic!("{step}: {error}"));
        }
        fleet.until("ready generation=1");
    }
}

/// What a generation costs when its predecessors have ended.
#[derive(Debug)]
struct Costs {
    descriptors: usize,
    threads: usize,
    children: usize,
    memory: u64,
}

impl Costs {
    fn of(pid: i32) -> Self {
        Self {
            descriptors: process::descriptors(pid).len(),
            threads: process::threads(pid),
            children: process::children(pid).len(),
            memory: process::memory(pid),
        }
    }

    /// Once the last connection is closed and the last thread has ended. An allocator may keep some more.
    fn are_again(&self, pid: i32) {
        process::until(|| {
            let now = Self::of(pid);
            now.descriptors <= self.descriptors && now.threads <= self.threads && now.children <= self.children
        });
        let now = process::memory(pid);
        assert!(now < self.memory * 3 / 2, "{} KiB became {now} KiB", self.memory);
    }
}

#[test]
fn thirty_restarts_leave_nothing_behind() {
    const RESTARTS: u64 = 30;
    let mut fleet = Setup::new().with("PROBATION_MS", "1").with("THREADS", "1").start();
    let mut pid = fleet.first();
    let mut pids = HashSet::from([pid]);
    let mut early = None;
    for generation in 0..RESTARTS {
        let predecessor = pid;
        pid = fleet.restart(generation, pid);
        assert!(pids.insert(pid), "a new process each time");
        fleet.until(&format!("done generation={generation}"));
        process::until(|| !Fleet::lives(predecessor));
        echo(fleet.echo).unwrap();
        if generation == 1 {
            // The threads that pass the standard error on end by themselves.
            process::until(|| process::threads(pid) <= 2);
            early = Some(Costs::of(pid));
        }
    }
    early.expect("more than two restarts").are_again(pid);
    fleet.signal(pid, Signal::SIGTERM);
    fleet.until_all_have_ended();
}

/// The same for a generation that stays: thirty of its restarts fail.
#[test]
fn thirty_failed_restarts_leave_nothing_behind() {
    let mut fleet = Setup::new().with("THREADS", "1").start();
    let first = fleet.first();
    fleet.release.script("echo no >&2; exit 3");
    let fail = |fleet: &mut Fleet| {
        fleet.ask(first);
        let answer = fleet.answer(0);
        assert!(answer.starts_with("Exited: ") && answer.ends_with("no"), "{answer}");
    };
    for _ in 0..3 {
        fail(&mut fleet);
    }
    process::until(|| process::children(first).is_empty() && process::threads(first) <= 2);
    let early = Costs::of(first);
    for _ in 0..30 {
        fail(&mut fleet);
    }
    early.are_again(first);
    fleet.release.good();
    let second = fleet.restart(0, first);
    fleet.signal(second, Signal::SIGTERM);
    fleet.until_all_have_ended();
}

#[test]
fn restarts_in_a_row_lose_nobody() {
    let mut fleet = Setup::new().with("PROBATION_MS", "1").start();
    let load = Load::on(fleet.echo);
    let mut pid = fleet.first();
    for generation in 0..8 {
        pid = fleet.restart(generation, pid);
        load.until_served(5);
    }
    let tally = load.off();
    assert_eq!((tally.refused, tally.cut), (0, 0), "{tally:?}");
    fleet.signal(pid, Signal::SIGTERM);
    fleet.until_all_have_ended();
}

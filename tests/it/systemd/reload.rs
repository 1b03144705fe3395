//! `systemctl reload`: the new program follows under systemd's eyes, or the old one serves on.

use std::time::Duration;

use load::{Exchange, Load, Mode};

use super::{SERVICE, UNIT, reload, stop, up};
use crate::support::{Fleet, Manager, Setup, Traffic, echo, http::Client, process};

/// Clients on connections that they keep, and on fresh ones.
fn traffic(fleet: &Fleet) -> Traffic {
    let load = |mode| Load::new(fleet.http, mode).clients(2).think(Duration::from_millis(2));
    Traffic::on([Mode::KeepAlive(Exchange::get()), Mode::Fresh(Exchange::get())].map(load))
}

#[track_caller]
fn lost_nothing(traffic: Traffic) {
    traffic.off().iter().for_each(|tally| assert_eq!((tally.lost(), tally.untold()), (0, 0), "{tally}"));
}

#[test]
fn three_reloads_in_a_row_lose_nothing_and_the_main_pid_follows() {
    let Some(manager) = Manager::start() else { return };
    // Nobody is let go for idling, however slow the machine is: whoever is not told has been forgotten.
    let (mut fleet, _) = up(&manager, UNIT, Setup::new().with("GRACE_MS", "60000").with("AT_ONCE", "1"), &[]);
    let traffic = traffic(&fleet);
    for generation in 0..3 {
        traffic.reach(5);
        let pid = reload(&manager, &mut fleet, generation);
        traffic.generation(generation + 1);
        let done = fleet.until(&format!("done generation={generation}"));
        assert_eq!((done.number("cut"), done.number("code")), (0, 0));
        process::until(|| manager.processes(SERVICE) == [pid]);
    }
    assert_eq!(manager.show(SERVICE, "SubState"), "running");
    lost_nothing(traffic);
    stop(&manager, &mut fleet);
}

#[test]
fn a_reload_that_fails_leaves_the_unit_as_it_was_and_the_status_tells_why() {
    let Some(manager) = Manager::start() else { return };
    let (mut fleet, pid) = up(&manager, UNIT, Setup::new(), &[]);
    let traffic = traffic(&fleet);
    fleet.release.script("echo broken >&2; exit 3");
    for failures in 1..=2 {
        manager.ctl(["reload", SERVICE]);
        fleet.until_logged("the restart failed", failures);
        let why = "; the last restart failed: the successor ended before it was ready: ";
        process::until(|| manager.show(SERVICE, "StatusText").contains(why));
        process::until(|| manager.show(SERVICE, "ActiveState") == "active");
        traffic.reach(5);
        assert!(manager.show(SERVICE, "StatusText").contains(why), "and it is not said over");
        assert_eq!((manager.main_pid(SERVICE), manager.processes(SERVICE)), (pid, vec![pid]));
    }
    // It is known until another one has gone well.
    fleet.release.good();
    reload(&manager, &mut fleet, 0);
    assert!(!manager.show(SERVICE, "StatusText").contains("failed"));
    lost_nothing(traffic);
    fleet.until("done generation=0");
    stop(&manager, &mut fleet);
}

/// The shipped unit whose reload waits for the outcome, with the program that is built here.
#[cfg(feature = "cli")]
#[test]
fn a_reload_that_asks_at_the_control_path_waits_for_the_outcome_and_fails_with_the_restart() {
    let Some(manager) = Manager::start() else { return };
    let at = crate::support::Control::new();
    let asks = format!("ExecReload={} restart {}", env!("CARGO_BIN_EXE_hotrestart"), at.path().display());
    let setup = at.setup().with("GRACE_MS", "60000").with("AT_ONCE", "1");
    let (mut fleet, first) = up(&manager, "server-execreload.service", setup, &[&asks]);
    let traffic = traffic(&fleet);
    traffic.reach(5);
    manager.ctl(["reload", SERVICE]);
    let second = manager.main_pid(SERVICE);
    assert_ne!(second, first, "it is over when the successor is the main process");
    assert_eq!(fleet.until("ready generation=1").pid(), second);
    assert_eq!(fleet.until("done generation=0").number("cut"), 0);
    fleet.release.script("echo broken >&2; exit 3");
    let failed = manager.try_ctl(["reload", SERVICE]);
    assert!(!failed.status.success(), "the unit's reload is the restart's outcome");
    let now = ["ActiveState", "SubState"].map(|property| manager.show(SERVICE, property));
    assert_eq!((now, manager.main_pid(SERVICE)), (["active".into(), "running".into()], second));
    process::until(|| manager.processes(SERVICE) == [second]);
    traffic.reach(5);
    fleet.release.good();
    manager.ctl(["reload", SERVICE]);
    assert_eq!(fleet.until("ready generation=2").pid(), manager.main_pid(SERVICE));
    fleet.until("done generation=1");
    lost_nothing(traffic);
    stop(&manager, &mut fleet);
}

#[test]
fn the_status_tells_the_generation_its_connections_and_what_an_earlier_one_waits_for() {
    let Some(manager) = Manager::start() else { return };
    let (mut fleet, first) = up(&manager, UNIT, Setup::new(), &[]);
    let status = || manager.show(SERVICE, "StatusText");
    process::until(|| status() == "generation 0: ready");
    let client = Client::served(fleet.http);
    process::until(|| status() == "generation 0: ready, 1 connection: 1 http1");
    drop(client);
    let _task = echo::Client::served(fleet.echo);
    reload(&manager, &mut fleet, 0);
    process::until(|| status().starts_with("generation 1: ready"));
    let drains = format!("; generation 0 (pid {first}) drains");
    process::until(|| status().contains(&drains));
    process::until(|| status().contains(&format!("{drains}, waits for 1 task")));
}

#[test]
fn three_generations_live_in_the_unit_at_once_and_those_that_drain_end_in_their_time() {
    let Some(manager) = Manager::start() else { return };
    let (mut fleet, first) = up(&manager, UNIT, Setup::new(), &[]);
    let mut oldest = echo::Client::served(fleet.echo);
    let second = reload(&manager, &mut fleet, 0);
    let mut middle = echo::Client::served(fleet.echo);
    let third = reload(&manager, &mut fleet, 1);
    let mut pids = manager.processes(SERVICE);
    pids.sort_by_key(|pid| [first, second, third].iter().position(|it| it == pid));
    assert_eq!(pids, [first, second, third]);
    for client in [&mut oldest, &mut middle] {
        client.line().expect("by its own generation");
    }
    drop((oldest, middle));
    for generation in 0..2 {
        assert_eq!(fleet.until(&format!("done generation={generation}")).number("cut"), 0);
    }
    process::until(|| manager.processes(SERVICE) == [third]);
    stop(&manager, &mut fleet);
}

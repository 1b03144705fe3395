//! The descriptor store: a crash refuses nobody, and a stop that is meant leaves nobody waiting.

use std::{process::Stdio, time::Duration};

use load::{Exchange, Load, Mode, Outcome, Tally};
use nix::sys::signal::Signal;

use super::{SERVICE, reload, stopped, up};
use crate::support::{Fleet, Manager, Setup, Traffic, echo, process};

const UNIT: &str = "server-store.service";

fn storing() -> Setup {
    Setup::new().with("STORE", "1")
}

const CLIENTS: u32 = 8;

fn traffic(fleet: &Fleet) -> Traffic {
    let fresh = Load::new(fleet.http, Mode::Fresh(Exchange::get())).clients(CLIENTS);
    Traffic::on([fresh.think(Duration::from_millis(2))])
}

fn count(tally: &Tally, outcomes: &[Outcome]) -> u64 {
    outcomes.iter().map(|outcome| tally.count(*outcome)).sum()
}

/// The sockets of the server: `http` and `echo`.
fn stored(manager: &Manager) -> String {
    manager.show(SERVICE, "NFileDescriptorStore")
}

#[test]
fn a_crash_under_load_refuses_nobody() {
    let Some(manager) = Manager::start() else { return };
    let (mut fleet, first) = up(&manager, UNIT, storing(), &[]);
    let (address, inodes) = (fleet.http, process::listening(first));
    let traffic = traffic(&fleet);
    let mut pid = reload(&manager, &mut fleet, 0);
    fleet.until("done generation=0");
    const CRASHES: u64 = 3;
    for crashes in 1..=CRASHES {
        traffic.reach(20);
        fleet.signal(pid, Signal::SIGKILL);
        pid = fleet.greet();
        assert_eq!((fleet.http, process::listening(pid)), (address, inodes.clone()), "the same sockets");
        assert_eq!((manager.main_pid(SERVICE), manager.show(SERVICE, "NRestarts")), (pid, crashes.to_string()));
        // Stored anew, they are not kept twice.
        process::until(|| stored(&manager) == "2");
        traffic.reach(20);
    }
    for tally in traffic.off() {
        // What the process had accepted has died with it.
        let cut = count(&tally, &[Outcome::Cut, Outcome::Reset]);
        assert!(tally.lost() == cut && cut <= CRASHES * u64::from(CLIENTS), "{tally}");
    }
}

#[test]
fn a_stop_under_load_resets_nobody() {
    let Some(manager) = Manager::start() else { return };
    for _ in 0..3 {
        let (mut fleet, _) = up(&manager, UNIT, storing(), &[]);
        let traffic = traffic(&fleet);
        manager.ctl(["stop", SERVICE]);
        for tally in traffic.off() {
            // Whoever comes after it finds nobody, and sees that at once; in the very moment in which the listener closes the
            // kernel says so by a reset, and has connected nobody.
            let late = count(&tally, &[Outcome::Refused, Outcome::ConnectError]);
            assert_eq!(tally.lost(), late, "{tally}");
        }
        stopped(&manager, &mut fleet);
    }
}

#[test]
fn on_a_stop_the_store_is_empty_before_the_server_has_ended_and_a_new_start_finds_nothing_in_it() {
    let Some(manager) = Manager::start() else { return };
    let (mut fleet, first) = up(&manager, UNIT, storing(), &[]);
    let inodes = process::listening(first);
    process::until(|| stored(&manager) == "2");
    let client = echo::Client::served(fleet.echo);
    let stop = manager.systemctl(["stop", SERVICE]).stdin(Stdio::null()).spawn();
    fleet.until("ending generation=0 ");
    assert_eq!(stored(&manager), "0");
    process::until(|| echo::echo(fleet.echo).is_err());
    drop(client);
    assert!(stop.expect("systemctl starts").wait().expect("our child").success());
    fleet.until("done generation=0");
    manager.ctl(["start", SERVICE]);
    let again = fleet.greet();
    assert!(process::listening(again).iter().all(|socket| !inodes.contains(socket)));
}

/// A name that the new program does not serve, and a socket that is another one: neither comes back after a crash.
#[test]
fn what_a_reload_drops_leaves_the_store() {
    let Some(manager) = Manager::start() else { return };
    let (mut fleet, _) = up(&manager, UNIT, storing().with("EXTRA", "127.0.0.1:0"), &[]);
    process::until(|| stored(&manager) == "3");
    fleet.release.after("unset HR_EXTRA");
    let second = reload(&manager, &mut fleet, 0);
    process::until(|| stored(&manager) == "2");
    fleet.until("done generation=0");
    let inodes = process::listening(second);
    assert_eq!(inodes.len(), 2);
    fleet.signal(second, Signal::SIGKILL);
    let again = fleet.greet();
    assert!(inodes.iter().all(|socket| process::listening(again).contains(socket)));
}

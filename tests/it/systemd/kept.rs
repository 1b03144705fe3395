//! What the stand-in of systemd keeps of the sockets, as names come and go: all that serves here, and nothing else.

use nix::sys::signal::Signal;

use super::told::{stop, told, up};
use crate::support::{Fifo, Fleet, Orders, Setup, notify::NotifySocket, opener::opened, process};

fn storing() -> Setup {
    Setup::new().with("STORE", "1")
}

/// What was said of names: `+http`, it is to be kept; `-http`, it is not.
#[track_caller]
fn said(manager: &NotifySocket) -> Vec<String> {
    let all = manager.all();
    let names = all.iter().filter_map(|said| {
        let sign = if said.says("FDSTORE=1") { '+' } else { '-' };
        Some(format!("{sign}{}", said.value("FDNAME")?))
    });
    names.collect()
}

/// Waits until this has been said of names, and nothing else.
#[track_caller]
fn until_said(manager: &NotifySocket, wanted: &str) {
    let wanted: Vec<_> = wanted.split(' ').collect();
    process::until(|| said(manager).len() >= wanted.len());
    assert_eq!(said(manager), wanted);
}

#[test]
fn a_name_that_comes_or_goes_later_is_stored_and_removed_at_once() {
    let manager = NotifySocket::new();
    // With one thread, both halves of a replacement are there before the loop hears of either.
    let (orders, setup) = Orders::to(0, storing().with("THREADS", "1"));
    let mut fleet = up(&manager, setup);
    let first = fleet.first();
    until_said(&manager, "+http +echo");
    let mut history = "+http +echo".to_owned();
    let mut then = |fleet: &mut Fleet, order: &str, says: &str| {
        orders.give(fleet, order);
        history = format!("{history} {says}");
        until_said(&manager, &history);
    };
    then(&mut fleet, "release echo", "-echo");
    then(&mut fleet, "bind late", "+late");
    then(&mut fleet, "offer own", "+own");
    then(&mut fleet, "release late", "-late");
    then(&mut fleet, "bind late", "+late");
    then(&mut fleet, "replace late", "-late +late");
    // What is there already is not said twice, nor what was never there.
    orders.give(&mut fleet, "release nothing");
    then(&mut fleet, "bind last", "+last");
    for name in ["http", "late", "own", "last"] {
        assert_eq!(manager.stored(name), 1, "{name}");
    }
    stop(&mut fleet, first);
    until_said(&manager, &format!("{history} -http -last -late -own"));
}

/// The next generation tells what it has by itself.
#[test]
fn a_successor_stores_each_name_once() {
    let manager = NotifySocket::new();
    let (orders, setup) = Orders::to(1, storing());
    let mut fleet = up(&manager, setup);
    let second = fleet.restart(0, fleet.first());
    until_said(&manager, "+http +echo +http +echo");
    orders.give(&mut fleet, "release nothing");
    orders.give(&mut fleet, "bind late");
    until_said(&manager, "+http +echo +http +echo +late");
    stop(&mut fleet, second);
}

/// It was restarted by systemd with what an earlier one has stored.
fn restarted(manager: &NotifySocket, setup: Setup) -> Setup {
    told(manager, setup.with("OPEN_NAMES", "http:echo:old").opened("tcp:LISTEN tcp:ECHO tcp"))
}

#[test]
fn what_came_out_of_the_store_and_is_not_served_any_more_is_removed() {
    let manager = NotifySocket::new();
    let mut fleet = restarted(&manager, storing()).start();
    assert_eq!(opened(&mut fleet).len(), 3);
    until_said(&manager, "-old +http +echo");
    let first = fleet.first();
    stop(&mut fleet, first);
    until_said(&manager, "-old +http +echo -echo -http -old");
}

/// It is the same socket, and systemd keeps none twice: it would stay under its old name for ever.
#[test]
fn what_came_out_of_the_store_and_has_another_name_now_is_removed_under_the_old_one() {
    let manager = NotifySocket::new();
    let setup = storing().with("OPEN_NAMES", "web:echo").opened("tcp:LISTEN tcp:ECHO");
    let mut fleet = told(&manager, setup).start();
    until_said(&manager, "-web +http +echo");
    let first = fleet.first();
    stop(&mut fleet, first);
}

#[test]
fn a_stop_before_ready_removes_all_that_came_out_of_the_store() {
    let manager = NotifySocket::new();
    let (fifo, setup) = Fifo::before_ready();
    let mut fleet = restarted(&manager, setup.with("STORE", "1")).spawn();
    let first = fleet.until("waiting generation=0").pid();
    fleet.signal(first, Signal::SIGTERM);
    manager.until("STOPPING=1");
    fifo.release();
    fleet.until_all_have_ended();
    assert_eq!(said(&manager), ["-echo", "-http", "-old"]);
}

/// Released before anything of this generation's was stored: an earlier one has.
#[test]
fn what_came_out_of_the_store_and_was_released_before_ready_is_removed() {
    for (order, says) in [(None, "-echo -old +http"), (Some("bind echo"), "-echo -old +http +echo")] {
        let manager = NotifySocket::new();
        let (fifo, setup) = Fifo::before_ready();
        let (orders, setup) = Orders::to(0, setup.with("STORE", "1"));
        let mut fleet = restarted(&manager, setup).spawn();
        fleet.until("waiting generation=0");
        orders.give(&mut fleet, "release echo");
        order.into_iter().for_each(|order| orders.give(&mut fleet, order));
        fifo.release();
        let first = fleet.greet();
        until_said(&manager, says);
        stop(&mut fleet, first);
    }
}

#[test]
fn what_a_successor_releases_before_it_is_ready_is_removed() {
    let manager = NotifySocket::new();
    let (fifo, setup) = Fifo::before_ready();
    let (orders, setup) = Orders::to(1, setup.with("STORE", "1"));
    let mut fleet = told(&manager, setup).spawn();
    fifo.release();
    let first = fleet.greet();
    until_said(&manager, "+http +echo");
    fleet.signal(first, Signal::SIGUSR2);
    fleet.until("waiting generation=1");
    orders.give(&mut fleet, "release echo");
    fifo.release();
    let second = fleet.until("ready generation=1").pid();
    until_said(&manager, "+http +echo -echo +http");
    fleet.until("ending generation=0 ");
    stop(&mut fleet, second);
    until_said(&manager, "+http +echo -echo +http -echo -http");
}

/// The store is empty by then, and accepting has not ended yet.
#[test]
fn a_name_that_comes_or_goes_after_a_stop_is_not_stored() {
    for order in ["bind late", "release nothing"] {
        let manager = NotifySocket::new();
        let (orders, setup) = Orders::to(0, storing());
        let mut fleet = up(&manager, setup);
        manager.hold_barriers();
        fleet.signal(fleet.first(), Signal::SIGTERM);
        manager.until("BARRIER=1");
        orders.give(&mut fleet, order);
        manager.release_barriers();
        fleet.until_all_have_ended();
        assert_eq!(said(&manager), ["+http", "+echo", "-echo", "-http"]);
    }
}

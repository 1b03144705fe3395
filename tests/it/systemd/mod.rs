//! Under the real systemd, with the units that are shipped; and before the strict stand-in of its notify socket.

mod activation;
mod control;
mod crash;
mod harness;
mod kept;
mod kin;
mod last_moment;
mod reload;
mod stop;
mod store;
mod told;
mod units;
mod watchdog;

use crate::support::{Fleet, Manager, Setup};

/// As which the units of `examples/systemd` run here.
const SERVICE: &str = "server.service";

/// With a reload by signal, which is there in every version of systemd.
const UNIT: &str = "server-signal.service";

/// The server as a unit that is shipped, with these changes, up. And its main process.
#[track_caller]
fn up(manager: &Manager, unit: &str, setup: Setup, changes: &[&str]) -> (Fleet, i32) {
    let mut fleet = manager.shipped(unit, setup, changes);
    manager.ctl(["start", SERVICE]);
    let pid = fleet.greet();
    assert_eq!(manager.main_pid(SERVICE), pid);
    (fleet, pid)
}

/// Reloads it, and waits until generation `from` has let go: by then systemd takes the successor for the main process. The
/// successor's pid.
#[track_caller]
fn reload(manager: &Manager, fleet: &mut Fleet, from: u64) -> i32 {
    manager.ctl(["reload", SERVICE]);
    let pid = fleet.until(&format!("ready generation={}", from + 1)).pid();
    fleet.until(&format!("ending generation={from} "));
    assert_eq!((manager.main_pid(SERVICE), manager.show(SERVICE, "ActiveState")), (pid, "active".into()));
    pid
}

/// Stops it: it ends by itself, in order, and leaves nobody.
#[track_caller]
fn stop(manager: &Manager, fleet: &mut Fleet) {
    manager.ctl(["stop", SERVICE]);
    stopped(manager, fleet);
}

#[track_caller]
fn stopped(manager: &Manager, fleet: &mut Fleet) {
    fleet.until_all_have_ended();
    let state = ["ActiveState", "Result", "NRestarts"].map(|property| manager.show(SERVICE, property));
    assert_eq!(state, ["inactive", "success", "0"], "{}\n{}", manager.log(), fleet.log());
    assert_eq!(manager.processes(SERVICE), [0; 0]);
}

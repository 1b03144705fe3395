//! `WatchdogSec=`: a main process that gives no sign of life is replaced, and no other ever is.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::{SERVICE, UNIT, reload, stop, up};
use crate::support::{Manager, Setup, drain::pass, process};

/// A slow machine must not look like a server that stands still.
const INTERVAL: Duration = Duration::from_secs(2);
const WATCHDOG: &str = "WatchdogSec=2s";

#[test]
fn it_never_fires_while_the_server_lives_before_and_after_a_reload() {
    let Some(manager) = Manager::start() else { return };
    let (mut fleet, _) = up(&manager, UNIT, Setup::new(), &[WATCHDOG]);
    assert_eq!(manager.show(SERVICE, "WatchdogUSec"), "2s");
    pass(INTERVAL * 3 / 2);
    let second = reload(&manager, &mut fleet, 0);
    pass(INTERVAL * 3 / 2);
    assert_eq!(manager.main_pid(SERVICE), second);
    stop(&manager, &mut fleet);
}

#[test]
fn a_server_that_stands_still_is_started_again() {
    let Some(manager) = Manager::start() else { return };
    let (mut fleet, first) = up(&manager, UNIT, Setup::new(), &[WATCHDOG]);
    let second = reload(&manager, &mut fleet, 0);
    fleet.until("done generation=0");
    for pid in [second, 0] {
        let pid = if pid == 0 { manager.main_pid(SERVICE) } else { pid };
        assert_ne!(pid, first);
        fleet.signal(pid, Signal::SIGSTOP);
        process::until(|| process::state(pid) != 'S' && process::state(pid) != 'R');
        assert_ne!(fleet.greet(), pid);
    }
    assert_eq!(manager.show(SERVICE, "NRestarts"), "2");
    assert!(manager.log().contains("Watchdog timeout"), "{}", manager.log());
}

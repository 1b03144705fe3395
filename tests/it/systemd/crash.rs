//! A main process that dies: systemd sees it at once, whoever started it, and starts the server again.

use nix::sys::signal::Signal;

use super::{SERVICE, UNIT, reload, up};
use crate::support::{Fleet, Manager, Setup, echo, process};

/// Again generation 0, and it serves.
#[track_caller]
fn started_again(manager: &Manager, fleet: &mut Fleet, times: usize) {
    let pid = fleet.greet();
    assert_eq!(manager.main_pid(SERVICE), pid);
    echo::echo(fleet.echo).expect("it serves");
    manager.until(SERVICE, "ActiveState", "active");
    assert_eq!(manager.show(SERVICE, "NRestarts"), times.to_string());
    process::until(|| manager.processes(SERVICE) == [pid]);
}

#[test]
fn a_successor_that_dies_when_its_predecessor_is_gone_is_replaced() {
    let Some(manager) = Manager::start() else { return };
    let (mut fleet, first) = up(&manager, UNIT, Setup::new(), &[]);
    let second = reload(&manager, &mut fleet, 0);
    fleet.until("done generation=0");
    process::until(|| !Fleet::lives(first));
    fleet.signal(second, Signal::SIGKILL);
    started_again(&manager, &mut fleet, 1);
}

/// It has no listener any more, so it hurries, and makes room for the new one.
#[test]
fn a_successor_that_dies_while_its_predecessor_drains_is_replaced() {
    let Some(manager) = Manager::start() else { return };
    let (mut fleet, _) = up(&manager, UNIT, Setup::new().with("STOP_DEADLINE_MS", "200"), &[]);
    let mut client = echo::Client::served(fleet.echo);
    let second = reload(&manager, &mut fleet, 0);
    fleet.signal(second, Signal::SIGKILL);
    let done = fleet.until("done generation=0");
    assert_eq!((&done["lost"], done.number("code"), done.number("cut")), ("true", 1, 1));
    assert!(client.line().is_err());
    started_again(&manager, &mut fleet, 1);
}

#[test]
fn a_server_whose_main_process_dies_in_the_midst_of_a_restart_is_started_again() {
    for step in ["1:SayReady", "1:Confirmed"] {
        let Some(manager) = Manager::start() else { return };
        let setup = Setup::new().with("AT", format!("{step}:hold")).with("STOP_DEADLINE_MS", "200");
        let (mut fleet, first) = up(&manager, UNIT, setup.with("PROBATION_MS", "60000"), &[]);
        manager.ctl(["reload", "--no-block", SERVICE]);
        fleet.until_held(step.split_once(':').expect("generation:step").1);
        fleet.signal(first, Signal::SIGKILL);
        started_again(&manager, &mut fleet, 1);
    }
}

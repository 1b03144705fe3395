//! Whose child a successor is: systemd watches its own children only, so it is one of them wherever its predecessor is.

use nix::sys::signal::Signal;

use super::told::{told, up};
use crate::{
    container::container,
    support::{Setup, echo::Client, http, notify::NotifySocket, process},
};

/// Each generation's parent, once it is ready, for three of them. Nobody ends meanwhile, so that nobody is adopted.
fn parents(setup: Setup) -> [(i32, i32); 3] {
    let manager = NotifySocket::new();
    let mut fleet = up(&manager, setup);
    let mut pid = fleet.first();
    let mut parents = vec![(pid, process::parent(pid))];
    let mut clients = Vec::new();
    for generation in 0..2 {
        clients.push(Client::served(fleet.echo));
        pid = fleet.restart(generation, pid);
        parents.push((pid, process::parent(pid)));
    }
    drop(clients);
    fleet.stop(pid, 2);
    fleet.until_all_have_ended();
    parents.try_into().expect("three")
}

fn this() -> i32 {
    std::process::id() as i32
}

#[test]
fn the_successor_of_the_managers_child_is_its_sibling() {
    let unnamed = Setup::new().through("sh", ["-c", "unset SYSTEMD_EXEC_PID; exec \"$0\" \"$@\""]);
    let named = Setup::new().through("sh", ["-c", "export SYSTEMD_EXEC_PID=$$; exec \"$0\" \"$@\""]);
    for setup in [unnamed, named] {
        assert_eq!(parents(setup).map(|(_, parent)| parent), [this(); 3]);
    }
}

/// A script has started the first one, and is what systemd watches; or a shell in a terminal.
#[test]
fn where_the_manager_has_started_another_each_successor_is_its_predecessors_child() {
    let other = || Setup::new().variable("SYSTEMD_EXEC_PID", "1");
    let [(first, _), (second, parent_of_second), (_, parent_of_third)] = parents(other());
    assert_eq!([parent_of_second, parent_of_third], [first, second]);
    let manager = NotifySocket::new();
    let mut fleet = up(&manager, other());
    fleet.release.script("exit 3");
    fleet.ask(fleet.first());
    let answer = fleet.answer(0);
    assert!(answer.contains("exit status: 3"), "a parent is told: {answer}");
    fleet.stop(fleet.first(), 0);
}

/// The init of a pid namespace has no siblings.
#[test]
fn pid_1_restarts_under_a_manager_if_it_insists() {
    let Some(container) = container() else { return };
    let manager = NotifySocket::new();
    let mut fleet = told(&manager, Setup::new().with("AS_PID_1", "1").through("unshare", container)).start();
    let [first] = process::children(fleet.first())[..] else { panic!("one child") };
    let client = Client::served(fleet.echo);
    let second = fleet.restart(0, first);
    assert_eq!(manager.until(&format!("MAINPID={second}")).pid, first, "as it sees it");
    let [outside] = process::children(first)[..] else { panic!("one child") };
    assert_eq!(manager.until("READY=1").pid, outside);
    assert_eq!(http::Client::connect(fleet.http).get("/").generation, 1);
    // Its end would be the container's, and so the first one is the last to end.
    fleet.signal(outside, Signal::SIGTERM);
    fleet.until("ending generation=1 ");
    drop(client);
    fleet.until_all_have_ended();
}

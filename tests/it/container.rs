//! A server that is the first process of a container.

use std::{env, process::Command};

use nix::sys::signal::Signal;

use crate::support::{Setup, http::Client, process};

/// How `unshare` makes its child the first process of a pid namespace. `None`: it can't here, and the test was not tried.
pub fn container() -> Option<[&'static str; 5]> {
    let container = ["--user", "--map-root-user", "--pid", "--fork", "--kill-child"];
    let possible = Command::new("unshare").args(container).arg("true").output();
    if !possible.as_ref().is_ok_and(|output| output.status.success()) {
        let why = format!("no pid namespace here: {possible:?}");
        assert!(env::var_os("CI").is_none(), "{why}");
        eprintln!("not tried: {why}");
        return None;
    }
    Some(container)
}

#[test]
fn as_pid_1_a_restart_is_refused_and_a_stop_drains() {
    let Some(container) = container() else { return };
    let mut fleet = Setup::new().through("unshare", container).start();
    let mut client = Client::connect(fleet.http);
    let answer = client.get("/restart");
    let said = String::from_utf8_lossy(&answer.body);
    assert!(said.starts_with("Unsupported: ") && said.contains("PID 1"), "{said}");
    assert_eq!(client.get("/").body, b"hello world");
    drop(client);
    // The container's own pid is 1; here it is the only child of `unshare`.
    let [server] = process::children(fleet.first())[..] else { panic!("one child") };
    fleet.signal(server, Signal::SIGTERM);
    assert_eq!(fleet.until("done generation=0").number("code"), 0);
    fleet.until_all_have_ended();
}

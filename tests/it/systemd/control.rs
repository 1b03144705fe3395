//! Operators at the control path of a unit, as `ExecReload=` asks there.

use std::path::PathBuf;

use tokio_hotrestart::{Error, ErrorKind, control};

use super::{SERVICE, stopped, up};
use crate::support::{Fleet, Manager, Setup, http::Client, process};

const UNIT: &str = "server-execreload.service";

/// In the directory that the unit has systemd make, and the unit up.
fn asked_at_a_path(manager: &Manager) -> (PathBuf, Fleet, i32) {
    let path = manager.path("run").join("server/control");
    let (fleet, pid) = up(manager, UNIT, Setup::new().with("CONTROL", &path), &[]);
    (path, fleet, pid)
}

fn wait<T>(answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(answer)
}

#[test]
fn an_operator_who_restarts_it_learns_the_outcome_when_systemd_knows_it() {
    let Some(manager) = Manager::start() else { return };
    let (path, mut fleet, _) = asked_at_a_path(&manager);
    let file = process::file(&path);
    for generation in 0..3 {
        let successor = wait(control::restart(&path)).expect("replaced");
        assert_eq!((manager.main_pid(SERVICE), successor.generation()), (successor.pid() as i32, generation + 1));
        assert_eq!(manager.show(SERVICE, "ActiveState"), "active");
        fleet.until(&format!("done generation={generation}"));
        assert_eq!(process::file(&path), file);
    }
    let pid = manager.main_pid(SERVICE);
    fleet.release.script("echo broken >&2; exit 3");
    let error = wait(control::restart(&path)).expect_err("it fails");
    assert_eq!((error.kind(), error.stderr()), (ErrorKind::Exited, Some("broken\n")));
    assert_eq!((manager.main_pid(SERVICE), manager.show(SERVICE, "ActiveState")), (pid, "active".into()));
    super::stop(&manager, &mut fleet);
    assert!(!path.exists());
}

#[test]
fn an_operator_who_stops_it_waits_for_all_generations_and_systemd_does_not_start_it_again() {
    let Some(manager) = Manager::start() else { return };
    let (path, mut fleet, _) = asked_at_a_path(&manager);
    let mut client = Client::served(fleet.http);
    client.ask("/slow/2000");
    wait(control::restart(&path)).expect("replaced");
    let asked = std::thread::spawn(move || wait(control::stop(&path)));
    fleet.until("ending generation=1 ");
    assert_eq!(client.answer().expect("finished, not cut").generation, 0);
    drop(client);
    let outcome = asked.join().expect("no panic").expect("stopped");
    assert_eq!(outcome.code, 0, "{}", outcome.report);
    let done = fleet.until("done generation=0");
    assert_eq!((done.number("cut"), done.number("code")), (0, 0));
    stopped(&manager, &mut fleet);
}

//! A server that was started as the first program of a terminal.

use std::process::Command;

use nix::pty::openpty;

use crate::support::{Fleet, Setup};

#[test]
fn a_restart_outlives_the_end_of_the_terminals_session_leader() {
    let pty = openpty(None, None).unwrap();
    // Held to the end: the terminal itself stays open, only its session's leader goes.
    let (_master, slave) = (pty.master, pty.slave);
    let terminal = |command: &mut Command| {
        command.stdin(slave);
    };
    let mut fleet = Setup::new().through("setsid", ["--ctty"]).tune(terminal).start();
    let second = fleet.restart(0, fleet.first());
    fleet.until("done generation=0");
    fleet.first_exit();
    // The kernel has sent its SIGHUP by now. Whoever gets it asks for a restart and says what came of it.
    assert!(Fleet::lives(second));
    fleet.stop(second, 1);
    let said = fleet.until_all_have_ended();
    assert!(!said.iter().any(|line| line.says("answer ")), "{said:#?}");
}

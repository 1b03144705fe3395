//! Another user, whose processes only root can start.

use std::{os::unix::process::CommandExt, process::Command};

use super::{not_run, this};

/// The user's number.
pub const NOBODY: u32 = 65_534;

/// Only root can become another, who must be able to start this binary.
pub fn can_be_nobody() -> bool {
    let mut probe = Command::new(this());
    let outcome = probe.args(["--list", "--exact", "no such test"]).uid(NOBODY).gid(NOBODY).output();
    let possible = outcome.as_ref().is_ok_and(|output| output.status.success());
    if !possible {
        not_run("ROOT", &format!("no process of another user's here: {outcome:?}"));
    }
    possible
}

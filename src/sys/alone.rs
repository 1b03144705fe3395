//! Tests that have a process of their own: what they look at belongs to all threads, such as which numbers are free, and
//! what a program inherits that another test starts at the same moment.

use std::process::Command;

/// Runs the ignored tests whose paths begin so, one after the other and beside no others.
#[track_caller]
pub(crate) fn run_alone(tests: &str) {
    let mut run = Command::new(std::env::current_exe().expect("this binary"));
    run.args([tests, "--ignored", "--test-threads=1"]);
    let run = run.output().expect("it starts");
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success() && !said.contains("running 0 tests"), "{said}");
}

//! What can't be tried on this machine.

use std::{
    env,
    io::{self, Write},
    thread,
};

/// Says so past the test harness, which shows what a test prints only if it fails. With `HR_REQUIRE_<need>` in the
/// environment that is a failure.
#[track_caller]
pub fn not_run(need: &str, why: &str) {
    assert!(env::var_os(format!("HR_REQUIRE_{need}")).is_none(), "{why}");
    let name = thread::current().name().unwrap_or("a test").to_owned();
    writeln!(io::stderr(), "NOT RUN: {name}: {why}").expect("a terminal or a file");
}

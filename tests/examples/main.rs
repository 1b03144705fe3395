//! The examples, as they are built: each is restarted and stopped while real clients use it, and keeps what it promises.
//!
//! `cargo test --features http2,axum` builds them before it runs this (without these features there is no such test).
//! Where only this is asked for (`--test examples`), they are taken as they are: `cargo build --examples --features
//! http2,axum` makes them anew.

#![allow(
    clippy::print_stderr,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test has no users: it fails by a panic"
)]

#[path = "../it/support/not_run.rs"]
mod not_run;
#[allow(dead_code, reason = "tests/it has other uses for it")]
#[path = "../it/support/process.rs"]
mod process;
#[path = "../recipes/report.rs"]
mod report;
mod server;
#[allow(dead_code, reason = "tests/it has other uses for it")]
#[path = "../it/support/traffic.rs"]
mod traffic;

mod chat;
mod grpc;
mod health;
mod http;
mod lines;
mod lock;
mod sse;
mod tls;
mod valgrind;
mod websocket;

use load::{Load, Outcome, Tally};
use nix::sys::signal::Signal;

use self::{report::in_order, server::Server, traffic::Traffic};

/// So many in a row, the drain of one under way while the next begins.
const RESTARTS: u64 = 3;

/// Restarts and a stop under these loads: each generation drains without cutting anything, and nothing is lost but by the
/// stop, after which there is nobody to connect to. What each load has counted, and what each generation has reported.
#[track_caller]
fn survive(server: &mut Server, loads: impl IntoIterator<Item = Load>) -> (Vec<Tally>, Vec<String>) {
    survive_but_for(&[], server, loads)
}

/// The same, where a new connection may end so.
#[track_caller]
fn survive_but_for(
    outcomes: &[Outcome],
    server: &mut Server,
    loads: impl IntoIterator<Item = Load>,
) -> (Vec<Tally>, Vec<String>) {
    let traffic = Traffic::on(loads);
    for _ in 0..RESTARTS {
        server.restart();
        traffic.reach(2);
    }
    // Under load: who is on a connection of an earlier generation is to be told before it ends.
    let mut reports: Vec<_> = (0..RESTARTS).map(|generation| server.report(generation)).collect();
    traffic.tallies().iter().for_each(|tally| only(outcomes, tally));
    server.signal(Signal::SIGTERM);
    reports.push(server.report(RESTARTS));
    server.until_all_have_ended();
    let tallies = traffic.off();
    // Who connects when the listener closes is reset by the kernel.
    let by_the_stop = [&[Outcome::Refused, Outcome::ConnectError, Outcome::Reset], outcomes].concat();
    tallies.iter().for_each(|tally| only(&by_the_stop, tally));
    reports.iter().for_each(|report| in_order(report));
    (tallies, reports)
}

/// Nothing else is lost, and nothing of what had begun.
#[track_caller]
fn only(outcomes: &[Outcome], tally: &Tally) {
    let others = |it: &Outcome| it.is_loss() && !outcomes.contains(it);
    let lost: u64 = Outcome::ALL.into_iter().filter(others).map(|outcome| tally.count(outcome)).sum();
    let begun = |failure: &String| failure.contains("of the answer");
    assert!(lost == 0 && !tally.failures().iter().any(begun), "{tally}");
}

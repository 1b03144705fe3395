//! Restarts with real processes, real sockets and real clients.
//!
//! The server that they restart is this very binary, started again with `server --exact --ignored` and told by the
//! environment what to be (`support/server.rs`). All its generations write to one pipe, and the test waits for what they
//! say there: a line is a barrier, and no test sleeps to wait for something.

#![allow(
    clippy::exit,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test has no users: it fails by a panic, and its server speaks on stdout"
)]

mod support;

mod activation;
mod asking;
mod bodies;
#[cfg(feature = "cli")]
mod cli;
mod clients;
mod container;
mod control;
mod death;
mod dependencies;
mod drain;
mod failure;
mod fake;
mod faults;
mod foreign;
mod generations;
mod handover;
mod heir;
mod hooks;
mod hostile;
#[cfg(feature = "http2")]
mod http2;
mod hygiene;
mod idle;
mod kinds;
mod lame_duck;
mod last;
mod last_words;
mod load;
mod lock;
mod long;
mod meeting;
mod moment;
mod names;
mod path;
mod pidfile;
mod predecessor;
mod program;
mod protocols;
mod queue;
mod races;
mod raw;
mod readme;
mod restart;
mod scale;
mod shortage;
mod spread;
mod state;
mod stop;
mod stranger;
mod systemd;
mod terminal;
mod tidy;

/// Not a test: the server that the tests start.
#[test]
#[ignore = "the server that the other tests start"]
fn server() {
    support::server::main();
}

/// Not a test: a server that is no server of this crate's.
#[test]
#[ignore = "the foreign server that the other tests start"]
fn activated() {
    support::activated::main();
}

/// Not a test: who opens sockets for the server, and becomes it.
#[test]
#[ignore = "what opens sockets for the server that the other tests start"]
fn opener() {
    support::opener::main();
}

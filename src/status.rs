//! What an operator is told of a server: plain data.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use crate::{Error, Successor};

/// A generation as it is at a moment.
///
/// Words rather than enums where they are for people: a server of a later version may have more of them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// Its number in the chain.
    pub generation: u64,
    /// Its process id, as it sees it itself.
    pub pid: u32,
    /// When it started.
    pub since: SystemTime,
    /// `starting`, `ready`, `restarting`, `lame duck`, `draining`, `done`.
    pub state: String,
    /// The program file that a restart starts.
    pub program: PathBuf,
    /// The file that runs: device and inode.
    pub program_file: (u64, u64),
    /// Everything that has a name, in the order in which it is passed on.
    pub sockets: Vec<SocketStatus>,
    /// What an earlier generation passed and this one does not serve.
    pub leftovers: Vec<Leftover>,
    /// What is open, by kind and state.
    pub connections: Vec<ConnectionStatus>,
    /// Earlier generations that still drain, oldest first.
    pub draining: Vec<Draining>,
    /// How the last attempt went, of which this generation knows: the one by which it came, or one that failed since.
    pub last_restart: Option<LastRestart>,
}

/// A socket under its name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketStatus {
    /// By which every generation finds it.
    pub name: String,
    /// `TCP listener`, `UDP socket`, …
    pub kind: String,
    /// What it is bound to; empty where it has no address.
    pub address: String,
    /// Where the first generation that had it got it: `bound`, `activated`, `offered`.
    pub origin: String,
}

/// A socket that was passed and is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leftover {
    /// The name under which it was passed.
    pub name: String,
    /// What it is bound to.
    pub address: String,
    /// `not claimed`, or `the address has changed`.
    pub why: String,
}

/// How many connections or tasks are in one state.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionStatus {
    /// `http1`, `http2`, `upgraded`, `fresh`, `in handshake`, `task`, …
    pub kind: String,
    /// `idle`, `active`.
    pub state: String,
    /// So many.
    pub count: u64,
    /// The age of the oldest. Zero for a `request`: those are only counted.
    pub oldest: Duration,
}

/// An earlier generation that finishes what it has accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Draining {
    /// Its number in the chain.
    pub generation: u64,
    /// Its process id.
    pub pid: u32,
    /// What it waits for, as far as it has said: `2 upgraded, 1 http1`.
    pub waits_for: String,
    /// Until it cuts what is left; `None` where it has not said.
    pub remaining: Option<Duration>,
}

/// How a restart went.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LastRestart {
    /// When its outcome was known.
    pub at: SystemTime,
    /// Who replaced whom, or why it failed.
    pub outcome: Result<Successor, Error>,
}

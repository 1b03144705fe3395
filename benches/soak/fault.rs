//! How a new binary can be bad.

use std::time::Duration;

use clap::ValueEnum;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio_hotrestart::{Error, ErrorKind, Graceful};

/// How a new binary can be bad: as a file, or as a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Fault {
    Missing,
    NotExecutable,
    NoProgram,
    NoInterpreter,
    Exits,
    Panics,
    Killed,
    Refuses,
    Hangs,
    /// Serves nobody, and ends when it has been confirmed.
    DiesOnProbation,
}

impl Fault {
    pub(super) const ALL: [Self; 10] = [
        Self::Missing,
        Self::NotExecutable,
        Self::NoProgram,
        Self::NoInterpreter,
        Self::Exits,
        Self::Panics,
        Self::Killed,
        Self::Refuses,
        Self::Hangs,
        Self::DiesOnProbation,
    ];

    /// What whoever asked for the restart must be told.
    pub(super) fn told_as(self) -> ErrorKind {
        match self {
            Self::Missing => ErrorKind::ProgramMissing,
            Self::NotExecutable => ErrorKind::NotExecutable,
            Self::NoProgram => ErrorKind::NotAProgram,
            Self::NoInterpreter => ErrorKind::InterpreterMissing,
            Self::Exits | Self::Panics => ErrorKind::Exited,
            Self::Killed => ErrorKind::Killed,
            Self::Refuses => ErrorKind::Refused,
            Self::Hangs => ErrorKind::Deadline,
            Self::DiesOnProbation => ErrorKind::Probation,
        }
    }

    /// What such a process does before it knows of its predecessor.
    pub(super) fn at_start(self) -> anyhow::Result<()> {
        match self {
            Self::Exits => anyhow::bail!("this binary is bad"),
            Self::Panics => panic!("this binary is bad"),
            Self::Killed => Ok(kill(Pid::this(), Signal::SIGKILL)?),
            _ => Ok(()),
        }
    }

    /// What it does when it has its predecessor's sockets.
    pub(super) async fn before_ready(self, graceful: &Graceful) -> Result<(), Error> {
        match self {
            Self::Refuses => Err(graceful.refuse("this binary is bad")),
            Self::Hangs => std::future::pending().await,
            _ => Ok(()),
        }
    }

    /// What it does when it has been confirmed. It has not accepted anybody, so nobody loses anything by it.
    pub(super) async fn after_ready(self) -> anyhow::Result<()> {
        tokio::time::sleep(Duration::from_millis(20)).await;
        anyhow::bail!("this binary is bad on probation")
    }
}

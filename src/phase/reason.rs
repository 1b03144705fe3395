//! Why a restart was refused or has failed, as the operator reads it.

use std::{os::unix::process::ExitStatusExt, process::ExitStatus};

use super::Step;
use crate::{Error, ErrorKind};

pub(super) fn not_ready() -> Error {
    Error::new(ErrorKind::NotReady, "this generation is not ready, so it can't be replaced: `ready()` has not returned")
}

pub(super) fn busy() -> Error {
    Error::new(ErrorKind::Busy, "a restart is under way already")
}

pub(super) fn ending() -> Error {
    Error::new(ErrorKind::Ending, "this generation is ending")
}

pub(super) fn stopped(why: &str) -> Error {
    Error::new(ErrorKind::Exited, format!("the successor ended before it was confirmed for good: {why}"))
}

pub(super) fn ended_unconfirmed(step: Step, status: Option<ExitStatus>) -> Error {
    let how = status.map_or_else(|| "its status is unknown".to_owned(), |status| status.to_string());
    if matches!(step, Step::Probation | Step::Dying) {
        return Error::new(ErrorKind::Probation, format!("the successor died within its probation: {how}"));
    }
    let killed = status.is_some_and(|status| status.signal().is_some());
    let kind = if killed { ErrorKind::Killed } else { ErrorKind::Exited };
    Error::new(kind, format!("the successor ended before it was {}: {how}", step.goal()))
}

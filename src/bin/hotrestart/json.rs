//! The outcome for programs. Times are milliseconds, points in time since 1970.

use std::{
    os::unix::process::ExitStatusExt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use tokio_hotrestart::{
    Error, ErrorKind,
    control::Reply,
    status::{ConnectionStatus, Draining, LastRestart, Leftover, SocketStatus, Status},
};

use super::Failure;

pub(crate) fn outcome(outcome: &Result<Reply, Failure>) -> Value {
    let (ok, mut fields) = match outcome {
        Ok(reply) => (true, self::reply(reply)),
        Err(failure) => (false, self::failure(failure.kind(), &failure.message(), failure.error())),
    };
    fields["ok"] = ok.into();
    fields
}

fn reply(reply: &Reply) -> Value {
    match reply {
        Reply::Replaced(by) => json!({ "generation": by.generation(), "pid": by.pid() }),
        Reply::Status(status) => self::status(status),
        Reply::Stopped(stopped) => json!({ "code": stopped.code, "report": stopped.report }),
        // There are no others in the version of the crate to which this program belongs.
        other => json!({ "reply": format!("{other:?}") }),
    }
}

fn failure(kind: ErrorKind, message: &str, error: Option<&Error>) -> Value {
    let exit_status = error.and_then(Error::exit_status);
    json!({
        "kind": format!("{kind:?}"),
        "message": message,
        "exit_status": exit_status.and_then(|it| it.code()),
        "signal": exit_status.and_then(|it| it.signal()),
        "stderr": error.and_then(Error::stderr),
    })
}

fn status(status: &Status) -> Value {
    let (device, inode) = status.program_file;
    json!({
        "generation": status.generation,
        "pid": status.pid,
        "since": since_1970(status.since),
        "state": status.state,
        "program": status.program.to_string_lossy(),
        "program_file": { "device": device, "inode": inode },
        "sockets": status.sockets.iter().map(socket).collect::<Vec<_>>(),
        "leftovers": status.leftovers.iter().map(leftover).collect::<Vec<_>>(),
        "connections": status.connections.iter().map(connections).collect::<Vec<_>>(),
        "draining": status.draining.iter().map(draining).collect::<Vec<_>>(),
        "last_restart": status.last_restart.as_ref().map(last_restart),
    })
}

fn socket(socket: &SocketStatus) -> Value {
    json!({ "name": socket.name, "kind": socket.kind, "address": socket.address, "origin": socket.origin })
}

fn leftover(left: &Leftover) -> Value {
    json!({ "name": left.name, "address": left.address, "why": left.why })
}

fn connections(these: &ConnectionStatus) -> Value {
    json!({ "kind": these.kind, "state": these.state, "count": these.count, "oldest": milliseconds(these.oldest) })
}

fn draining(those: &Draining) -> Value {
    json!({
        "generation": those.generation,
        "pid": those.pid,
        "waits_for": those.waits_for,
        "remaining": those.remaining.map(milliseconds),
    })
}

fn last_restart(last: &LastRestart) -> Value {
    let (ok, mut fields) = match &last.outcome {
        Ok(by) => (true, json!({ "generation": by.generation(), "pid": by.pid() })),
        Err(error) => (false, failure(error.kind(), error.message(), Some(error))),
    };
    fields["ok"] = ok.into();
    fields["at"] = since_1970(last.at).into();
    fields
}

fn milliseconds(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}

fn since_1970(time: SystemTime) -> u64 {
    milliseconds(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

//! What is said at a path: what somebody wants who has connected there, and the answer.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{
    bytes::{Malformed, Reader, Writer},
    codes::Wish,
    frame::{MAGIC, NEWEST_VERSION, OLDEST_VERSION},
};
use crate::{
    Error, ErrorKind, Successor,
    status::{ConnectionStatus, Draining, LastRestart, Leftover, SocketStatus, Status},
};

/// The first message of whoever connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Want {
    pub(crate) oldest: u16,
    pub(crate) newest: u16,
    pub(crate) wish: Wish,
    /// Its own pid, in its own pid namespace.
    pub(crate) pid: u32,
}

/// What is answered to any wish but a successor's.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Replaced(Successor),
    Failed(Error),
    Status(Box<Status>),
    /// The report as a sentence, and what the process exits with.
    Stopped {
        code: u8,
        report: String,
    },
    /// A later version's.
    Other(u8),
}

/// By what it says: an error has no other equality.
impl PartialEq for Answer {
    fn eq(&self, other: &Self) -> bool {
        let bytes = |answer: &Self| {
            let mut to = Writer::default();
            answer.encode(&mut to);
            to.0
        };
        bytes(self) == bytes(other)
    }
}

impl Eq for Answer {}

impl Want {
    /// What this process says.
    pub(crate) fn ours(wish: Wish) -> Self {
        Self { oldest: OLDEST_VERSION, newest: NEWEST_VERSION, wish, pid: std::process::id() }
    }

    /// Whether there is a version that both speak.
    pub(crate) fn is_understood(&self) -> bool {
        self.newest >= OLDEST_VERSION && self.oldest <= NEWEST_VERSION
    }

    pub(super) fn encode(&self, to: &mut Writer) {
        to.0.extend(MAGIC);
        to.u16(self.oldest);
        to.u16(self.newest);
        to.u8(self.wish.code());
        to.u32(self.pid);
    }

    pub(super) fn decode(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        if from.take(MAGIC.len())? != MAGIC {
            return Err(Malformed::new("the first message asks for nothing"));
        }
        let (oldest, newest, wish) = (from.u16()?, from.u16()?, Wish::of(from.u8()?));
        Ok(Self { oldest, newest, wish, pid: from.u32()? })
    }
}

impl Answer {
    pub(super) fn encode(&self, to: &mut Writer) {
        match self {
            Self::Replaced(by) => {
                to.u8(1);
                successor(to, by);
            }
            Self::Failed(error) => {
                to.u8(2);
                failure(to, error);
            }
            Self::Status(status) => {
                to.u8(3);
                status_of(to, status);
            }
            Self::Stopped { code, report } => {
                to.u8(4);
                to.u8(*code);
                to.string(report);
            }
            Self::Other(code) => to.u8(*code),
        }
    }

    pub(super) fn decode(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match from.u8()? {
            1 => Self::Replaced(read_successor(from)?),
            2 => Self::Failed(read_failure(from)?),
            3 => Self::Status(Box::new(read_status(from)?)),
            4 => Self::Stopped { code: from.u8()?, report: from.string()? },
            code => Self::Other(code),
        })
    }
}

impl Draining {
    pub(super) fn encode(&self, to: &mut Writer) {
        to.u64(self.generation);
        to.u32(self.pid);
        to.string(&self.waits_for);
        // A remaining time of u64::MAX milliseconds is none: nobody drains for 600 million years.
        to.u64(self.remaining.map_or(u64::MAX, milliseconds));
    }

    pub(super) fn decode(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (generation, pid, waits_for) = (from.u64()?, from.u32()?, from.string()?);
        let remaining = Some(from.u64()?).filter(|it| *it != u64::MAX).map(Duration::from_millis);
        Ok(Self { generation, pid, waits_for, remaining })
    }
}

fn successor(to: &mut Writer, by: &Successor) {
    to.u32(by.pid);
    to.u64(by.generation);
}

fn read_successor(from: &mut Reader<'_>) -> Result<Successor, Malformed> {
    Ok(Successor { pid: from.u32()?, generation: from.u64()? })
}

fn failure(to: &mut Writer, error: &Error) {
    to.u16(error.kind().code());
    to.string(error.message());
    let status = error.exit_status().map(std::os::unix::process::ExitStatusExt::into_raw);
    to.u8(status.is_some().into());
    to.u32(status.unwrap_or_default() as u32);
    to.string(error.stderr().unwrap_or_default());
}

fn read_failure(from: &mut Reader<'_>) -> Result<Error, Malformed> {
    let kind = ErrorKind::of_code(from.u16()?);
    let message = from.string()?;
    let (known, status) = (from.u8()? != 0, from.u32()? as i32);
    let status = known.then(|| std::os::unix::process::ExitStatusExt::from_raw(status));
    let stderr = Some(from.string()?).filter(|text| !text.is_empty());
    Ok(Error::new(kind, message).with_last_words(status, stderr))
}

fn status_of(to: &mut Writer, status: &Status) {
    to.u64(status.generation);
    to.u32(status.pid);
    time(to, status.since);
    to.string(&status.state);
    to.os_string(status.program.as_os_str());
    to.u64(status.program_file.0);
    to.u64(status.program_file.1);
    to.items(&status.sockets, |to, socket| {
        for field in [&socket.name, &socket.kind, &socket.address, &socket.origin] {
            to.string(field);
        }
    });
    to.items(&status.leftovers, |to, left| {
        for field in [&left.name, &left.address, &left.why] {
            to.string(field);
        }
    });
    to.items(&status.connections, |to, connections| {
        to.string(&connections.kind);
        to.string(&connections.state);
        to.u64(connections.count);
        to.u64(milliseconds(connections.oldest));
    });
    to.items(&status.draining, |to, draining| draining.encode(to));
    to.u8(status.last_restart.is_some().into());
    if let Some(last) = &status.last_restart {
        // A block, because an answer may get more fields, and so may a status behind this one.
        to.block(|to| {
            time(to, last.at);
            match &last.outcome {
                Ok(by) => Answer::Replaced(by.clone()).encode(to),
                Err(error) => Answer::Failed(error.clone()).encode(to),
            }
        });
    }
}

fn read_status(from: &mut Reader<'_>) -> Result<Status, Malformed> {
    Ok(Status {
        generation: from.u64()?,
        pid: from.u32()?,
        since: read_time(from)?,
        state: from.string()?,
        program: from.os_string()?.into(),
        program_file: (from.u64()?, from.u64()?),
        sockets: from.items(|from| {
            let (name, kind, address, origin) = (from.string()?, from.string()?, from.string()?, from.string()?);
            Ok(SocketStatus { name, kind, address, origin })
        })?,
        leftovers: from
            .items(|from| Ok(Leftover { name: from.string()?, address: from.string()?, why: from.string()? }))?,
        connections: from.items(|from| {
            let (kind, state, count) = (from.string()?, from.string()?, from.u64()?);
            Ok(ConnectionStatus { kind, state, count, oldest: Duration::from_millis(from.u64()?) })
        })?,
        draining: from.items(Draining::decode)?,
        last_restart: match from.u8()? {
            0 => None,
            _ => Some(from.block(read_last_restart)?),
        },
    })
}

fn read_last_restart(from: &mut Reader<'_>) -> Result<LastRestart, Malformed> {
    let at = read_time(from)?;
    let outcome = match Answer::decode(from)? {
        Answer::Replaced(by) => Ok(by),
        Answer::Failed(error) => Err(error),
        _ => return Err(Malformed::new("a restart ended in neither way")),
    };
    Ok(LastRestart { at, outcome })
}

fn milliseconds(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}

/// Milliseconds since 1970.
fn time(to: &mut Writer, time: SystemTime) {
    to.u64(milliseconds(time.duration_since(UNIX_EPOCH).unwrap_or_default()));
}

fn read_time(from: &mut Reader<'_>) -> Result<SystemTime, Malformed> {
    let since = Duration::from_millis(from.u64()?);
    UNIX_EPOCH.checked_add(since).ok_or_else(|| Malformed::new("a time beyond all calendars"))
}

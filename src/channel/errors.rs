use std::io;

use crate::{Error, ErrorKind, wire};

pub(super) fn garbage(what: wire::Malformed) -> Error {
    Error::new(ErrorKind::Protocol, format!("the other end sent what is no message: {what}"))
}

pub(super) fn broken(error: io::Error) -> Error {
    Error::io(ErrorKind::Protocol, "wait for the other end", error)
}

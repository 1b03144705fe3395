//! The name under which a socket, or state, is found in every generation.

use std::{fmt, sync::Arc};

use crate::{Error, ErrorKind};

/// At most 255 ASCII characters without `:` or control characters, so that systemd's `FDNAME` can bear it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Name(Arc<str>);

/// systemd's own limit for `FDNAME` (sd_pid_notify_with_fds(3)).
pub(crate) const NAME_LIMIT: usize = 255;

/// What begins so is ours: an application's socket of such a name would be taken for the crate's own.
const RESERVED: &str = "@hotrestart";

impl Name {
    /// A name that an application gives.
    pub(crate) fn new(name: &str) -> Result<Self, Error> {
        if name.starts_with(RESERVED) {
            let fault = format!("name {name:?} begins with {RESERVED:?}, which is reserved");
            return Err(Error::new(ErrorKind::Name, fault));
        }
        Self::passed(name)
    }

    /// A name under which another process passes a socket: it may be one of ours.
    pub(crate) fn passed(name: &str) -> Result<Self, Error> {
        let fault = if name.is_empty() {
            "is empty"
        } else if name.len() > NAME_LIMIT {
            "is longer than 255 bytes"
        } else if name.bytes().any(|b| !b.is_ascii() || b.is_ascii_control() || b == b':') {
            "has a character that is not ASCII, or is a colon or a control character"
        } else {
            return Ok(Self(name.into()));
        };
        Err(Error::new(ErrorKind::Name, format!("name {name:?} {fault}")))
    }

    /// The listener at which generations and operators meet.
    pub(crate) fn control() -> Self {
        Self(format!("{RESERVED} control").into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crates_own_names_are_passed_on_and_given_by_nobody_else() {
        let own = Name::control();
        assert_eq!(Name::new(own.as_str()).unwrap_err().kind(), ErrorKind::Name);
        assert_eq!(Name::passed(own.as_str()).unwrap(), own);
    }

    #[test]
    fn a_name_that_fdname_cannot_bear_is_refused() {
        for bad in ["", "a:b", "tab\t", "é", &"x".repeat(256)] {
            assert_eq!(Name::new(bad).unwrap_err().kind(), ErrorKind::Name, "{bad:?}");
        }
        for good in ["http", "a b", &"x".repeat(255)] {
            assert_eq!(Name::new(good).unwrap().as_str(), good);
        }
    }
}

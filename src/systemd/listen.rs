//! What `LISTEN_PID`, `LISTEN_FDS` and `LISTEN_FDNAMES` say. Pure, and fuzzed.

use std::{ffi::OsStr, fmt};

/// Descriptors from 3 on that somebody has opened for this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offered {
    pub(crate) count: u32,
    /// As many as descriptors. `None`: nobody said.
    names: Option<Vec<String>>,
}

impl Offered {
    /// Of the descriptor so many places after the first. `unknown` is what sd_listen_fds_with_names(3) calls one without.
    pub(crate) fn name(&self, place: u32) -> String {
        let names = self.names.as_ref();
        names.and_then(|names| names.get(place as usize)).map_or_else(|| "unknown".to_owned(), Clone::clone)
    }
}

/// Why there are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotOffered {
    /// Nobody said that there are any, or they are another process's: this one has inherited the variables.
    NotToUs,
    /// This process is meant, and can't make out what for.
    Malformed(Malformed),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    Pid,
    Count,
    /// So many names for so many descriptors. libsystemd refuses that too: whose name is missing, nobody knows.
    Names {
        names: usize,
        count: u32,
    },
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pid => f.write_str("LISTEN_PID is no process id"),
            Self::Count => f.write_str("LISTEN_FDS is no number of descriptors"),
            Self::Names { names, count } => write!(f, "LISTEN_FDNAMES has {names} names for {count} descriptors"),
        }
    }
}

/// The three variables as they are, read by the process `this`.
pub(crate) fn offered(
    pid: Option<&OsStr>,
    count: Option<&OsStr>,
    names: Option<&OsStr>,
    this: u32,
) -> Result<Offered, NotOffered> {
    let count = count.ok_or(NotOffered::NotToUs)?;
    // Without a pid they are meant for whoever finds them, as systemfd has it.
    if let Some(pid) = pid {
        match number(pid) {
            Some(pid) if pid == this => {}
            Some(_) => return Err(NotOffered::NotToUs),
            None => return Err(NotOffered::Malformed(Malformed::Pid)),
        }
    }
    // Their numbers begin at 3, and the last one is a descriptor's number too.
    let count = number(count).filter(|count| *count <= i32::MAX as u32 - 3);
    let count = match count.ok_or(NotOffered::Malformed(Malformed::Count))? {
        0 => return Err(NotOffered::NotToUs),
        count => count,
    };
    let names = names.filter(|names| !names.is_empty()).map(|names| names.to_string_lossy());
    let names: Option<Vec<_>> = names.map(|names| names.split(':').map(str::to_owned).collect());
    match names.as_ref().map(Vec::len) {
        Some(names) if names != count as usize => Err(NotOffered::Malformed(Malformed::Names { names, count })),
        _ => Ok(Offered { count, names }),
    }
}

fn number(value: &OsStr) -> Option<u32> {
    value.to_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pid: Option<&str>, count: Option<&str>, names: Option<&str>) -> Result<Vec<String>, NotOffered> {
        let offered = offered(pid.map(OsStr::new), count.map(OsStr::new), names.map(OsStr::new), 7)?;
        Ok((0..offered.count).map(|place| offered.name(place)).collect())
    }

    #[test]
    fn names_stand_in_the_order_of_the_descriptors() {
        assert_eq!(of(Some("7"), Some("3"), Some("http::http")).unwrap(), ["http", "", "http"]);
    }

    #[test]
    fn without_names_and_without_a_pid_they_are_unknown_and_ours() {
        assert_eq!(of(None, Some("2"), None).unwrap(), ["unknown", "unknown"]);
        assert_eq!(of(None, Some("2"), Some("")).unwrap(), ["unknown", "unknown"]);
    }

    #[test]
    fn what_was_said_to_another_process_is_not_ours() {
        assert_eq!(of(Some("8"), Some("1"), None), Err(NotOffered::NotToUs));
        assert_eq!(of(Some("7"), None, Some("http")), Err(NotOffered::NotToUs));
        assert_eq!(of(Some("7"), Some("0"), None), Err(NotOffered::NotToUs));
    }

    #[test]
    fn what_cannot_be_understood_is_refused_with_a_reason() {
        let malformed = |why| Err(NotOffered::Malformed(why));
        for count in ["", "x", "-1", "2147483645", "4294967296", " 1"] {
            assert_eq!(of(Some("7"), Some(count), None), malformed(Malformed::Count), "{count:?}");
        }
        for pid in ["", "x", "-7", "4294967303"] {
            assert_eq!(of(Some(pid), Some("1"), None), malformed(Malformed::Pid), "{pid:?}");
        }
        let names = malformed(Malformed::Names { names: 2, count: 3 });
        assert_eq!(of(Some("7"), Some("3"), Some("a:b")), names);
        let huge = malformed(Malformed::Names { names: 1, count: 2_147_483_644 });
        assert_eq!(of(Some("7"), Some("2147483644"), Some("a")), huge, "and nothing was reserved for them");
    }
}

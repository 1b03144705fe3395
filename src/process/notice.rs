//! What one datagram of a service to its manager says, as far as it concerns whoever restarts it. Pure, and fuzzed.

use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Ready,
    /// And why, where it says that.
    Stopping(String),
    /// So much longer, from now on.
    NeedsTime(Duration),
}

/// In its order. Lines that say something else are for systemd.
pub(crate) fn said(datagram: &[u8]) -> Vec<Said> {
    let datagram = String::from_utf8_lossy(datagram);
    let status = datagram.lines().find_map(|line| line.strip_prefix("STATUS="));
    let said = datagram.lines().filter_map(|line| match line.split_once('=')? {
        ("READY", "1") => Some(Said::Ready),
        ("STOPPING", "1") => Some(Said::Stopping(status.unwrap_or("it says that it is stopping").to_owned())),
        ("EXTEND_TIMEOUT_USEC", time) => match time.parse() {
            Ok(time) => Some(Said::NeedsTime(Duration::from_micros(time))),
            Err(error) => {
                crate::log::debug!(time, %error, "a notice of the successor's: no time");
                None
            }
        },
        _ => None,
    });
    said.collect()
}

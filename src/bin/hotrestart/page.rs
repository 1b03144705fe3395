//! The outcome for people.

use std::{
    fmt::Write,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio_hotrestart::{
    Error, ErrorKind,
    control::Reply,
    status::{Draining, LastRestart, Status},
};

use super::Failure;

pub(crate) fn reply(reply: &Reply) -> String {
    match reply {
        Reply::Replaced(by) => format!("restarted: {by} serves\n"),
        Reply::Status(status) => self::status(status),
        Reply::Stopped(stopped) => format!("{} (exit code {})\n", stopped.report, stopped.code),
        // There are no others in the version of the crate to which this program belongs.
        other => format!("{other:?}\n"),
    }
}

pub(crate) fn failure(failure: &Failure) -> String {
    let mut page = format!("hotrestart: {:?}: {}\n", failure.kind(), failure.message());
    if let Some(status) = failure.error().and_then(Error::exit_status) {
        line(&mut page, format_args!("{status}"));
    }
    if let Some(text) = failure.error().and_then(Error::stderr) {
        line(&mut page, format_args!("it last wrote:\n{}", text.trim_end()));
    }
    if let Some(aftermath) = aftermath(failure.kind()) {
        line(&mut page, format_args!("{aftermath}"));
    }
    page
}

/// What is true of the server after such a failure. Only of what a server itself has told of a successor is it certain that
/// it has survived that: a connection that ended may be all that it had to say before it died.
fn aftermath(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::Exited
        | ErrorKind::InterpreterMissing
        | ErrorKind::Killed
        | ErrorKind::NotAProgram
        | ErrorKind::NotExecutable
        | ErrorKind::Probation
        | ErrorKind::ProgramMissing
        | ErrorKind::Refused
        | ErrorKind::Spawn => Some("the server serves on as before"),
        ErrorKind::Busy | ErrorKind::NotReady => Some("nothing was begun: ask again"),
        ErrorKind::Denied => Some("nothing was begun"),
        ErrorKind::Ending => Some("it ends without a successor"),
        ErrorKind::ChannelClosed | ErrorKind::Deadline | ErrorKind::Protocol | ErrorKind::Torn | ErrorKind::Version => {
            Some("`hotrestart status` tells whether a server serves there now")
        }
        // The message has said all there is (`Nobody`), or the kind does not tell which side it is about.
        _ => None,
    }
}

fn status(status: &Status) -> String {
    let mut page = String::new();
    let (device, inode) = status.program_file;
    line(&mut page, format_args!("generation {} (pid {}) is {}", status.generation, status.pid, status.state));
    line(&mut page, format_args!("since {}", date(status.since)));
    line(&mut page, format_args!("program {} (runs inode {inode} of device {device})", status.program.display()));
    let sockets = status.sockets.iter().map(|it| [&it.name, &it.kind, &it.address, &it.origin].map(String::as_str));
    table(&mut page, "sockets", &sockets.collect::<Vec<_>>());
    let leftovers = status.leftovers.iter().map(|it| [&it.name, &it.address, &it.why].map(String::as_str));
    table(&mut page, "passed on, and not served", &leftovers.collect::<Vec<_>>());
    let connections: Vec<_> = status
        .connections
        .iter()
        .map(|it| [it.count.to_string(), it.kind.clone(), it.state.clone(), format!("oldest {}", time(it.oldest))])
        .collect();
    let connections: Vec<_> = connections.iter().map(|row| row.each_ref().map(String::as_str)).collect();
    table(&mut page, "connections", &connections);
    let draining: Vec<_> = status.draining.iter().map(draining).collect();
    let draining: Vec<_> = draining.iter().map(|row| [row.as_str()]).collect();
    table(&mut page, "still draining", &draining);
    if let Some(last) = &status.last_restart {
        last_restart(&mut page, last);
    }
    page
}

fn draining(those: &Draining) -> String {
    let mut row = format!("generation {} (pid {})", those.generation, those.pid);
    if !those.waits_for.is_empty() {
        row = format!("{row} waits for {}", those.waits_for);
    }
    match those.remaining {
        Some(remaining) => format!("{row}, for {} at most", time(remaining)),
        None => row,
    }
}

fn last_restart(page: &mut String, last: &LastRestart) {
    let at = date(last.at);
    match &last.outcome {
        Ok(by) => line(page, format_args!("last restart {at}: {by} came to serve")),
        Err(error) => line(page, format_args!("last restart {at} failed: {:?}: {error}", error.kind())),
    }
}

/// Nothing where there are no rows.
fn table<const COLUMNS: usize>(page: &mut String, title: &str, rows: &[[&str; COLUMNS]]) {
    if rows.is_empty() {
        return;
    }
    line(page, format_args!("{title}:"));
    let mut widths = [0; COLUMNS];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("  {cell:width$}"));
        line(page, format_args!("{}", cells.collect::<String>().trim_end()));
    }
}

fn line(page: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(page, "{text}").expect("a string takes all that is written");
}

/// To a tenth of a second below a minute, else to the second.
fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{:.1} s", time.as_secs_f64()),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// In UTC: the server's operator and its log may be in different time zones.
fn date(at: SystemTime) -> String {
    let seconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (mut days, of_day) = (seconds / 86_400, seconds % 86_400);
    let is_leap = |year: u64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    // 400 years have the same days whichever they are, so that a clock gone mad costs no time here.
    let mut year = 1970 + 400 * (days / 146_097);
    days %= 146_097;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year}-{month:02}-{:02} {hour:02}:{minute:02}:{second:02} UTC", days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_that_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_735_689_599, "2024-12-31 23:59:59 UTC"),
            (1_767_225_600, "2026-01-01 00:00:00 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(date(UNIX_EPOCH + Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn a_time_is_as_exact_as_people_want_it() {
        for (millis, expected) in [(250, "0.2 s"), (59_900, "59.9 s"), (61_000, "1 min 1 s"), (7_260_000, "2 h 1 min")]
        {
            assert_eq!(time(Duration::from_millis(millis)), expected);
        }
    }
}

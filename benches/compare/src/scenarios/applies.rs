//! What can't be measured of whom, and why.

use std::fs;

use super::{Clients, Course, Machine, Scenario};
use crate::{
    server::Kind,
    systems::{ECHO, System, installed},
};

impl Scenario {
    /// Why this scenario is none for this system.
    pub(crate) fn left_out(&self, system: System) -> Option<String> {
        let proxy = system.kind().is_none();
        match self.clients {
            Clients::Wrk(_) if installed("wrk").is_none() => {
                return Some("wrk is not installed: apt-get install wrk".into());
            }
            Clients::WebSocket if proxy => {
                return Some(
                    "it echoes no messages itself; those of a server behind it stay with the old worker".into(),
                );
            }
            Clients::Slow if system.is_nginx() && !fs::exists(ECHO).unwrap_or_default() => {
                return Some("not installed: apt-get install libnginx-mod-http-echo".into());
            }
            _ => {}
        }
        if system.kind() == Some(Kind::OursStays) && self.is_about_the_restart() {
            // It drains for five seconds each time.
            return Some(
                "with handover off its restarts are the same, and its connections are in other scenarios".into(),
            );
        }
        if self.start_ms > 0 && proxy {
            return Some("its new process runs no code of the user's before it serves".into());
        }
        if self.sockets > 1 && system.kind() == Some(Kind::Shellflip) {
            return Some("it passes no sockets: the application must, each in its own way".into());
        }
        if self.gib > 0 {
            if proxy {
                return Some("its processes have no memory of the application's".into());
            }
            let gib = available_gib();
            // The same again, for the kernel's own and for whoever else is here.
            if gib < 2.0 * self.gib as f64 {
                return Some(format!("only {gib:.1} GiB of memory are available"));
            }
        }
        None
    }

    /// What differs is how it is restarted, and the clients are those of another one.
    fn is_about_the_restart(&self) -> bool {
        let is_special = self.machine == Machine::Saturated || self.start_ms > 0 || self.gib > 0;
        is_special || self.course == Course::BrokenRelease || self.clients == Clients::Few
    }
}

fn available_gib() -> f64 {
    let table = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = table.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.unwrap_or_default() / f64::from(1 << 20)
}

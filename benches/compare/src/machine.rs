//! Where, when and how it is measured.

use std::{fs, thread::available_parallelism};

use crate::{results::Machine, systems::versions};

pub(crate) fn machine() -> anyhow::Result<Machine> {
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processor = processor.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap_or("0 kB");
    let kib: f64 = memory.trim().trim_end_matches(" kB").parse()?;
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let rest = if arguments.is_empty() { String::new() } else { format!(" -- {}", arguments.join(" ")) };
    let migrates = fs::read_to_string("/proc/sys/net/ipv4/tcp_migrate_req").unwrap_or_else(|_| "unknown".into());
    Ok(Machine {
        date: jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string(),
        kernel: nix::sys::utsname::uname()?.release().to_string_lossy().into_owned(),
        processor: processor.trim_start_matches(['\t', ' ', ':']).to_owned(),
        cores: available_parallelism()?.get(),
        memory_gib: (kib / f64::from(1 << 20) * 10.0).round() / 10.0,
        command: format!("cargo run --release -p compare{rest}"),
        tcp_migrate_req: migrates.trim().to_owned(),
        versions: versions(),
    })
}

//! Facts about a process, as `/proc` tells them.

use std::{collections::BTreeSet, fs, net::SocketAddrV4, time::Duration};

use anyhow::Context;
use nix::{
    sys::resource::{Resource, getrlimit, setrlimit},
    time::{ClockId, clock_getcpuclockid, clock_gettime},
    unistd::Pid,
};

/// What all of its threads have used, in user and kernel mode, and those that have ended.
pub(crate) fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let clock = clock_getcpuclockid(Pid::from_raw(pid.try_into()?))?;
    Ok(clock_gettime(clock)?.into())
}

/// Whether it has ended, be it still listed for whoever has started it.
pub(crate) fn has_ended(pid: u64) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Its name is before that, in parentheses, and may hold anything.
    stat.rsplit_once(')').is_none_or(|(_, state)| state.trim_start().starts_with(['Z', 'X']))
}

/// A clock that all processes share.
pub(crate) fn now() -> anyhow::Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_MONOTONIC)?.into())
}

/// Resident memory in bytes.
pub(crate) fn resident(pid: u32) -> anyhow::Result<u64> {
    memory(pid, "VmRSS:")
}

/// The most that was ever resident, or since [`forget_peak`].
pub(crate) fn peak(pid: u32) -> anyhow::Result<u64> {
    memory(pid, "VmHWM:")
}

pub(crate) fn forget_peak(pid: u32) -> anyhow::Result<()> {
    Ok(fs::write(format!("/proc/{pid}/clear_refs"), "5")?)
}

fn memory(pid: u32, what: &str) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(what)).with_context(|| format!("no {what}"))?;
    Ok(1024 * line.trim().trim_end_matches(" kB").parse::<u64>()?)
}

/// The ports at the clients' end of all connections to this server: a client that comes back has another one.
pub(crate) fn client_ports(server: SocketAddrV4) -> anyhow::Result<BTreeSet<String>> {
    const ESTABLISHED: &str = "01";
    // As the kernel prints it: the address as a number in memory's order.
    let server = format!("{:08X}:{:04X}", u32::from_ne_bytes(server.ip().octets()), server.port());
    let table = fs::read_to_string("/proc/net/tcp")?;
    let port = |line: &str| {
        let mut columns = line.split_whitespace().skip(1);
        let (local, remote, state) = (columns.next()?, columns.next()?, columns.next()?);
        (remote == server && state == ESTABLISHED).then(|| local.to_owned())
    };
    Ok(table.lines().filter_map(port).collect())
}

/// For this process and those that it starts: as many descriptors as the system allows.
pub(crate) fn raise_descriptor_limit() -> anyhow::Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(hard)
}

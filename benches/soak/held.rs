//! What a process holds, as `/proc` tells it.

use std::{
    collections::{HashMap, HashSet},
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
};

use anyhow::Context;
use nix::unistd::Pid;

/// The connections that a process holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    /// The clients' ends.
    pub(super) clients: Vec<SocketAddr>,
    /// How many come by the Unix socket.
    pub(super) unix: usize,
    /// Descriptors that are no connection.
    pub(super) others: usize,
    /// Those that wait in a queue, where nobody else has that.
    pub(super) queued: Vec<SocketAddr>,
    pub(super) queued_unix: usize,
}

/// A row of the kernel's table, at the server's end.
struct Row {
    remote: SocketAddr,
    inode: u64,
    /// Whether it may wait in a queue: what the server has closed has no inode either.
    may_wait: bool,
}

impl Held {
    /// By this process, of a server that listens at these ports and that path.
    pub(super) fn by(pid: Pid, ports: &[u16], path: &Path) -> anyhow::Result<Self> {
        let sockets = sockets(pid)?;
        let mut held = Self::default();
        let mut connections = HashSet::new();
        for row in tcp(ports)? {
            if row.inode == 0 {
                if row.may_wait {
                    held.queued.push(row.remote);
                }
            } else if sockets.contains_key(&row.inode) {
                held.clients.push(row.remote);
                connections.insert(row.inode);
            }
        }
        for inode in unix(path)? {
            if inode == 0 {
                held.queued_unix += 1;
            } else if sockets.contains_key(&inode) {
                held.unix += 1;
                connections.insert(inode);
            }
        }
        let all = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
        let connections: usize = connections.iter().map(|inode| sockets[inode]).sum();
        held.others = all.saturating_sub(connections);
        Ok(held)
    }

    /// With what waits in the queues of a process that is the last to have them.
    pub(super) fn with_queues(mut self) -> Self {
        self.clients.append(&mut self.queued);
        self.unix += self.queued_unix;
        self
    }
}

/// Whether this process has that socket.
pub(super) fn holds(pid: Pid, inode: u64) -> bool {
    sockets(pid).is_ok_and(|sockets| sockets.contains_key(&inode))
}

/// All sockets of a process, and how many descriptors each has.
fn sockets(pid: Pid) -> anyhow::Result<HashMap<u64, usize>> {
    let mut sockets = HashMap::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).with_context(|| format!("descriptors of {pid}"))? {
        let Ok(link) = fs::read_link(entry?.path()) else { continue };
        let inode = link.to_str().and_then(|link| link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
        if let Some(inode) = inode {
            *sockets.entry(inode).or_default() += 1;
        }
    }
    Ok(sockets)
}

/// Connections at the server's end. One that waits in a queue has no inode yet.
fn tcp(ports: &[u16]) -> anyhow::Result<Vec<Row>> {
    const LISTEN: &str = "0A";
    const TIME_WAIT: &str = "06";
    const ESTABLISHED: &str = "01";
    const SYN_RECEIVED: &str = "03";
    const CLOSE_WAIT: &str = "08";
    let address = |text: &str| {
        let (ip, port) = text.split_once(':')?;
        let ip = Ipv4Addr::from(u32::from_str_radix(ip, 16).ok()?.to_ne_bytes());
        Some(SocketAddr::from((ip, u16::from_str_radix(port, 16).ok()?)))
    };
    let ours = ports.iter().map(|port| format!(":{port:04X}")).collect::<Vec<_>>();
    let row = |line: &str| {
        // The number, and then the server's end. There may be tens of thousands of others' connections on this machine, and
        // whoever is to be killed stands still meanwhile: those are not looked at any further.
        let (_, columns) = line.split_once(": ")?;
        if !ours.iter().any(|port| columns.get(8..13) == Some(port)) {
            return None;
        }
        let columns: Vec<_> = columns.split_whitespace().collect();
        let state = columns.get(2)?;
        if [LISTEN, TIME_WAIT].contains(state) {
            return None;
        }
        let may_wait = [ESTABLISHED, SYN_RECEIVED, CLOSE_WAIT].contains(state);
        Some(Row { remote: address(columns.get(1)?)?, inode: columns.get(8)?.parse().ok()?, may_wait })
    };
    Ok(fs::read_to_string("/proc/net/tcp")?.lines().filter_map(row).collect())
}

/// Accepted connections bear the path of their listener.
fn unix(path: &Path) -> anyhow::Result<Vec<u64>> {
    const LISTENS: &str = "00010000";
    let path = path.to_str().context("a path in UTF-8")?;
    let inode = |line: &str| {
        let columns: Vec<_> = line.split_whitespace().collect();
        let is_connection = columns.get(7) == Some(&path) && columns.get(3) != Some(&LISTENS);
        is_connection.then(|| columns.get(6)?.parse().ok()).flatten()
    };
    Ok(fs::read_to_string("/proc/net/unix")?.lines().filter_map(inode).collect())
}

//! Where the server's files lie, and the program file among them.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener, UdpSocket},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::ValueEnum;
use tempfile::TempDir;

use super::fault::Fault;

/// A directory with the server's program behind a symlink, so that another one can be there at any time.
pub(super) struct Place {
    directory: TempDir,
    good: PathBuf,
    pub(super) ports: [u16; 3],
}

impl Place {
    pub(super) fn new() -> anyhow::Result<Self> {
        let place = Self { directory: tempfile::tempdir()?, good: std::env::current_exe()?, ports: free_ports()? };
        for fault in Fault::ALL {
            place.write(fault)?;
        }
        place.install(None)?;
        Ok(place)
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// From now on that is what a restart starts.
    pub(super) fn install(&self, fault: Option<Fault>) -> anyhow::Result<()> {
        let target = fault.map_or_else(|| self.good.clone(), |fault| self.bad(fault));
        let next = self.file("program.next");
        symlink(target, &next)?;
        Ok(fs::rename(next, self.file("program"))?)
    }

    fn bad(&self, fault: Fault) -> PathBuf {
        self.file(&format!("bad-{fault:?}"))
    }

    fn write(&self, fault: Fault) -> anyhow::Result<()> {
        let file = self.bad(fault);
        let name = fault.to_possible_value().context("all faults have names")?;
        let (text, mode) = match fault {
            Fault::Missing => return Ok(()),
            Fault::NotExecutable => ("#!/bin/sh\n".to_owned(), 0o644),
            Fault::NoProgram => ("no program\n".to_owned(), 0o755),
            Fault::NoInterpreter => ("#!/no/such/interpreter\n".to_owned(), 0o755),
            // The same process, one program later.
            _ => (format!("#!/bin/sh\nexec '{}' \"$@\" --fault {}\n", self.good.display(), name.get_name()), 0o755),
        };
        fs::write(&file, text)?;
        Ok(fs::set_permissions(&file, fs::Permissions::from_mode(mode))?)
    }
}

/// Not the kernel's choice: where a server that was killed has left its port, a client that tries again might be given
/// that very port for its own end, and meet itself.
fn free_ports() -> anyhow::Result<[u16; 3]> {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")?;
    let first: u16 = range.split_whitespace().next().context("a range")?.parse()?;
    let is_free = |port: &u16| {
        TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok() && UdpSocket::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()
    };
    // Others look for free ones at the same time: each begins elsewhere.
    let from = 10_000 + u16::try_from(std::process::id() * 7 % 10_000)?;
    let ports: Vec<u16> = (from..first).filter(is_free).take(3).collect();
    ports.try_into().ok().context("no three ports are free")
}

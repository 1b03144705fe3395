use std::{collections::BTreeSet, net::SocketAddr};

use crate::process::client_ports;

/// By which ports a server's clients were connected when it was last looked.
pub(super) struct Ports {
    address: SocketAddr,
    known: BTreeSet<String>,
}

impl Ports {
    pub(super) fn of(address: SocketAddr) -> anyhow::Result<Self> {
        let known = ports(address)?;
        Ok(Self { address, known })
    }

    /// How many are there that were not. What came and went between is not seen: at most one for each client.
    pub(super) fn appeared(&mut self) -> anyhow::Result<u64> {
        let now = ports(self.address)?;
        let new = now.difference(&self.known).count() as u64;
        self.known = now;
        Ok(new)
    }
}

fn ports(address: SocketAddr) -> anyhow::Result<BTreeSet<String>> {
    let SocketAddr::V4(address) = address else { anyhow::bail!("it does not listen at IPv4") };
    client_ports(address)
}

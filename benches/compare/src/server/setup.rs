use std::{
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    path::PathBuf,
    time::Duration,
};

use clap::Args;
use tokio::time::sleep;

/// How a server is set up: what a scenario asks for.
#[derive(Clone, Debug, Args)]
pub(crate) struct Setup {
    /// The first address on which a server listens
    #[arg(long, hide = true, default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddrV4,
    /// On how many it listens
    #[arg(long, hide = true, default_value_t = 1)]
    pub(crate) sockets: usize,
    /// How long a new process takes to be ready
    #[arg(long, hide = true, default_value_t = 0)]
    pub(crate) start_ms: u64,
    /// How much memory the first process of a chain has touched
    #[arg(long, hide = true, default_value_t = 0)]
    pub(crate) gib: usize,
    /// Where it may put files
    #[arg(long, hide = true, default_value = ".")]
    pub(crate) place: PathBuf,
}

impl Setup {
    /// All of its addresses, on one port: all of 127.0.0.0/8 is this machine.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = SocketAddr> + use<> {
        let Self { listen, sockets, .. } = *self;
        (0..sockets).map(move |number| if number == 0 { listen.into() } else { beside(listen, 1, number) })
    }

    /// Where whoever needs a listener of its own for HTTP/2 has it.
    pub(crate) fn http2(&self) -> SocketAddr {
        beside(self.listen, 2, 1)
    }

    /// What says all this to a server.
    pub(crate) fn arguments(&self) -> [String; 5] {
        let Self { listen, sockets, start_ms, gib, place } = self;
        [
            format!("--listen={listen}"),
            format!("--sockets={sockets}"),
            format!("--start-ms={start_ms}"),
            format!("--gib={gib}"),
            format!("--place={}", place.display()),
        ]
    }

    /// What a real server does before it is ready. The memory of the first process is returned: only that one's restart
    /// is looked at, and two of this size need not fit.
    pub(crate) async fn start_up(&self, chain: Chain) -> Vec<u64> {
        sleep(Duration::from_millis(self.start_ms)).await;
        let words = if chain == Chain::First { self.gib << 27 } else { 0 };
        // Written, for untouched memory is not there. No page is like another, so that none is merged.
        (0..words as u64).collect()
    }
}

/// Where in a chain of restarts a process stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chain {
    First,
    Later,
}

impl Chain {
    pub(crate) fn later_if(later: bool) -> Self {
        if later { Self::Later } else { Self::First }
    }
}

fn beside(address: SocketAddrV4, net: u8, number: usize) -> SocketAddr {
    let [high, low] = [number / 250, number % 250 + 1].map(|part| u8::try_from(part).expect("at most 60,000 sockets"));
    (Ipv4Addr::new(127, net, high, low), address.port()).into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Server {
        #[command(flatten)]
        setup: Setup,
    }

    fn setup() -> Setup {
        let listen = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 80);
        Setup { listen, sockets: 1_000, start_ms: 7, gib: 4, place: "/there".into() }
    }

    #[test]
    fn a_server_understands_how_it_is_set_up() {
        let arguments = setup().arguments();
        let Server { setup: understood } = Server::parse_from(["server".to_owned()].into_iter().chain(arguments));
        assert_eq!(format!("{understood:?}"), format!("{:?}", setup()));
    }

    #[test]
    fn no_address_is_there_twice() {
        let addresses: BTreeSet<_> = setup().addresses().chain([setup().http2()]).collect();
        assert_eq!(addresses.len(), 1_001);
        assert!(addresses.iter().all(|address| address.ip().is_loopback()), "{addresses:?}");
    }
}

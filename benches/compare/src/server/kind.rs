use std::fmt;

use clap::ValueEnum;
use tokio::runtime;
use tokio_hotrestart::serve::HandOver;

use super::{Setup, ecdysis, ours, shellflip, stopped};

/// Who restarts a Rust server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    Ours,
    /// The same, but connections stay where they are and are drained.
    OursStays,
    Ecdysis,
    Shellflip,
    /// Stopped and started; its sockets stay with whoever starts it.
    Activated,
    /// Started and stopped; both bind.
    ReusePort,
}

impl Kind {
    /// Is this server, until it is told to end or has been replaced.
    pub(crate) fn be(self, setup: &Setup) -> anyhow::Result<()> {
        runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
            match self {
                Self::Ours => ours::serve(setup, HandOver::BetweenRequests).await,
                Self::OursStays => ours::serve(setup, HandOver::Never).await,
                Self::Ecdysis => ecdysis::serve(setup).await,
                Self::Shellflip => shellflip::serve(setup).await,
                Self::Activated => stopped::serve(setup, stopped::activated(setup)?).await,
                Self::ReusePort => stopped::serve(setup, stopped::reuse_port(setup)?).await,
            }
        })
    }
}

/// As the command line has it.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().expect("none is skipped").get_name())
    }
}

//! Descriptors that somebody has opened for this process: systemd, `systemd-socket-activate`, `systemfd`, a foreign
//! predecessor.

use std::os::fd::OwnedFd;

use super::{
    Environment,
    listen::{self, NotOffered, Offered},
};
use crate::sys;

/// Descriptors that concern this process and that nobody has taken yet.
#[derive(Debug)]
pub(crate) struct Activation(Offered);

impl Activation {
    /// `None` where nobody offers any.
    pub(crate) fn of(environment: &Environment) -> Option<Self> {
        let Environment { listen_pid, listen_fds, listen_fdnames, .. } = environment;
        let this = std::process::id();
        match listen::offered(listen_pid.as_deref(), listen_fds.as_deref(), listen_fdnames.as_deref(), this) {
            Ok(offered) => Some(Self(offered)),
            Err(NotOffered::NotToUs) => None,
            Err(NotOffered::Malformed(why)) => {
                crate::log::warn!(error = %why, "sockets were passed by the environment, and none is taken");
                None
            }
        }
    }

    /// The descriptors with their names, which may repeat. All of them or, where one is not what was said, none: then
    /// the log says why, and this process binds its sockets itself.
    ///
    /// Only once in a process, which [`sys::take_once`] is for, and only after a channel that a predecessor named has
    /// been taken: being close-on-exec by then, it can't be mistaken for one of these.
    pub(crate) fn take(self) -> Vec<(String, OwnedFd)> {
        match sys::take_activated(self.0.count) {
            Ok(descriptors) => (0..).map(|place| self.0.name(place)).zip(descriptors).collect(),
            Err(error) => {
                let count = self.0.count;
                crate::log::warn!(%error, count, "sockets were passed by the environment, and none is taken");
                Vec::new()
            }
        }
    }
}

//! Who is at the other end of a Unix socket.

use std::{io, os::fd::AsFd};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

/// As the kernel has noted it when the connection was made, or, of a listener, when it began to listen; and of a datagram,
/// when it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// The effective one.
    pub(crate) uid: u32,
    /// 0 for a process of a pid namespace that this one does not see.
    pub(crate) pid: u32,
}

pub(crate) fn peer(socket: impl AsFd) -> io::Result<Peer> {
    let credentials = getsockopt(&socket, PeerCredentials)?;
    Ok(Peer { uid: credentials.uid(), pid: credentials.pid().try_into().unwrap_or_default() })
}

pub(crate) fn effective_uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::socket_pair;

    #[test]
    fn the_other_end_of_a_pair_is_this_process() {
        let (ours, _theirs) = socket_pair().unwrap();
        assert_eq!(peer(&ours).unwrap(), Peer { uid: effective_uid(), pid: std::process::id() });
    }

    #[test]
    fn what_is_no_socket_has_no_peer() {
        assert!(peer(tempfile::tempfile().unwrap()).is_err());
    }
}

//! A socket to which another process says that it is ready, as to systemd's.

use std::{
    ffi::OsString,
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::ffi::OsStringExt,
    },
};

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, bind, getsockname, setsockopt, socket, sockopt::PassCred,
};

/// With what `NOTIFY_SOCKET` says to find it. An abstract name that the kernel has chosen: it needs no directory, leaves
/// nothing behind, and is nobody else's. Whoever guesses it is told apart by the pid that the kernel adds to each
/// datagram.
pub(crate) fn notify_socket() -> io::Result<(OwnedFd, OsString)> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
    setsockopt(&socket, PassCred, &true)?;
    bind(socket.as_raw_fd(), &UnixAddr::new_unnamed())?;
    let address: UnixAddr = getsockname(socket.as_raw_fd())?;
    let chosen = address.as_abstract().ok_or(io::ErrorKind::AddrNotAvailable)?;
    Ok((socket, OsString::from_vec([b"@", chosen].concat())))
}

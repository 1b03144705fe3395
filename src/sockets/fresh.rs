//! Binding, for a name that nobody has passed.

use std::{
    fs, io,
    net::SocketAddr,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::{FileTypeExt, MetadataExt},
    },
    path::Path,
};

use socket2::{Domain, SockAddr, Socket, Type};

/// How many connections may wait to be accepted, capped by `net.core.somaxconn`. tokio's 128 overflow within a
/// millisecond when the clients of a crashed server come back; the kernel's own default cap is 4096 (Linux 5.4).
const BACKLOG: u32 = 4096;

/// The application's own settings of a socket, before it is bound.
pub(crate) type SetOptions<'a> = Box<dyn FnMut(BorrowedFd<'_>) -> io::Result<()> + Send + 'a>;

/// How a fresh socket is made.
pub(crate) struct Options<'a> {
    pub(crate) backlog: u32,
    pub(crate) set: Option<SetOptions<'a>>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { backlog: BACKLOG, set: None }
    }
}

pub(super) fn tcp(address: SocketAddr, options: &mut Options<'_>) -> io::Result<OwnedFd> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // As tokio and std: a server started anew must not wait for its predecessor's connections in TIME_WAIT.
    socket.set_reuse_address(true)?;
    bind(socket, &address.into(), options)
}

/// A path that a crashed server left behind is removed, but only when nobody answers there.
pub(super) fn unix(path: &Path, options: &mut Options<'_>) -> io::Result<OwnedFd> {
    let address = SockAddr::unix(path)?;
    let bound = bind(Socket::new(Domain::UNIX, Type::STREAM, None)?, &address, options);
    match bound {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let inode = |path| fs::symlink_metadata(path).ok().map(|file| (file.dev(), file.ino()));
            let before = inode(path);
            // Looked at again: of two servers that start at once, one may have bound the path anew meanwhile.
            if !is_stale(path, &address) || inode(path) != before {
                return Err(error);
            }
            fs::remove_file(path)?;
            bind(Socket::new(Domain::UNIX, Type::STREAM, None)?, &address, options)
        }
        bound => bound,
    }
}

fn bind(socket: Socket, address: &SockAddr, options: &mut Options<'_>) -> io::Result<OwnedFd> {
    socket.set_nonblocking(true)?;
    if let Some(set) = &mut options.set {
        set(socket.as_fd())?;
    }
    socket.bind(address)?;
    socket.listen(options.backlog.min(i32::MAX as u32) as i32)?;
    Ok(socket.into())
}

/// A socket's path at which nobody listens. One whose queue is full (`EAGAIN`) has an owner, and what is no socket is
/// none of ours to remove.
fn is_stale(path: &Path, address: &SockAddr) -> bool {
    if !fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket()) {
        return false;
    }
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    Socket::new(Domain::UNIX, Type::STREAM, None)
        .and_then(|probe| {
            probe.set_nonblocking(true)?;
            probe.connect(address)
        })
        .is_err_and(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_path_is_replaced_and_a_live_one_is_left_to_its_owner() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("s");
        drop(unix(&path, &mut Options::default()).unwrap());
        let live = unix(&path, &mut Options::default()).unwrap();
        let error = unix(&path, &mut Options::default()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(live);
    }

    #[test]
    fn a_file_that_is_no_socket_is_never_removed() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("s");
        fs::write(&path, "precious").unwrap();
        assert!(unix(&path, &mut Options::default()).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }

    #[test]
    fn the_queue_is_larger_than_tokios() {
        let listener = tcp(([127, 0, 0, 1], 0).into(), &mut Options::default()).unwrap();
        let address = socket2::SockRef::from(&listener).local_addr().unwrap();
        let connect = || {
            let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            client.connect_timeout(&address, std::time::Duration::from_secs(5)).map(|()| client)
        };
        let waiting: Vec<_> = (0..1024).map(|_| connect()).collect::<Result<_, _>>().unwrap();
        assert_eq!(waiting.len(), 1024);
    }
}

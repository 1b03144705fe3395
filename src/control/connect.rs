//! Connecting to a path whose queue may be full.

use std::{
    ffi::OsString,
    io,
    os::{
        fd::OwnedFd,
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::Path,
    time::{Duration, Instant},
};

use socket2::{Domain, SockAddr, Socket, Type};

/// `Ok(None)`: nobody is there. `WouldBlock`: the queue was full all the time.
pub(super) async fn connect(path: &Path, patience: Duration) -> io::Result<Option<OwnedFd>> {
    let address = address_of(path)?;
    let connected = match at_once(&address) {
        // A Unix socket tells nobody that its queue has room again but those who block on it: hence a thread. Only where
        // the server is behind by thousands of visitors.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            let waited = tokio::task::spawn_blocking(move || blocking(&address, Instant::now() + patience)).await;
            waited.unwrap_or_else(|panicked| Err(io::Error::other(panicked)))
        }
        connected => connected,
    };
    match connected {
        Ok(socket) => Ok(Some(socket.into())),
        // A path that a dead server has left behind refuses.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => Ok(None),
        Err(error) => Err(error),
    }
}

/// As for every Unix socket of this crate, a path that begins with `@` is an abstract name.
fn address_of(path: &Path) -> io::Result<SockAddr> {
    match path.as_os_str().as_bytes() {
        [b'@', name @ ..] => SockAddr::unix(OsString::from_vec([b"\0", name].concat())),
        _ => SockAddr::unix(path),
    }
}

fn at_once(address: &SockAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(address)?;
    Ok(socket)
}

fn blocking(address: &SockAddr, until: Instant) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        socket.set_write_timeout(Some(left))?;
        match socket.connect(address) {
            Ok(()) => return Ok(socket),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A listener whose queue is full, and those who fill it.
    fn full(path: &Path) -> (Socket, Vec<Socket>) {
        let address = SockAddr::unix(path).unwrap();
        let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        listener.bind(&address).unwrap();
        listener.listen(1).unwrap();
        let waiting = std::iter::from_fn(|| at_once(&address).ok()).collect();
        (listener, waiting)
    }

    #[tokio::test]
    async fn a_full_queue_is_waited_out() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("s");
        let (listener, waiting) = full(&path);
        let caller = tokio::spawn(async move { connect(&path, Duration::from_secs(60)).await });
        for _ in waiting {
            listener.accept().unwrap();
        }
        assert!(caller.await.unwrap().unwrap().is_some());
    }

    #[tokio::test]
    async fn a_queue_that_stays_full_is_given_up_by_the_deadline() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("s");
        let _full = full(&path);
        let error = connect(&path, Duration::from_millis(10)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[tokio::test]
    async fn nobody_is_at_a_missing_path_and_at_one_that_was_left_behind() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("s");
        assert!(connect(&path, Duration::ZERO).await.unwrap().is_none());
        // Without `listen`: a process that another test spawns would have a copy of the listener until its exec.
        Socket::new(Domain::UNIX, Type::STREAM, None).unwrap().bind(&SockAddr::unix(&path).unwrap()).unwrap();
        assert!(path.exists() && connect(&path, Duration::ZERO).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn an_abstract_name_begins_with_an_at() {
        let name = format!("@hotrestart-test-{}", std::process::id());
        assert!(connect(name.as_ref(), Duration::ZERO).await.unwrap().is_none());
        let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        listener.bind(&SockAddr::unix(name.replace('@', "\0")).unwrap()).unwrap();
        listener.listen(1).unwrap();
        assert!(connect(name.as_ref(), Duration::ZERO).await.unwrap().is_some());
    }
}

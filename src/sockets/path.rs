//! A Unix socket's path: bound under a lock, so that of two starters one wins and nobody's live path is removed.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File, OpenOptions},
    io,
    os::{
        fd::AsFd,
        unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, lchown},
    },
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use nix::{
    fcntl::{Flock, FlockArg},
    sys::stat::{Mode, fchmod},
};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::{sync::oneshot, time::timeout};

use super::{
    address,
    fresh::{Fault, Fresh, Options, listen, set, unbound},
    kind::Shape,
};

/// How often the lock's file may be removed by another starter just before it is ours. Each time that one has ended.
const ATTEMPTS: usize = 64;

/// A socket at a path, or under an abstract name. What a crashed server left at the path is replaced, but only when
/// nobody answers there.
pub(super) fn bind(at: &OsStr, shape: &Shape, options: &mut Options<'_>) -> Result<Fresh, Fault> {
    let r#type = if let Shape::Listener(_, r#type) = shape { *r#type } else { Type::DGRAM };
    let address = address::unix(at)?;
    let socket = unbound(Domain::UNIX, r#type)?;
    set(&socket, options)?;
    if address::is_abstract(at) {
        if options.mode.is_some() || options.owner != (None, None) {
            let what = "an abstract name has no mode and no owner: anybody may connect to it";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what).into());
        }
        socket.bind(&address)?;
        if let Shape::Listener(..) = shape {
            listen(&socket, options)?;
        }
        return Ok((socket.into(), (0, 0)));
    }
    let path = Path::new(at);
    // Held until it listens: a bound socket that does not listen yet looks stale to the next starter, who would remove
    // the path, and both would believe to serve it.
    let lock = Lock::take(path)?;
    // On a path that is everybody's until the mode is set, somebody might send a datagram that nobody may.
    if options.mode.is_some() && cfg!(target_os = "linux") {
        let narrow = Mode::S_IRUSR | Mode::S_IWUSR;
        fchmod(socket.as_fd(), narrow).map_err(|error| Fault::during("set its mode")(error.into()))?;
    }
    bind_or_replace(&socket, path, &address, r#type)?;
    let file = inode(path)?;
    let done = dress(path, options).and_then(|()| match shape {
        Shape::Listener(..) => listen(&socket, options),
        _ => Ok(()),
    });
    if let Err(fault) = done {
        remove(path, file);
        return Err(fault);
    }
    drop(lock);
    Ok((socket.into(), file))
}

/// For how long a starter that is just binding a path is waited for: it takes a few calls for that, unless it is stopped.
const PATIENCE: Duration = Duration::from_secs(5);

/// Waits until nobody is just binding the path, as far as its lock tells.
pub(crate) async fn until_bound(path: &Path) {
    let lock = lock_of(path);
    // None there: nobody is.
    let Ok(file) = options().open(&lock) else { return };
    let (tell, done) = oneshot::channel();
    // A thread of its own, because it waits; and no blocking task, for which a runtime would wait at its end.
    let waiting = thread::Builder::new().name("hotrestart-lock".into()).spawn(move || {
        // What else goes wrong with it, binding will tell.
        let locked = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, error)| error);
        drop(locked);
        // Nobody waits for it any longer.
        let _ = tell.send(());
    });
    match waiting {
        Ok(_) if timeout(PATIENCE, done).await.is_err() => {
            crate::log::info!(path = %path.display(), "another process has been binding it for long");
        }
        Ok(_) => {}
        Err(error) => crate::log::warn!(%error, "start a thread to wait for the lock beside a socket's path"),
    }
}

/// Removes a path if it is that file: another server may have bound the path since.
pub(super) fn remove(path: &Path, file: (u64, u64)) {
    if !inode(path).is_ok_and(|found| found == file) {
        return;
    }
    if let Err(error) = fs::remove_file(path) {
        crate::log::warn!(path = %path.display(), %error, "remove the socket's path");
    }
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino()))
}

fn bind_or_replace(socket: &Socket, path: &Path, address: &SockAddr, r#type: Type) -> Result<(), Fault> {
    match socket.bind(address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let before = inode(path).ok();
            // Looked at again: a starter that knows nothing of our lock may have bound the path anew meanwhile.
            if !is_stale(path, address, r#type) || inode(path).ok() != before {
                return Err(error.into());
            }
            crate::log::info!(path = %path.display(), "nobody answers at the path of an earlier server: replaced");
            fs::remove_file(path).map_err(Fault::during("remove the stale path"))?;
            Ok(socket.bind(address)?)
        }
        bound => Ok(bound?),
    }
}

/// A socket's path that no socket is bound to any more. One whose queue is full (`EAGAIN`) has an owner, and so has one of
/// another type (`EPROTOTYPE`); what is no socket is none of ours to remove.
fn is_stale(path: &Path, address: &SockAddr, r#type: Type) -> bool {
    if !fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket()) {
        return false;
    }
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    unbound(Domain::UNIX, r#type).and_then(|probe| probe.connect(address)).is_err_and(refused)
}

/// Owner first, for a mode of the old owner's could be too wide for the new one.
fn dress(path: &Path, options: &Options<'_>) -> Result<(), Fault> {
    if options.owner != (None, None) {
        lchown(path, options.owner.0, options.owner.1).map_err(Fault::during("set its owner"))?;
    }
    if let Some(mode) = options.mode {
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(path, mode).map_err(Fault::during("set its mode"))?;
    }
    Ok(())
}

/// `<path>.lock`, held by whoever is just binding the path, and removed by it.
struct Lock {
    path: PathBuf,
    /// Unlocked after the file has been removed, so that whoever waited for it sees that it is gone.
    _file: Flock<File>,
}

impl Lock {
    fn take(path: &Path) -> Result<Self, Fault> {
        let path = lock_of(path);
        for _ in 0..ATTEMPTS {
            let file = options()
                .create(true)
                .mode(0o600)
                .open(&path)
                .map_err(Fault::during("create the lock file beside it"))?;
            let file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(file) => file,
                Err((_, nix::errno::Errno::EWOULDBLOCK)) => break,
                Err((_, error)) => return Err(Fault::during("lock the file beside it")(error.into())),
            };
            let ours = file.metadata()?;
            if !ours.is_file() || ours.len() != 0 {
                let what = format!("{} is in the way, and is no lock", path.display());
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, what).into());
            }
            // It may be one that its owner has removed just before it let it go: then it locks nobody out.
            if inode(&path).is_ok_and(|found| found == (ours.dev(), ours.ino())) {
                return Ok(Self { path, _file: file });
            }
        }
        let what = "another process is just binding it";
        Err(io::Error::new(io::ErrorKind::AddrInUse, what).into())
    }
}

fn lock_of(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".lock");
    PathBuf::from(name)
}

/// Not through a link: in a directory of everybody's it could lead to a file of ours. Nor is a pipe's reader waited for.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).truncate(false).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    options
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            crate::log::warn!(path = %self.path.display(), %error, "remove the lock beside a socket's path");
        }
    }
}

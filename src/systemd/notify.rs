//! Datagrams to the manager.

use std::{
    collections::{HashSet, VecDeque},
    ffi::{OsStr, OsString},
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    sync::Arc,
};

use socket2::{SockAddr, SockRef};
use tokio::{
    io::Interest,
    net::{UnixDatagram, unix::pipe},
};

use super::{Environment, Notice, notice::Lines};
use crate::{Error, ErrorKind, name::Name, sys};

/// This process's word to the manager at `NOTIFY_SOCKET`.
///
/// What is said goes out at once, or is queued in order and goes out while [`Notifier::next`] is awaited, so a manager
/// that does not read never stops the loop. What can't be sent is logged, each kind of failure once, and decides
/// nothing: a server that nobody supervises still serves.
///
/// A manager heeds `NotifyAccess=`: with `main` it hears the main process only, so nothing is said here on behalf of
/// another one.
#[derive(Debug)]
pub(crate) struct Notifier {
    socket: UnixDatagram,
    /// `NOTIFY_SOCKET`, as it is to be read in the log.
    name: OsString,
    address: SockAddr,
    outbox: VecDeque<Datagram>,
    barrier: Barrier,
    /// By the system's error numbers.
    logged: HashSet<Option<i32>>,
}

#[derive(Debug)]
struct Datagram {
    lines: Lines,
    descriptor: Option<Arc<OwnedFd>>,
}

#[derive(Debug)]
enum Barrier {
    None,
    /// Until its other end is closed by all who have it.
    Raised(pipe::Receiver),
    /// It was never raised, so nobody is waited for.
    Through,
}

/// More is only ever queued by a program that goes on restarting under a manager that has long stopped reading: what is
/// said at a restart, and a socket's every descriptor, fit many times.
const QUEUE_LIMIT: usize = 16 * 1024;

impl Notifier {
    /// `None` where there is no manager. Panics outside a tokio runtime.
    ///
    /// # Errors
    ///
    /// `Unsupported` if the manager listens where this can't speak, such as `vsock:`. `Socket` if there is no socket to
    /// speak through. A manager that can't be reached is no error: it may be there again when something is said.
    pub(crate) fn of(environment: &Environment) -> Result<Option<Self>, Error> {
        let Some(name) = &environment.notify_socket else {
            return Ok(None);
        };
        let address = address(name)?;
        let socket = UnixDatagram::unbound().map_err(|error| unspeakable(name, error))?;
        let (outbox, barrier, logged) = (VecDeque::new(), Barrier::None, HashSet::new());
        let mut notifier = Self { socket, name: name.clone(), address, outbox, barrier, logged };
        if let Err(error) = notifier.connect() {
            notifier.log("connect", &error);
        }
        Ok(Some(notifier))
    }

    /// All of it in one datagram, so that the manager acts on it at once.
    pub(crate) fn say(&mut self, notices: &[Notice<'_>]) {
        self.queue(Lines::of(notices), None);
    }

    /// The manager keeps the descriptor, and passes it to this service's next main process after a crash. What it has
    /// already is not kept twice. It keeps as many as `FileDescriptorStoreMax=` says, which is none by default.
    pub(crate) fn store(&mut self, name: &Name, descriptor: Arc<OwnedFd>) {
        self.queue(Lines::store(name), Some(descriptor));
    }

    /// The manager closes all that it keeps under this name.
    pub(crate) fn remove(&mut self, name: &Name) {
        self.queue(Lines::remove(name), None);
    }

    /// Has [`Notifier::next`] return once the manager has dealt with all that was said before. One at a time: a later one
    /// takes the place of an earlier one, which it covers.
    ///
    /// There is no deadline here: a manager that stands still holds it up until it goes on.
    pub(crate) fn barrier(&mut self) {
        match sys::pipe().and_then(|(read, write)| Ok((pipe::Receiver::from_owned_fd(read)?, write))) {
            Ok((read, write)) => {
                self.barrier = Barrier::Raised(read);
                // By itself: systemd takes a barrier among other lines for none.
                self.queue(Lines::barrier(), Some(Arc::new(write)));
            }
            Err(error) => {
                self.log("raise a barrier", &error);
                self.barrier = Barrier::Through;
            }
        }
    }

    /// Sends what is queued, and returns when a barrier is through: systemd has closed its end, or it could not be sent
    /// (which the log tells), for then there is nobody to wait for. Without a barrier it never returns.
    ///
    /// # Cancel safety
    ///
    /// What is queued stays queued, and a barrier that is through stays so until this has returned.
    pub(crate) async fn next(&mut self) {
        loop {
            self.try_flush();
            tokio::select! {
                () = through(&self.barrier) => break,
                ready = self.socket.writable(), if !self.outbox.is_empty() => if let Err(error) = ready {
                    // Only a runtime that shuts down says so, and it polls nobody again.
                    self.log("wait for", &error);
                    self.outbox.clear();
                },
            }
        }
        self.barrier = Barrier::None;
    }

    fn queue(&mut self, lines: Lines, descriptor: Option<Arc<OwnedFd>>) {
        if lines.supersedes() {
            self.outbox.iter_mut().for_each(|waiting| waiting.lines.make_room_for(&lines));
            self.outbox.retain(|waiting| !waiting.lines.is_empty());
        }
        if lines.is_empty() {
            return;
        }
        if self.outbox.len() == QUEUE_LIMIT {
            crate::log::warn!(first = lines.first(), "the manager has not read for long: not said to it");
            return;
        }
        self.outbox.push_back(Datagram { lines, descriptor });
        self.try_flush();
    }

    /// As much as the manager's queue takes now. A barrier that is dropped here takes the pipe's end with it, and so
    /// counts as through.
    fn try_flush(&mut self) {
        while let Some(first) = self.outbox.front() {
            match self.send(first) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    let first = first.lines.first();
                    self.log(first, &error);
                }
            }
            self.outbox.pop_front();
        }
    }

    fn send(&self, datagram: &Datagram) -> io::Result<()> {
        let bytes = datagram.lines.bytes();
        let descriptors: Vec<_> = datagram.descriptor.iter().map(AsFd::as_fd).collect();
        let send = || sys::send(self.socket.as_fd(), &bytes, &descriptors).map(drop);
        // Tried before the reactor has said anything: READY=1 is to lie in the kernel when `say` returns, for this process
        // may end next. Only where the kernel takes nothing is the reactor told to wait for it.
        let tried = || match send() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.socket.try_io(Interest::WRITABLE, send),
            sent => sent,
        };
        match tried() {
            // The manager has opened its socket anew, or was not there yet.
            Err(error) if is_unconnected(&error) => self.connect().and_then(|()| tried()),
            sent => sent,
        }
    }

    /// A datagram socket needs no connection to send, but to learn when there is room again: the kernel wakes only a
    /// sender that is connected to the full queue.
    fn connect(&self) -> io::Result<()> {
        SockRef::from(&self.socket).connect(&self.address)
    }

    fn log(&mut self, what: &str, error: &io::Error) {
        if self.logged.insert(error.raw_os_error()) {
            crate::log::warn!(what, %error, notify_socket = ?self.name, "the manager can't be told; this is logged once");
        }
    }
}

/// Pends where there is no barrier.
async fn through(barrier: &Barrier) {
    match barrier {
        Barrier::None => std::future::pending().await,
        Barrier::Through => {}
        Barrier::Raised(read) => loop {
            // Being readable is no more than a hint.
            let end = read.readable().await.and_then(|()| read.try_read(&mut [0]));
            match end {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Nothing is ever written to it.
                Ok(_) => return,
                Err(error) => {
                    crate::log::warn!(%error, "wait for the manager's barrier");
                    return;
                }
            }
        },
    }
}

/// A path, or an abstract name after `@`.
pub(crate) fn address(name: &OsStr) -> Result<SockAddr, Error> {
    let failed = |error| unspeakable(name, error);
    match name.as_bytes() {
        [b'/', ..] => SockAddr::unix(name).map_err(failed),
        [b'@', name @ ..] => SockAddr::unix(OsStr::from_bytes(&[b"\0", name].concat())).map_err(failed),
        _ => {
            let what = format!("NOTIFY_SOCKET is neither a path nor an abstract name: {name:?}");
            Err(Error::new(ErrorKind::Unsupported, what))
        }
    }
}

fn unspeakable(name: &OsStr, error: io::Error) -> Error {
    Error::io(ErrorKind::Socket, format!("speak to NOTIFY_SOCKET {name:?}"), error)
}

fn is_unconnected(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, NotConnected};
    matches!(error.kind(), ConnectionRefused | ConnectionReset | NotConnected)
}

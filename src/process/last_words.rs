//! The successor's standard error: passed on to its place, and its end remembered for the one who asks why it failed.
//!
//! Until COMMIT the successor's descriptor 2 is a pipe. The predecessor reads it; the successor holds a copy of the
//! read end, so that a predecessor's death never breaks the pipe under an `eprintln!`, which would panic. At COMMIT the
//! successor puts the real one back and passes on what is left. The predecessor reads on, too, to its end: a successor that
//! has filled the pipe can't log, and so would not come to COMMIT.

use std::{
    collections::VecDeque,
    env,
    fs::File,
    io::{self, IsTerminal, Read, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use tokio::sync::oneshot;

use crate::sys;

/// How much of the end is kept.
const TAIL: usize = 4096;

/// For how long the last words of a dead successor are awaited: the place to which they are passed on may be stuck.
const PATIENCE: Duration = Duration::from_secs(1);

/// The predecessor's side: a thread, because the real standard error may block and must not block the loop.
#[derive(Debug)]
pub(super) struct LastWords {
    tail: Arc<Mutex<VecDeque<u8>>>,
    /// Dropped to make the thread pass on what is there, and end.
    keep_on: OwnedFd,
    done: oneshot::Receiver<()>,
}

/// What the predecessor needs for a spawn.
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) words: LastWords,
    /// The successor's descriptor 2.
    pub(super) write: OwnedFd,
    /// For HELLO: the real one, and the read end's copy.
    pub(super) lend: [Arc<OwnedFd>; 2],
}

impl LastWords {
    pub(super) fn open() -> io::Result<Pipe> {
        let (read, write) = sys::pipe()?;
        let real = sys::stderr()?;
        let lend = [Arc::new(real.try_clone()?), Arc::new(read.try_clone()?)];
        let (stop, keep_on) = sys::pipe()?;
        let tail = Arc::new(Mutex::new(VecDeque::new()));
        let (tell, done) = oneshot::channel();
        let keep = Arc::clone(&tail);
        thread::Builder::new().name("hotrestart-stderr".into()).spawn(move || {
            pass_on(read, real, Some(stop), |bytes| remember(&keep, bytes));
            // Nobody waits when the successor was confirmed.
            let _ = tell.send(());
        })?;
        Ok(Pipe { words: Self { tail, keep_on, done }, write, lend })
    }

    /// The last 4 KiB, after everything in the pipe has been passed on.
    pub(super) async fn take(self) -> String {
        let Self { tail, keep_on, done } = self;
        drop(keep_on);
        if tokio::time::timeout(PATIENCE, done).await.is_err() {
            crate::log::debug!("the standard error is stuck: the successor's last words may be incomplete");
        }
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(tail.make_contiguous()).into_owned()
    }
}

fn remember(tail: &Mutex<VecDeque<u8>>, bytes: &[u8]) {
    let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
    tail.extend(bytes);
    let excess = tail.len().saturating_sub(TAIL);
    tail.drain(..excess);
}

/// The successor's side, from HELLO to COMMIT. Dropped without being given back, it waits for the predecessor's end.
///
/// A thread of its own puts the real standard error back, and not the loop: when the predecessor has died, nobody reads
/// the pipe, and a program that has filled it stands still in a write, holding the lock of `stderr`, which the next log
/// line of the loop would wait for.
#[derive(Debug)]
pub(crate) struct Borrowed {
    /// A byte: now. Its end: this process ends anyway, and its last words are the predecessor's to read.
    tell: OwnedFd,
}

impl Borrowed {
    /// `predecessor`: readable at its death.
    pub(super) fn watch(real: OwnedFd, pipe: OwnedFd, predecessor: Option<OwnedFd>) -> io::Result<Self> {
        let (told, tell) = sys::pipe()?;
        thread::Builder::new().name("hotrestart-stderr".into()).spawn(move || {
            wait_for_turn(File::from(told), predecessor);
            match sys::replace_stderr(real.as_fd()) {
                // What is left in the pipe, also from a helper that still holds it; it ends with the last of them.
                Ok(()) => pass_on(pipe, real, None, |_| ()),
                Err(error) => crate::log::warn!(%error, "put the standard error back"),
            }
        })?;
        Ok(Self { tell })
    }

    /// Puts the real standard error back, and passes on what is left in the pipe.
    pub(crate) fn give_back(self) {
        if let Err(error) = File::from(self.tell).write_all(&[1]) {
            // It has heard of the predecessor's death before, and needs to be told nothing.
            crate::log::debug!(%error, "the standard error has been put back already");
        }
    }
}

fn wait_for_turn(told: File, predecessor: Option<OwnedFd>) {
    let mut told = Some(told);
    while told.is_some() || predecessor.is_some() {
        let watched = [told.as_ref().map(AsFd::as_fd), predecessor.as_ref().map(AsFd::as_fd)];
        if wait_readable(&watched).is_err() {
            // Nothing can be waited for: better back too early than never.
            return;
        }
        if predecessor.as_ref().is_some_and(|predecessor| sys::has_ended(predecessor.as_fd())) {
            return;
        }
        match told.as_mut().map(|told| told.read(&mut [0])) {
            Some(Ok(0)) => told = None,
            Some(Ok(_)) => return,
            Some(Err(_)) | None => {}
        }
    }
    // Neither a word nor a death will come: without pidfds, in a process that was refused and ends.
    loop {
        thread::park();
    }
}

/// Copies until the pipe's last writer is gone, or until `stop` is closed and the pipe is empty. Two generations may do
/// this at once: each byte goes through one of them.
fn pass_on(from: OwnedFd, to: OwnedFd, stop: Option<OwnedFd>, mut seen: impl FnMut(&[u8])) {
    let (mut from, mut to) = (File::from(from), File::from(to));
    let mut buffer = [0; 4096];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => {
                seen(&buffer[..count]);
                write_all(&mut to, &buffer[..count], stop.as_ref());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let watched = [Some(from.as_fd()), stop.as_ref().map(AsFd::as_fd)];
                match wait_readable(&watched) {
                    Ok([more, stopped]) if stopped && !more => return,
                    Ok(_) => {}
                    Err(_) => return,
                }
            }
            Err(_) => return,
        }
    }
}

/// Only what the place takes without waiting (4 KiB at a time never block where a pipe says that it is writable), so that a
/// reader who has stopped does not hold this thread for ever: once `stop` is closed, what is left is given up. A place
/// that takes nothing more (a closed pipe) must not stop the successor from writing: what is lost there was lost
/// without us too.
fn write_all(to: &mut File, mut bytes: &[u8], stop: Option<&OwnedFd>) {
    while !bytes.is_empty() {
        let mut polled = vec![PollFd::new(to.as_fd(), PollFlags::POLLOUT)];
        polled.extend(stop.map(|stop| PollFd::new(stop.as_fd(), PollFlags::POLLIN)));
        match poll(&mut polled, PollTimeout::NONE) {
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(_) => return,
        }
        if !polled[0].any().unwrap_or(false) {
            return;
        }
        match to.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
            Err(_) => return,
        }
    }
}

/// Which of them can be read, or has ended.
fn wait_readable(watched: &[Option<BorrowedFd<'_>>; 2]) -> nix::Result<[bool; 2]> {
    let mut polled: Vec<_> = watched.iter().flatten().map(|it| PollFd::new(*it, PollFlags::POLLIN)).collect();
    match poll(&mut polled, PollTimeout::NONE) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(error) => return Err(error),
    }
    let mut ready = polled.iter().map(|it| it.any().unwrap_or(false));
    Ok(watched.map(|it| it.is_some() && ready.next().unwrap_or(false)))
}

/// Not where somebody watches a terminal (its settings and colours depend on it), nor where the journal reads (it
/// knows each line's process by the descriptor).
pub(super) fn worth_capturing() -> bool {
    let Ok(stderr) = sys::stderr() else {
        return false;
    };
    !stderr.is_terminal() && !is_journal(&stderr)
}

fn is_journal(stderr: &OwnedFd) -> bool {
    let Some(journal) = env::var_os("JOURNAL_STREAM") else {
        return false;
    };
    sys::identity(stderr).is_ok_and(|it| journal.to_str() == Some(&format!("{}:{}", it.device, it.inode)))
}

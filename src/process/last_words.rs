//! The successor's standard error: passed on to its place, and its end remembered for the one who asks why it failed.
//!
//! Until COMMIT the successor's descriptor 2 is a pipe. The predecessor reads it; the successor holds a copy of the
//! read end, so that a predecessor's death never breaks the pipe under an `eprintln!`, which would panic. At COMMIT the
//! successor puts the real one back and passes on what is left.

use std::{
    collections::VecDeque,
    env,
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
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
        let lend = [Arc::new(sys::duplicate(real.as_fd())?), Arc::new(sys::duplicate(read.as_fd())?)];
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
            tracing::debug!("the standard error is stuck: the successor's last words may be incomplete");
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

/// The successor's side, from HELLO to COMMIT.
#[derive(Debug)]
pub(crate) struct Borrowed {
    pub(super) real: OwnedFd,
    pub(super) pipe: OwnedFd,
}

impl Borrowed {
    /// Puts the real standard error back. What is left in the pipe, also from a helper that still holds it, is passed on
    /// by a thread that ends with the last of them.
    pub(crate) fn give_back(self) {
        let Self { real, pipe } = self;
        if let Err(error) = sys::replace_stderr(real.as_fd()) {
            tracing::warn!(%error, "put the standard error back");
            return;
        }
        let spawned = thread::Builder::new()
            .name("hotrestart-stderr".into())
            .spawn(move || pass_on(pipe, real, None, |_| ()));
        if let Err(error) = spawned {
            tracing::warn!(%error, "pass on what is left of the standard error");
        }
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
                write_all(&mut to, &buffer[..count]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut polled: Vec<_> =
                    [Some(from.as_fd()), stop.as_ref().map(AsFd::as_fd)].into_iter().flatten().map(readable).collect();
                if poll(&mut polled, PollTimeout::NONE).is_err_and(|error| error != nix::errno::Errno::EINTR) {
                    return;
                }
                let stopped = polled.get(1).and_then(PollFd::any).unwrap_or(false);
                let more = polled[0].any().unwrap_or(false);
                if stopped && !more {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}

/// A terminal that somebody made non-blocking is waited for. A place that takes nothing more (a closed pipe) must not
/// stop the successor from writing: what is lost there was lost without us too.
fn write_all(to: &mut File, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut polled = [PollFd::new(to.as_fd(), PollFlags::POLLOUT)];
                if poll(&mut polled, PollTimeout::NONE).is_err_and(|error| error != nix::errno::Errno::EINTR) {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}

fn readable(descriptor: std::os::fd::BorrowedFd<'_>) -> PollFd<'_> {
    PollFd::new(descriptor, PollFlags::POLLIN)
}

/// Not where somebody watches a terminal (its settings and colours depend on it), nor where the journal reads (it
/// knows each line's process by the descriptor).
pub(super) fn worth_capturing() -> bool {
    let Ok(stderr) = sys::stderr() else {
        return false;
    };
    !sys::is_terminal(stderr.as_fd()) && !is_journal(&stderr)
}

fn is_journal(stderr: &OwnedFd) -> bool {
    let Some(journal) = env::var_os("JOURNAL_STREAM") else {
        return false;
    };
    sys::identity(stderr).is_ok_and(|it| journal.to_str() == Some(&format!("{}:{}", it.device, it.inode)))
}

//! Processes: whether they have ended, how, and how to end them.

use std::{
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::process::ExitStatusExt,
    },
    process::ExitStatus,
    thread,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{Signal, kill},
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
    unistd::Pid,
};

use super::pidfd_info::{self, Known};

/// A process that this one has started.
#[derive(Debug)]
pub(crate) struct Process {
    pid: Pid,
    /// Readable when the process has ended: a pidfd, or the end of a pipe where the kernel or a sandbox has none.
    ended: OwnedFd,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It stays a zombie, so that its pid can't be another's, until `reap`.
    Child,
    /// The same without a pidfd.
    ChildAtPipe,
    /// Our parent's child, which that one reaps when it likes: only the pidfd surely leads to it.
    Sibling,
}

impl Process {
    /// Of a child that this process has just spawned and not yet waited for.
    pub(super) fn of_child(pid: Pid) -> io::Result<Self> {
        match process_handle(pid.as_raw() as u32) {
            Ok(ended) => Ok(Self { pid, ended, kind: Kind::Child }),
            Err(error) if is_refused_here(&error) => {
                Ok(Self { pid, ended: pipe_that_ends_with(pid)?, kind: Kind::ChildAtPipe })
            }
            // It has ended already, and the application ignores SIGCHLD, so the kernel has reaped it.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {
                Ok(Self { pid, ended: super::pipe()?.0, kind: Kind::ChildAtPipe })
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn of_sibling(pid: Pid, pidfd: OwnedFd) -> Self {
        Self { pid, ended: pidfd, kind: Kind::Sibling }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw() as u32
    }

    /// Its status if it has ended, and then it is a zombie no more. `None` also where somebody else (a `waitpid(-1)` of
    /// the application, or an ignored SIGCHLD) has taken it; and for a sibling where the kernel does not say, or not yet.
    pub(crate) fn reap(&self) -> Option<ExitStatus> {
        if self.kind == Kind::Sibling {
            return match pidfd_info::look(self.as_fd()) {
                Known::Ended(status) => Some(status),
                Known::NotYet | Known::Nothing => None,
            };
        }
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG;
        match waitid(Id::Pid(self.pid), flags) {
            Ok(WaitStatus::Exited(_, code)) => Some(ExitStatus::from_raw(code << 8)),
            Ok(WaitStatus::Signaled(_, signal, _)) => Some(ExitStatus::from_raw(signal as i32)),
            _ => None,
        }
    }

    /// Whether it is a zombie whose parent, once it has reaped it, lets its status be known. Its descriptor wakes its reactor
    /// again then.
    pub(crate) fn awaits_its_reaper(&self) -> bool {
        self.kind == Kind::Sibling && has_ended(self.as_fd()) && pidfd_info::look(self.as_fd()) == Known::NotYet
    }

    /// Kills it, waits until it has ended, and reaps it if that is ours to do.
    pub(crate) fn end(&self) {
        self.kill();
        let mut polled = [PollFd::new(self.ended.as_fd(), PollFlags::POLLIN)];
        while poll(&mut polled, PollTimeout::NONE) == Err(Errno::EINTR) {}
        self.reap();
    }

    /// Ends it at once, and only it.
    pub(crate) fn kill(&self) {
        self.signal(Signal::SIGKILL);
    }

    /// Asks it to end.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// By its pidfd, or by its pid while it is our unreaped child.
    fn signal(&self, signal: Signal) {
        let sent = if self.kind != Kind::ChildAtPipe {
            signal_by_handle(self.ended.as_fd(), signal)
        } else if has_ended(self.ended.as_fd()) {
            return; // and its pid may be another's
        } else {
            kill(self.pid, signal).map_err(io::Error::from)
        };
        if let Err(error) = sent {
            crate::log::debug!(process = self.pid(), %signal, %error, "signal a process: it has ended already");
        }
    }
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ended.as_fd()
    }
}

impl AsRawFd for Process {
    /// For the reactor, which waits for its end.
    fn as_raw_fd(&self) -> i32 {
        self.ended.as_raw_fd()
    }
}

/// A kernel before 5.3, or a sandbox that knows no pidfds (older seccomp profiles say EPERM).
pub(crate) fn is_refused_here(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM))
}

/// A pidfd of any process: it can be passed on, and tells of that process's end in every pid namespace.
pub(crate) fn process_handle(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open takes two integers and touches no memory of ours. It sets close-on-exec.
    let number = unsafe { libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0) };
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just opened it, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number as i32) })
}

/// Whether the process behind the handle has ended.
pub(crate) fn has_ended(handle: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::new(handle, PollFlags::POLLIN)];
    poll(&mut polled, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

fn signal_by_handle(handle: BorrowedFd<'_>, signal: Signal) -> io::Result<()> {
    let info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo is allowed and means what kill(2) does.
    let sent =
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, handle.as_raw_fd(), signal as libc::c_int, info, 0) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Without pidfds: a thread that waits (and leaves the zombie, so that `reap` finds the status) and then drops its end
/// of a pipe.
fn pipe_that_ends_with(pid: Pid) -> io::Result<OwnedFd> {
    let (read, write) = super::pipe()?;
    thread::Builder::new().name("hotrestart-wait".into()).spawn(move || {
        while waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(Errno::EINTR) {}
        drop(write);
    })?;
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::zombie_processes, reason = "reaping it is what is tested")]
    fn shell(script: &str) -> Pid {
        Pid::from_raw(std::process::Command::new("/bin/sh").args(["-c", script]).spawn().unwrap().id() as i32)
    }

    fn ended(script: &str) -> Process {
        Process::of_child(shell(script)).unwrap()
    }

    fn wait(process: &Process) {
        let mut polled = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut polled, PollTimeout::from(10_000_u16)), Ok(1));
    }

    #[test]
    fn an_ended_child_is_reaped_once_with_its_status() {
        let process = ended("exit 3");
        wait(&process);
        assert_eq!(process.reap().and_then(|status| status.code()), Some(3));
        assert_eq!(process.reap(), None, "nobody's child any more");
    }

    #[test]
    fn a_killed_child_says_so_and_a_living_one_says_nothing() {
        let process = ended("sleep 60");
        assert_eq!(process.reap(), None);
        process.kill();
        wait(&process);
        assert_eq!(process.reap().and_then(|status| status.signal()), Some(9));
    }

    #[test]
    fn without_pidfds_a_pipe_tells_of_the_end_and_the_status_is_still_there() {
        let pid = shell("exit 4");
        let process = Process { pid, ended: pipe_that_ends_with(pid).unwrap(), kind: Kind::ChildAtPipe };
        wait(&process);
        assert_eq!(process.reap().and_then(|status| status.code()), Some(4));
    }
}

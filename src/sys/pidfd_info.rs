//! How a process ended that is not this one's child: the pidfd tells it, from Linux 6.15 on.

use std::{
    io,
    os::{
        fd::{AsRawFd, BorrowedFd},
        unix::process::ExitStatusExt,
    },
    process::ExitStatus,
};

use nix::errno::Errno;

/// `struct pidfd_info` of <linux/pidfd.h> in its first size, written out because libc has none. Of all that it tells,
/// only the mask and the exit code are looked at.
#[repr(C)]
#[derive(Default)]
struct Info {
    /// In: what is asked for. Out: what was told.
    mask: u64,
    cgroup: u64,
    /// pid, tgid, ppid, and eight user and group ids.
    ids: [u32; 11],
    exit_code: i32,
}

/// `_IOWR(PIDFS_IOCTL_MAGIC, 11, struct pidfd_info)`.
const PIDFD_GET_INFO: libc::Ioctl = libc::_IOWR::<Info>(0xff, 11);
const PIDFD_INFO_EXIT: u64 = 1 << 3;

/// What can be said of a process by its pidfd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// How it ended. Only told when its parent has reaped it.
    Ended(ExitStatus),
    /// It lives, or is a zombie.
    NotYet,
    /// This kernel does not say.
    Nothing,
}

pub(super) fn look(pidfd: BorrowedFd<'_>) -> Known {
    let mut info = Info { mask: PIDFD_INFO_EXIT, ..Info::default() };
    // SAFETY: the kernel writes as many bytes as the request's number states, which are those of `info`.
    let told = Errno::result(unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO, &raw mut info) });
    match told {
        Ok(_) if info.mask & PIDFD_INFO_EXIT != 0 => Known::Ended(ExitStatus::from_raw(info.exit_code)),
        Ok(_) => Known::NotYet,
        // ENOTTY, EINVAL: before Linux 6.13. ESRCH: it was reaped, and a kernel before 6.15 has forgotten it.
        Err(error) => {
            let error = io::Error::from(error);
            crate::log::debug!(%error, "how a process ended that is another's child: this kernel does not say");
            Known::Nothing
        }
    }
}

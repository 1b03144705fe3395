//! A new program as our parent's child: `clone` with CLONE_PARENT, which no safe crate and no `posix_spawn` has.
//!
//! The new process runs in our memory until its exec (CLONE_VM), beside our other threads, and the calling thread stands
//! still meanwhile (CLONE_VFORK). What makes that sound, in the order of what could go wrong:
//!
//! 1. *Memory.* It reads what `Birth` lends it, all of it made before and alive until `clone` returns, for the caller's
//!    frame stands still; it writes to its own stack, to `Birth::error`, and to `errno`, which is the standing thread's.
//! 2. *Locks.* Another thread may hold any lock (malloc's, stdio's), and may go on to give it back, or not before the
//!    exec. So the new process makes only calls that are async-signal-safe: no allocation, no formatting, no panic.
//! 3. *Signals.* A handler of ours that ran in the new process would change our memory while it believes to be us. All
//!    signals are blocked in the caller before the clone, and so in the new process, until each that has a handler there
//!    is back to its default. It has its own table of them (no CLONE_SIGHAND), so ours stay. exec would do the same to
//!    them; those ignored stay ignored, but for SIGPIPE. Only then it gets the caller's mask, which exec keeps.
//! 4. *Descriptors and directory.* The new process has its own tables (no CLONE_FILES, no CLONE_FS): what it maps, or
//!    makes inheritable, is so there only, and no program that another thread starts meanwhile inherits it.
//! 5. *The stack.* 64 KiB for four small functions without recursion; `execve` takes its arguments where they are. The
//!    thread-local storage is the standing thread's, of which nothing but `errno` is used.

use std::{
    convert::Infallible,
    ffi::c_void,
    io,
    os::fd::{FromRawFd, OwnedFd},
    ptr,
    sync::atomic::{AtomicI32, Ordering},
};

use nix::{errno::Errno, unistd::Pid};

use super::{
    Process,
    command::{Group, Prepared},
};

/// 64 KiB in pieces of 16 bytes, to which every platform wants a stack aligned.
const STACK: usize = 4096;

/// The kernel's own set of 64 signals. libc's never contains the two that its threads use among themselves, so that these
/// could not be blocked with it.
type Mask = u64;

/// What the new process reads, and what it answers.
struct Birth<'a> {
    program: &'a Prepared,
    mask: Mask,
    /// What failed there, and 0 when the program runs.
    error: AtomicI32,
}

/// Starts it. One that fails before its exec was a child of our parent all the same, which gets a SIGCHLD for a process
/// that it never heard of.
pub(super) fn sibling(program: &Prepared) -> io::Result<Process> {
    // The pidfd is all that this process will ever have of it: without one, it could neither be watched nor killed.
    super::process_handle(std::process::id())?;
    let mut stack = vec![0_u128; STACK];
    let top = stack.as_mut_ptr_range().end;
    let mut pidfd: libc::c_int = -1;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PARENT | libc::CLONE_PIDFD | libc::SIGCHLD;
    let before = set_mask(Mask::MAX)?;
    let birth = Birth { program, mask: before, error: AtomicI32::new(0) };
    let argument = ptr::from_ref(&birth).cast_mut().cast::<c_void>();
    // SAFETY: the five points above. `top` is the upper end of a stack that nothing else uses; `birth`, `stack` and
    // `pidfd` outlive the call, which returns only when the new process has left this memory.
    let pid = unsafe { libc::clone(become_program, top.cast(), flags, argument, &raw mut pidfd) };
    let cloned = match pid {
        // SAFETY: the kernel has just opened it in this process, so nobody else owns it. It is close-on-exec.
        1.. => Ok(unsafe { OwnedFd::from_raw_fd(pidfd) }),
        _ => Err(not_cloned(Errno::last())),
    };
    set_mask(before)?;
    match (cloned?, birth.error.load(Ordering::Relaxed)) {
        (pidfd, 0) => Ok(Process::of_sibling(Pid::from_raw(pid), pidfd)),
        (_, code) => Err(io::Error::from_raw_os_error(code)),
    }
}

fn not_cloned(error: Errno) -> io::Error {
    if error != Errno::EINVAL {
        return error.into();
    }
    // The only argument that the kernel can refuse is CLONE_PARENT, and that to one kind of process.
    io::Error::new(io::ErrorKind::Unsupported, "the init of a pid namespace has no siblings")
}

/// Of the calling thread; the one before it comes back.
fn set_mask(to: Mask) -> Result<Mask, Errno> {
    let mut before: Mask = 0;
    // SAFETY: both pointers lead to sets of the size that is stated, and outlive the call.
    let code = unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const to, &raw mut before, size_of::<Mask>())
    };
    Errno::result(code)?;
    Ok(before)
}

// ------------------------------------------------------------------------------------- what runs in the new process

/// From its first instruction to its exec.
extern "C" fn become_program(birth: *mut c_void) -> libc::c_int {
    // SAFETY: `sibling` has passed a `Birth`, which outlives this process's time in its memory.
    let birth = unsafe { &*birth.cast::<Birth<'_>>() };
    let Err(error) = exec(birth);
    birth.error.store(error as i32, Ordering::Relaxed);
    // SAFETY: it ends this process only, and runs nothing of what the other has registered for its end.
    unsafe { libc::_exit(127) }
}

fn exec(birth: &Birth<'_>) -> Result<Infallible, Errno> {
    let it = birth.program;
    if it.group == Group::Own {
        // SAFETY: two integers.
        Errno::result(unsafe { libc::setpgid(0, 0) })?;
    }
    if let Some(directory) = &it.directory {
        // SAFETY: the path ends with a null byte.
        Errno::result(unsafe { libc::chdir(directory.as_ptr()) })?;
    }
    for (from, to) in &it.maps {
        let mapped = match from == to {
            // dup2 onto itself does nothing, and would leave it close-on-exec.
            // SAFETY: integers, and a table of descriptors that is this process's own.
            true => unsafe { libc::fcntl(*from, libc::F_SETFD, 0) },
            // SAFETY: the same.
            false => unsafe { libc::dup2(*from, *to) },
        };
        Errno::result(mapped)?;
    }
    for signal in 1..=Mask::BITS {
        reset_handler(signal)?;
    }
    // From here on a signal that came in the meantime ends it, as it would after the exec.
    set_mask(birth.mask)?;
    // SAFETY: the program and all strings end with a null byte, both lists with a null pointer.
    unsafe { libc::execve(it.program.as_ptr(), it.arguments.as_ptr(), it.environment.as_ptr()) };
    Err(Errno::last())
}

/// The kernel's `sigaction` begins with the handler on every platform that this crate knows; what follows is not longer
/// than this. All zero is the default.
#[repr(C)]
struct Disposition {
    handler: libc::sighandler_t,
    rest: [u64; 8],
}

/// By the system call: libc refuses to look at the two signals that it uses itself.
fn reset_handler(signal: u32) -> Result<(), Errno> {
    let set = |new: *const Disposition, old: *mut Disposition| {
        // SAFETY: each pointer is null, or leads to a disposition that outlives the call.
        Errno::result(unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, new, old, size_of::<Mask>()) })
    };
    let default = Disposition { handler: libc::SIG_DFL, rest: [0; 8] };
    let mut now = Disposition { handler: libc::SIG_DFL, rest: [0; 8] };
    set(ptr::null(), &raw mut now)?;
    // Rust ignores SIGPIPE, and exec keeps "ignored".
    let stays = now.handler == libc::SIG_DFL || now.handler == libc::SIG_IGN && signal != libc::SIGPIPE as u32;
    if !stays {
        set(&raw const default, ptr::null_mut())?;
    }
    Ok(())
}

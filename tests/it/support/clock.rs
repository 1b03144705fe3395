//! The clocks of this process, which a test can set: std and tokio read them through the C library's `clock_gettime`, and
//! the linker finds this one first. So no tool is needed, and no other process of the machine notices.
#![allow(unsafe_code, reason = "the C library's function is replaced by one of that signature")]

use std::{
    sync::atomic::{AtomicI64, Ordering::Relaxed},
    time::Duration,
};

use libc::{c_int, c_long, clockid_t, time_t, timespec};
use tokio::signal::unix::{SignalKind, signal};

use super::server::say;

/// More than any deadline.
pub const HOUR: Duration = Duration::from_secs(3600);

/// By how many seconds each is ahead of the kernel's.
static WALL: AtomicI64 = AtomicI64::new(0);
static STEADY: AtomicI64 = AtomicI64::new(0);

/// An hour has passed for this process, and for no other.
pub fn pass() {
    WALL.fetch_add(HOUR.as_secs() as i64, Relaxed);
    STEADY.fetch_add(HOUR.as_secs() as i64, Relaxed);
}

/// Somebody corrects the time of day: it is an hour earlier. Only that can be set; the other clocks never go backwards.
pub fn set_back() {
    WALL.fetch_sub(HOUR.as_secs() as i64, Relaxed);
}

/// SIGWINCH, which does nothing to who is not told of it: an hour has passed for this process.
pub fn obey() {
    let mut passes = signal(SignalKind::window_change()).expect("a handler");
    tokio::spawn(async move {
        while passes.recv().await.is_some() {
            pass();
            say(format_args!("hour pid={}", std::process::id()));
        }
    });
}

#[unsafe(no_mangle)]
extern "C" fn clock_gettime(clock: clockid_t, time: *mut timespec) -> c_int {
    // SAFETY: the caller gives what the kernel wants, a place for a time, and the kernel checks it.
    let outcome = unsafe { libc::syscall(libc::SYS_clock_gettime, c_long::from(clock), time) };
    let ahead = match clock {
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE => &WALL,
        libc::CLOCK_MONOTONIC | libc::CLOCK_MONOTONIC_COARSE | libc::CLOCK_BOOTTIME => &STEADY,
        _ => return outcome as c_int,
    };
    // SAFETY: the kernel has written there.
    if let (0, Some(time)) = (outcome, unsafe { time.as_mut() }) {
        time.tv_sec += ahead.load(Relaxed) as time_t;
    }
    outcome as c_int
}

#[test]
fn std_and_tokio_read_these_clocks() {
    use std::time::{Instant, SystemTime};
    // In a process of its own: the clocks of this one are those of all tests.
    if std::env::var_os("HR_CLOCK").is_none() {
        let this = std::env::current_exe().unwrap();
        let name = "support::clock::std_and_tokio_read_these_clocks";
        let status = std::process::Command::new(this).args([name, "--exact"]).env("HR_CLOCK", "1").output().unwrap();
        assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stdout));
        return;
    }
    let (wall, steady, tokio) = (SystemTime::now(), Instant::now(), tokio::time::Instant::now());
    pass();
    assert!(wall.elapsed().unwrap() >= HOUR && steady.elapsed() >= HOUR && tokio.elapsed() >= HOUR);
    set_back();
    set_back();
    assert!(SystemTime::now() < wall && steady.elapsed() >= HOUR);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let begun = tokio::time::Instant::now();
        let sleep = tokio::time::sleep(HOUR - Duration::from_secs(1));
        pass();
        sleep.await;
        assert!(begun.elapsed() < 2 * HOUR, "an hour has passed at once");
    });
}

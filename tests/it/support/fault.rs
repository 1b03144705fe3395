//! What can befall a process, done by itself and at once. Here only, and not in the crate: see `step.rs`.
#![allow(unsafe_code, reason = "handlers, limits and sockets are the kernel's, and no safe crate breaks them")]

use std::{
    collections::BTreeSet,
    fs, mem, ptr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use libc::c_int;
use nix::sys::{
    resource::{Resource, getrlimit, setrlimit},
    signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction},
};

use super::{clock, frames, process};

/// The name of each is its word in `HR_AT` and in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// SIGKILL.
    Kill,
    /// Stops until SIGCONT, and finds that an hour has passed.
    Stop,
    /// Stops until SIGCONT, and no time passes.
    Hold,
    /// Nothing: that the step has come is said, and that is all.
    Note,
    /// `exit(7)`.
    Exit,
    /// The channel between the generations is shut down, in both directions, and this process lives on.
    Close,
    /// No descriptor is left.
    Files,
    /// No page of memory is left.
    Memory,
    /// The channel takes nothing more, until the other generation has read what this process has filled it with.
    Full,
    /// A signal every 100 µs, without SA_RESTART: calls fail with EINTR.
    Signals,
    /// An hour passes at once.
    Ahead,
    /// The time of day is set back by an hour.
    Back,
}

impl Fault {
    /// As the columns of the table stand.
    pub const ALL: [Self; 10] = [
        Self::Kill,
        Self::Exit,
        Self::Stop,
        Self::Close,
        Self::Files,
        Self::Memory,
        Self::Full,
        Self::Signals,
        Self::Ahead,
        Self::Back,
    ];

    pub fn word(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    pub fn of(word: &str) -> Self {
        let known = Self::ALL.into_iter().chain([Self::Hold, Self::Note]);
        known.into_iter().find(|fault| fault.word() == word).unwrap_or_else(|| panic!("no fault is called {word}"))
    }

    /// It happens to this process. Those that it survives last on.
    pub fn strike(self) {
        match self {
            Self::Kill => raise(Signal::SIGKILL).expect("killed"),
            Self::Exit => std::process::exit(7),
            Self::Note => {}
            Self::Hold => raise(Signal::SIGSTOP).expect("stopped"),
            Self::Stop => {
                raise(Signal::SIGSTOP).expect("stopped");
                clock::pass();
            }
            Self::Close => channels().into_iter().for_each(shut),
            Self::Files => no_more_files(),
            Self::Memory => no_more_memory(),
            Self::Full => channels().into_iter().for_each(fill),
            Self::Signals => storm(),
            Self::Ahead => clock::pass(),
            Self::Back => clock::set_back(),
        }
    }
}

/// The Unix sockets that this process had when it had no channel: the reactor's own, and such.
static OTHERS: Mutex<Option<BTreeSet<String>>> = Mutex::new(None);

/// Before a channel can be there. One that was inherited is none of the others.
pub fn remember_other_sockets() {
    let inherited = std::env::var("TOKIO_HOTRESTART_CHANNEL").unwrap_or_default();
    let inherited = inherited.split_once(':').map(|(_, inode)| format!("socket:[{inode}]"));
    let others = sockets().into_iter().map(|(_, target)| target).filter(|target| Some(target) != inherited.as_ref());
    *OTHERS.lock().unwrap_or_else(PoisonError::into_inner) = Some(others.collect());
}

pub fn has_channel() -> bool {
    !channels().is_empty()
}

/// The numbers of all streams that are none of those: the channel's.
fn channels() -> Vec<c_int> {
    let others = OTHERS.lock().unwrap_or_else(PoisonError::into_inner);
    let others = others.as_ref().expect("they were remembered at the beginning");
    let ours = sockets().into_iter().filter(|(_, target)| !others.contains(target));
    ours.map(|(number, _)| number).collect()
}

/// Those of the Unix family that are connected streams.
fn sockets() -> Vec<(c_int, String)> {
    let table = fs::read_to_string("/proc/self/net/unix").expect("the kernel's table");
    // Type 1 is a stream, state 3 is connected.
    let is_stream = |fields: &[&str]| fields.get(4) == Some(&"0001") && fields.get(5) == Some(&"03");
    let lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let streams: BTreeSet<_> =
        lines.filter(|line| is_stream(line)).map(|line| format!("socket:[{}]", line[6])).collect();
    let own = process::descriptors(std::process::id() as i32).into_iter();
    let own = own.map(|it| (it.number, it.target.to_string_lossy().into_owned()));
    own.filter(|(_, target)| streams.contains(target)).collect()
}

fn shut(channel: c_int) {
    // SAFETY: a number, no memory; who owns the descriptor finds its peer gone.
    assert_eq!(unsafe { libc::shutdown(channel, libc::SHUT_RDWR) }, 0);
}

/// With frames of a kind that nobody knows and nobody has to: they are skipped.
fn fill(channel: c_int) {
    let frame = frames::frame(0x7fff, 0, &[0; 1000], 0);
    let mut sent = 0;
    loop {
        // SAFETY: the kernel reads as much of the frame as it is long. The kernel takes a small one whole or not at all.
        let taken =
            unsafe { libc::send(channel, frame.as_ptr().cast(), frame.len(), libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) };
        if taken != frame.len() as isize {
            assert!(taken == -1 && sent > 0, "after {sent} frames, {taken} bytes of one were taken");
            return;
        }
        sent += 1;
    }
}

/// The soft limit is the first number that is not in use: whoever looks from outside can lift it again.
fn no_more_files() {
    let free =
        (0..).find(|number| fs::read_link(format!("/proc/self/fd/{number}")).is_err()).expect("numbers are many");
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, free, hard).expect("set");
}

fn no_more_memory() {
    let pages = fs::read_to_string("/proc/self/statm").expect("the kernel's table");
    let pages: u64 = pages.split(' ').next().and_then(|size| size.parse().ok()).expect("a number");
    let (_, hard) = getrlimit(Resource::RLIMIT_AS).expect("a limit");
    setrlimit(Resource::RLIMIT_AS, pages * 4096, hard).expect("set");
}

const EVERY: Duration = Duration::from_micros(100);

fn storm() {
    extern "C" fn nothing(_: c_int) {}
    let handler = SigAction::new(SigHandler::Handler(nothing), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler does nothing, which is safe at any time.
    unsafe { sigaction(Signal::SIGALRM, &handler) }.expect("a handler");
    // SAFETY: all zeros are a timer that is off.
    let mut timer: libc::itimerval = unsafe { mem::zeroed() };
    timer.it_interval.tv_usec = EVERY.as_micros() as libc::suseconds_t;
    timer.it_value = timer.it_interval;
    // SAFETY: the kernel reads a timer that is there, and writes none back.
    assert_eq!(unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, ptr::null_mut()) }, 0);
}

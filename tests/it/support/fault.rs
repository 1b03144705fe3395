//! What can befall a process, done by itself and at once. Here only, and not in the crate: see `step.rs`.
#![allow(unsafe_code, reason = "handlers, limits and sockets are the kernel's, and no safe crate breaks them")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    hint::black_box,
    io::{self, Write},
    mem, ptr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI32, Ordering::Relaxed},
    },
    time::Duration,
};

use libc::c_int;
use nix::{
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, raise, sigaction},
    },
    unistd::Pid,
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
    /// No page of memory is left. The allocator has some megabytes.
    Memory,
    /// Nor has the allocator anything: whoever wants a piece next, which is this process at once, aborts.
    Heap,
    /// The channel takes nothing more: the other generation is stopped, until somebody sends it SIGCONT, and what it does not
    /// read fills the channel.
    Full,
    /// More than a pipe holds is written to standard error while the other generation stands still, until somebody sends it
    /// SIGCONT.
    Stderr,
    /// A signal every 100 µs, without SA_RESTART: calls fail with EINTR.
    Signals,
    /// An hour passes at once.
    Ahead,
    /// The time of day is set back by an hour.
    Back,
}

impl Fault {
    /// As the columns of the table stand.
    pub const ALL: [Self; 12] = [
        Self::Kill,
        Self::Exit,
        Self::Stop,
        Self::Close,
        Self::Files,
        Self::Memory,
        Self::Heap,
        Self::Full,
        Self::Stderr,
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
            Self::Close => with_files(|| channels().into_iter().for_each(shut)),
            Self::Files => no_more_files(with_files(first_free_number)),
            Self::Memory => {
                set_aside();
                // A thread that begins wants a page for its signals, and ends the process where it gets none.
                with_files(|| process::until(others_sleep));
                with_files(no_more_memory);
            }
            Self::Heap => {
                with_files(no_more_memory);
                use_up();
            }
            Self::Full => with_files(|| {
                stop_other();
                channels().into_iter().for_each(fill);
            }),
            Self::Stderr => {
                with_files(stop_other);
                let flood = "x".repeat(FLOOD) + "\n";
                io::stderr().lock().write_all(flood.as_bytes()).expect("somebody reads it in the end");
            }
            Self::Signals => storm(),
            Self::Ahead => clock::pass(),
            Self::Back => clock::set_back(),
        }
    }
}

/// The Unix sockets that this process had when it had no channel: the reactor's own, and such.
static OTHERS: Mutex<Option<BTreeSet<String>>> = Mutex::new(None);

/// Before a channel can be there. One that was inherited is none of the others.
pub fn begin() {
    PARENT.store(process::parent(std::process::id() as i32), Relaxed);
    let inherited = std::env::var("TOKIO_HOTRESTART_CHANNEL").unwrap_or_default();
    let inherited = inherited.split_once(':').map(|(_, inode)| format!("socket:[{inode}]"));
    let others = sockets().into_iter().map(|(_, target)| target).filter(|target| Some(target) != inherited.as_ref());
    *OTHERS.lock().unwrap_or_else(PoisonError::into_inner) = Some(others.collect());
}

/// A number of each stream that is none of those: of the channel's, which may have several.
fn channels() -> Vec<c_int> {
    let others = OTHERS.lock().unwrap_or_else(PoisonError::into_inner);
    let others = others.as_ref().expect("they were remembered at the beginning");
    let ours = sockets().into_iter().filter(|(_, target)| !others.contains(target));
    let ours: BTreeMap<_, _> = ours.map(|(number, target)| (target, number)).collect();
    assert!(!ours.is_empty(), "there is no channel at this step");
    ours.into_values().collect()
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

/// The process that has started this one.
static PARENT: AtomicI32 = AtomicI32::new(0);

/// The other generation, as long as it lives: the one that has spawned this process, or that it has spawned. Nobody else
/// becomes its parent and is stopped in its place.
fn stop_other() {
    let this = std::process::id() as i32;
    let other = match std::env::var_os("TOKIO_HOTRESTART_CHANNEL") {
        Some(_) => Some(process::parent(this)).filter(|parent| *parent == PARENT.load(Relaxed)),
        None => process::children(this).first().copied(),
    };
    let Some(other) = other else { return };
    kill(Pid::from_raw(other), Signal::SIGSTOP).expect("it is there");
    process::until(|| matches!(process::state(other), 'T' | 'Z' | 'X'));
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
            let why = io::Error::last_os_error();
            // The other one may have ended.
            let is_full =
                why.kind() == io::ErrorKind::WouldBlock && sent > 0 || why.kind() == io::ErrorKind::BrokenPipe;
            assert!(taken == -1 && is_full, "after {sent} frames, {taken} bytes of one were taken: {why}");
            return;
        }
        sent += 1;
    }
}

/// What looks around needs descriptors, of which there may be none any more.
fn with_files<T>(look: impl FnOnce() -> T) -> T {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("lifted");
    let seen = look();
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).expect("set");
    seen
}

fn first_free_number() -> u64 {
    let is_free = |number: &u64| fs::read_link(format!("/proc/self/fd/{number}")).is_err();
    (0..).find(is_free).expect("numbers are many")
}

/// The soft limit is the first number that is not in use: whoever looks from outside can lift it again.
fn no_more_files(free: u64) {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, free, hard).expect("set");
}

fn no_more_memory() {
    let pages = fs::read_to_string("/proc/self/statm").expect("the kernel's table");
    let pages: u64 = pages.split(' ').next().and_then(|size| size.parse().ok()).expect("a number");
    let (_, hard) = getrlimit(Resource::RLIMIT_AS).expect("a limit");
    setrlimit(Resource::RLIMIT_AS, pages * 4096, hard).expect("set");
}

/// What the allocator has been told of its ways, so that what it has is all in one place, of whoever asks: with arenas for
/// each thread, or pages given back, nobody knows who finds something. To be in the environment of a process to which
/// `Memory` or `Heap` is to happen.
pub const ALLOCATOR: [(&str, &str); 3] =
    [("MALLOC_ARENA_MAX", "1"), ("MALLOC_MMAP_MAX_", "0"), ("MALLOC_TRIM_THRESHOLD_", "1000000000")];

/// More than a process wants that outlasts the shortage.
const ASIDE: usize = 1 << 26;

/// More than a pipe holds, however large it has been made.
const FLOOD: usize = 1 << 20;

/// The allocator gets so much of the kernel, and keeps it.
fn set_aside() {
    let mut aside = Vec::<u8>::new();
    aside.try_reserve_exact(ASIDE).expect("nothing is short yet");
    black_box(&aside);
}

/// The large pieces first, so that few have to be taken; and then each size of which the allocator keeps pieces.
fn use_up() {
    let sizes = (11..=30).rev().map(|power| 1 << power).chain((24..=1032).rev().step_by(16));
    for size in sizes {
        let mut piece = Vec::<u8>::new();
        while piece.try_reserve_exact(size).is_ok() {
            mem::take(&mut piece).leak();
        }
    }
    // Another thread may have given something back.
    loop {
        black_box(Box::leak(Box::new([1_u8; 24])));
    }
}

fn others_sleep() -> bool {
    let this = nix::unistd::gettid().as_raw();
    let threads = fs::read_dir("/proc/self/task").expect("the kernel's list").flatten();
    let mut threads = threads.filter_map(|thread| thread.file_name().to_str()?.parse().ok());
    threads.all(|thread: i32| thread == this || matches!(process::state(thread), 'S' | 'X'))
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

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io::{Read, Write},
        os::unix::{net::UnixStream, process::ExitStatusExt},
        process::{Command, Stdio},
    };

    use nix::{
        errno::Errno,
        poll::{PollTimeout, poll},
    };

    use super::{super::this, ALLOCATOR, ASIDE, Fault, begin};

    /// In a process of its own, to which it happens. In that one, `None`.
    fn elsewhere(name: &str) -> Option<Command> {
        if std::env::var_os("HR_BEFALLS").is_some() {
            return None;
        }
        let mut command = Command::new(this());
        command.args([&format!("support::fault::tests::{name}"), "--exact", "--nocapture"]).env("HR_BEFALLS", "1");
        Some(command)
    }

    #[track_caller]
    fn passes(mut command: Command) {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    #[test]
    fn a_storm_of_signals_interrupts_whoever_waits() {
        let Some(command) = elsewhere("a_storm_of_signals_interrupts_whoever_waits") else {
            // It comes to any thread, so that each of them waits in its turn.
            Fault::Signals.strike();
            let waiting = std::thread::spawn(|| poll(&mut [], PollTimeout::from(60_000_u16)));
            let main = poll(&mut [], PollTimeout::from(1_000_u16));
            let interrupted = |outcome: nix::Result<i32>| outcome == Err(Errno::EINTR);
            assert!(interrupted(main) || interrupted(waiting.join().unwrap()));
            return;
        };
        passes(command);
    }

    #[test]
    fn nothing_can_be_opened_without_descriptors() {
        let Some(command) = elsewhere("nothing_can_be_opened_without_descriptors") else {
            Fault::Files.strike();
            assert_eq!(File::open("/").unwrap_err().raw_os_error(), Some(libc::EMFILE));
            return;
        };
        passes(command);
    }

    #[test]
    fn nothing_but_what_the_allocator_has_is_to_be_had_without_memory() {
        let Some(mut command) = elsewhere("nothing_but_what_the_allocator_has_is_to_be_had_without_memory") else {
            Fault::Memory.strike();
            assert!(Vec::<u8>::new().try_reserve_exact(2 * ASIDE).is_err());
            let why = std::thread::Builder::new().spawn(|| ()).unwrap_err();
            assert_eq!(why.raw_os_error(), Some(libc::EAGAIN));
            // By one thread as by another.
            let most = || Vec::<u8>::new().try_reserve_exact(ASIDE / 2);
            most().unwrap();
            return;
        };
        command.envs(ALLOCATOR);
        passes(command);
    }

    #[test]
    fn who_wants_anything_of_an_empty_heap_aborts() {
        let Some(mut command) = elsewhere("who_wants_anything_of_an_empty_heap_aborts") else {
            Fault::Heap.strike();
            return;
        };
        let output = command.envs(ALLOCATOR).output().unwrap();
        assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{output:?}");
    }

    #[test]
    fn a_channel_that_closes_ends_for_both() {
        let Some(command) = elsewhere("a_channel_that_closes_ends_for_both") else {
            begin();
            let (mut ours, mut theirs) = UnixStream::pair().unwrap();
            Fault::Close.strike();
            assert_eq!([ours.read(&mut [0]).unwrap(), theirs.read(&mut [0]).unwrap()], [0, 0]);
            return;
        };
        passes(command);
    }

    #[test]
    fn a_channel_that_is_full_takes_nothing_and_its_other_end_stands_still() {
        let Some(command) = elsewhere("a_channel_that_is_full_takes_nothing_and_its_other_end_stands_still") else {
            begin();
            let (mut ours, _theirs) = UnixStream::pair().unwrap();
            let mut other = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
            Fault::Full.strike();
            let stood = super::process::state(other.id() as i32);
            other.kill().unwrap();
            other.wait().unwrap();
            assert_eq!(stood, 'T');
            ours.set_nonblocking(true).unwrap();
            assert_eq!(ours.write(&[0]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
            return;
        };
        passes(command);
    }
}

//! A stand-in for the socket at which systemd is notified, stricter than systemd: what systemd would ignore, or only log,
//! fails the test.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    io::IoSliceMut,
    os::{
        fd::{AsRawFd, RawFd},
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use nix::{
    cmsg_space,
    sys::socket::{
        ControlMessageOwned, MsgFlags, Shutdown, UnixCredentials, recvmsg, setsockopt, shutdown, sockopt::PassCred,
    },
    time::{ClockId, clock_gettime},
    unistd::close,
};
use tempfile::TempDir;

/// A bound for a broken run, and never part of what is tested.
const PATIENCE: Duration = Duration::from_secs(60);

/// What we say to ourselves: what was said before it has been heard before it.
const MARK: &[u8] = b"MARK";

/// What may be said (sd_notify(3)), and by which values.
const KNOWN: [(&str, Value); 15] = [
    ("READY", Value::One),
    ("RELOADING", Value::One),
    ("STOPPING", Value::One),
    ("MONOTONIC_USEC", Value::Number),
    ("STATUS", Value::Text),
    ("ERRNO", Value::Number),
    ("MAINPID", Value::Number),
    ("WATCHDOG", Value::One),
    ("WATCHDOG_USEC", Value::Number),
    ("EXTEND_TIMEOUT_USEC", Value::Number),
    ("FDSTORE", Value::One),
    ("FDSTOREREMOVE", Value::One),
    ("FDNAME", Value::Text),
    ("FDPOLL", Value::Zero),
    ("BARRIER", Value::One),
];

#[derive(Clone, Copy)]
enum Value {
    Zero,
    One,
    Number,
    Text,
}

/// A datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Of its sender, as the kernel says.
    pub pid: i32,
    /// `READY=1`, … in their order.
    pub lines: Vec<String>,
}

impl Said {
    pub fn value(&self, name: &str) -> Option<&str> {
        self.lines.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
    }

    /// Whether a line says just this.
    pub fn says(&self, line: &str) -> bool {
        self.lines.iter().any(|it| it == line)
    }
}

/// A descriptor that is kept. By its number, because that is what the kernel wrote.
#[derive(Debug)]
pub struct Kept(pub RawFd);

impl Drop for Kept {
    fn drop(&mut self) {
        close(self.0).expect("it was open");
    }
}

/// The socket, and all that was said to it.
#[derive(Debug)]
pub struct NotifySocket {
    _place: TempDir,
    name: OsString,
    socket: Arc<UnixDatagram>,
    heard: Arc<Heard>,
}

#[derive(Debug, Default)]
struct Heard {
    state: Mutex<State>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct State {
    said: Vec<Said>,
    /// How many of them `next` and `until` have given.
    given: usize,
    stored: HashMap<String, Vec<Kept>>,
    /// `None`: they are closed at once.
    barriers: Option<Vec<Kept>>,
    wrong: Vec<String>,
    /// How many of our own marks have come.
    marks: usize,
}

impl Heard {
    /// Also after a test has failed while it looked.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NotifySocket {
    pub fn new() -> Self {
        let place = tempfile::tempdir().expect("a temporary directory");
        let path = place.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("bound");
        Self::of(socket, path.into(), place)
    }

    /// At a name that no path leads to.
    pub fn at_an_abstract_name() -> Self {
        // The directory is ours, so its name is nobody else's.
        let place = tempfile::tempdir().expect("a temporary directory");
        let name = format!("hotrestart{}", place.path().file_name().expect("a name").to_string_lossy());
        let address = SocketAddr::from_abstract_name(&name).expect("short enough");
        Self::of(UnixDatagram::bind_addr(&address).expect("bound"), format!("@{name}").into(), place)
    }

    fn of(socket: UnixDatagram, name: OsString, place: TempDir) -> Self {
        let socket = Arc::new(socket);
        setsockopt(&*socket, PassCred, &true).expect("set");
        let heard = Arc::<Heard>::default();
        let (from, to) = (Arc::clone(&socket), Arc::clone(&heard));
        std::thread::spawn(move || {
            while let Some(received) = receive(&from) {
                let mut state = to.state();
                state.hear(received);
                to.more.notify_all();
            }
        });
        Self { _place: place, name, socket, heard }
    }

    /// What `NOTIFY_SOCKET` is to be.
    pub fn name(&self) -> &OsStr {
        &self.name
    }

    /// The next datagram that has not been given yet.
    #[track_caller]
    pub fn next(&self) -> Said {
        let at = self.wait("anything", |state| (state.said.len() > state.given).then_some(state.given));
        self.give(at)
    }

    /// Waits for the next one with this line. What came before it is not given any more.
    #[track_caller]
    pub fn until(&self, line: &str) -> Said {
        let at = self.wait(line, |state| {
            let found = state.said[state.given..].iter().position(|said| said.says(line));
            found.map(|at| state.given + at)
        });
        self.give(at)
    }

    fn give(&self, at: usize) -> Said {
        let mut state = self.heard.state();
        state.given = at + 1;
        state.said[at].clone()
    }

    #[track_caller]
    fn wait(&self, what: &str, found: impl Fn(&State) -> Option<usize>) -> usize {
        let state = self.heard.state();
        let goes_on = |state: &mut State| state.wrong.is_empty() && found(state).is_none();
        let (state, _) = self.heard.more.wait_timeout_while(state, PATIENCE, goes_on).expect("none that waits panics");
        assert_eq!(state.wrong, [""; 0], "all that was said: {:#?}", state.said);
        found(&state).unwrap_or_else(|| panic!("waited for {what:?}, heard {:#?}", state.said))
    }

    /// All that was said before this call, given or not.
    #[track_caller]
    pub fn all(&self) -> Vec<Said> {
        let marks = self.heard.state().marks;
        let own = UnixDatagram::unbound().expect("a socket");
        let address = self.socket.local_addr().expect("bound");
        own.send_to_addr(MARK, &address).expect("it is read");
        let state = self.heard.state();
        let unread = |state: &mut State| state.marks == marks;
        let (state, waited) = self.heard.more.wait_timeout_while(state, PATIENCE, unread).expect("none panics");
        assert!(!waited.timed_out(), "nobody reads");
        assert_eq!(state.wrong, [""; 0], "all that was said: {:#?}", state.said);
        state.said.clone()
    }

    /// How many descriptors are kept under this name.
    pub fn stored(&self, name: &str) -> usize {
        self.heard.state().stored.get(name).map_or(0, Vec::len)
    }

    /// As systemd does when it starts the service again: they leave the store for the new process.
    pub fn take_stored(&self, name: &str) -> Vec<Kept> {
        self.heard.state().stored.remove(name).unwrap_or_default()
    }

    /// From now on barriers stay, as with a manager that has much to do.
    pub fn hold_barriers(&self) {
        self.heard.state().barriers.get_or_insert_default();
    }

    /// Closes those that are held, and holds none any more.
    pub fn release_barriers(&self) {
        self.heard.state().barriers = None;
    }

    /// For the tests of this stand-in.
    pub fn forgive(self) {
        self.heard.state().wrong.clear();
    }
}

impl Drop for NotifySocket {
    /// The thread ends by it; and a test that never looked has failed all the same.
    fn drop(&mut self) {
        shutdown(number(&self.socket), Shutdown::Both).expect("it was open");
        let state = self.heard.state();
        if !std::thread::panicking() {
            assert_eq!(state.wrong, [""; 0], "all that was said: {:#?}", state.said);
        }
    }
}

struct Received {
    bytes: Vec<u8>,
    truncated: bool,
    pid: Option<i32>,
    descriptors: Vec<Kept>,
}

/// `None`: the test is over.
fn receive(socket: &UnixDatagram) -> Option<Received> {
    // One more than systemd takes.
    let mut bytes = vec![0; 4097];
    let mut slices = [IoSliceMut::new(&mut bytes)];
    let mut control = cmsg_space!(UnixCredentials, [RawFd; 253]);
    let message = recvmsg::<()>(number(socket), &mut slices, Some(&mut control), MsgFlags::MSG_CMSG_CLOEXEC);
    let message = message.expect("received");
    let (mut pid, mut descriptors) = (None, Vec::new());
    for control in message.cmsgs().expect("room for all of it") {
        match control {
            ControlMessageOwned::ScmCredentials(credentials) => pid = Some(credentials.pid()),
            ControlMessageOwned::ScmRights(numbers) => descriptors.extend(numbers.into_iter().map(Kept)),
            _ => {}
        }
    }
    let (count, truncated) = (message.bytes, message.flags.contains(MsgFlags::MSG_TRUNC));
    bytes.truncate(count);
    (count > 0).then_some(Received { bytes, truncated: truncated || count > 4096, pid, descriptors })
}

#[allow(clippy::disallowed_methods, reason = "nix wants a number")]
fn number(socket: &UnixDatagram) -> RawFd {
    socket.as_raw_fd()
}

impl State {
    fn hear(&mut self, received: Received) {
        if received.bytes == MARK {
            self.marks += 1;
            return;
        }
        let text = String::from_utf8_lossy(&received.bytes).into_owned();
        let said = Said { pid: received.pid.unwrap_or(0), lines: text.split('\n').map(str::to_owned).collect() };
        if let Err(why) = self.heed(&said, received) {
            self.wrong.push(format!("{why}: {text:?}"));
        }
        self.said.push(said);
    }

    fn heed(&mut self, said: &Said, received: Received) -> Result<(), &'static str> {
        let mut kept = received.descriptors;
        if received.truncated {
            return Err("it is longer than systemd reads");
        }
        if received.pid.is_none() {
            return Err("it has no credentials");
        }
        for line in &said.lines {
            let (name, value) = line.split_once('=').ok_or("a line is no assignment")?;
            let (_, wanted) = KNOWN.iter().find(|(known, _)| *known == name).ok_or("a line has an unknown name")?;
            let good = match wanted {
                Value::Zero => value == "0",
                Value::One => value == "1",
                Value::Number => value.parse::<u64>().is_ok(),
                Value::Text => !value.chars().any(char::is_control) && !value.contains(char::REPLACEMENT_CHARACTER),
            };
            good.then_some(()).ok_or("a value is not of its kind")?;
        }
        let mut names: Vec<_> = said.lines.iter().filter_map(|line| Some(line.split_once('=')?.0)).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err("something is said twice");
        }
        if said.says("RELOADING=1") != said.value("MONOTONIC_USEC").is_some() {
            return Err("a reload and its time belong in one datagram");
        }
        let now = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).expect("a clock")).as_micros();
        if said.value("MONOTONIC_USEC").is_some_and(|time| time.parse().is_ok_and(|time: u128| time > now)) {
            return Err("a reload begins in the future");
        }
        let name = said.value("FDNAME");
        match (said.says("FDSTORE=1"), said.says("FDSTOREREMOVE=1"), said.says("BARRIER=1"), name) {
            (true, false, false, Some(name)) if kept.len() == 1 && said.says("FDPOLL=0") => {
                self.stored.entry(name.to_owned()).or_default().append(&mut kept);
                Ok(())
            }
            (false, true, false, Some(name)) if kept.is_empty() => {
                self.stored.remove(name);
                Ok(())
            }
            (false, false, true, None) if kept.len() == 1 && said.lines.len() == 1 => {
                self.barriers.iter_mut().for_each(|held| held.append(&mut kept));
                Ok(())
            }
            (false, false, false, None) if kept.is_empty() => Ok(()),
            _ => Err("descriptors and what is said of them do not belong together"),
        }
    }
}

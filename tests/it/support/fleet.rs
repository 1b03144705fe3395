//! All generations of one server, seen through their one pipe.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsStr,
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Condvar, Mutex,
        mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel},
    },
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{Fifo, Release, process};

/// No test waits longer for a line. A bound for a broken run, and never part of what is tested.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a server is started.
#[derive(Debug)]
pub struct Setup {
    command: Command,
    release: Release,
}

impl Setup {
    pub fn new() -> Self {
        let release = Release::new();
        let mut command = Command::new(std::env::current_exe().expect("this binary"));
        command.args(["server", "--exact", "--ignored", "--nocapture", "--test-threads=1", "--quiet"]);
        command.env("HR_PROGRAM", release.current());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command, release }
    }

    /// `HR_<name>`: see `server.rs`.
    pub fn with(self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.variable(&format!("HR_{name}"), value)
    }

    /// Live connections stay with the generation that has accepted them: what is tested is how it ends them.
    pub fn without_handover(self) -> Self {
        self.with("HAND_OVER", "never")
    }

    /// One that is not the server's own.
    pub fn variable(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Where sockets and files of this server may lie.
    pub fn place(&self) -> PathBuf {
        self.release.path().to_owned()
    }

    /// Other changes to how it is started.
    pub fn tune(mut self, change: impl FnOnce(&mut Command)) -> Self {
        change(&mut self.command);
        self
    }

    /// Generation 0 is started by another program, which finds the server's own program and arguments after these.
    pub fn through<I: AsRef<OsStr>>(mut self, program: &str, arguments: impl IntoIterator<Item = I>) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).arg(self.command.get_program()).args(self.command.get_args());
        for (name, value) in self.command.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.command = command;
        self
    }

    /// Starts generation 0 and waits until it is ready.
    pub fn start(self) -> Fleet {
        let mut fleet = self.spawn();
        fleet.greet();
        fleet
    }

    /// Starts generation 0.
    pub fn spawn(mut self) -> Fleet {
        let mut first = self.command.spawn().expect("the server starts");
        let (stdout, stderr) = (first.stdout.take().expect("piped"), first.stderr.take().expect("piped"));
        let mut fleet = Fleet::heard(stdout, stderr, self.release);
        fleet.first = Some(first);
        fleet
    }

    /// Not started: these lines of a `[Service]` section have a manager start generation 0, as often as it will.
    pub fn into_service(self) -> (String, Fleet) {
        let words = std::iter::once(self.command.get_program()).chain(self.command.get_args());
        // There, and not in a variable's value, a dollar begins a variable.
        let words: Vec<_> = words.map(|word| quoted(word).replace('$', "$$")).collect();
        let mut service = format!("ExecStart={}\n", words.join(" "));
        for (name, value) in self.command.get_envs() {
            let name = name.to_str().expect("UTF-8");
            if let Some(value) = value.and_then(OsStr::to_str) {
                service += &format!("Environment={}\n", quoted(OsStr::new(&format!("{name}={value}"))));
            }
        }
        let mut open = OpenOptions::new();
        let mut pipes = Vec::new();
        for (key, name) in [("StandardOutput", "said"), ("StandardError", "logged")] {
            let fifo = Fifo::new(self.place().join(name));
            service += &format!("{key}=file:{}\n", fifo.path().display());
            // Ours to write to, too: else the pipe would have an end between two processes that the manager starts.
            let held = open.read(true).write(true).open(fifo.path()).expect("opened");
            pipes.push((File::open(fifo.path()).expect("it has somebody who writes"), held));
        }
        let [(stdout, held_stdout), (stderr, held_stderr)] = pipes.try_into().expect("two");
        let mut fleet = Fleet::heard(stdout, stderr, self.release);
        fleet.held = vec![held_stdout, held_stderr];
        (service, fleet)
    }
}

/// A word, as a unit wants it: what is special to systemd stays as it is.
fn quoted(word: &OsStr) -> String {
    let word = word.to_str().expect("UTF-8").replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{}\"", word.replace('%', "%%"))
}

/// What all generations wrote to stderr.
#[derive(Debug, Default)]
struct Log {
    bytes: Mutex<Vec<u8>>,
    more: Condvar,
}

/// A line that a generation said: its first word, and its `key=value`s.
#[derive(Clone, Debug)]
pub struct Line {
    text: String,
    fields: HashMap<String, String>,
}

impl Line {
    fn of(text: &str) -> Self {
        // What follows may be another process's log.
        let fields = text.split(" said=").next().into_iter().flat_map(|ours| ours.split(' '));
        let fields = fields.filter_map(|word| word.split_once('=')).map(|(k, v)| (k.into(), v.into()));
        Self { text: text.to_owned(), fields: fields.collect() }
    }

    /// Whether it begins so.
    pub fn says(&self, beginning: &str) -> bool {
        is(&self.text, beginning)
    }

    pub fn pid(&self) -> i32 {
        self["pid"].parse().expect("a pid")
    }

    pub fn number(&self, key: &str) -> u64 {
        self[key].parse().expect("a number")
    }
}

impl std::ops::Index<&str> for Line {
    type Output = str;

    fn index(&self, key: &str) -> &str {
        self.fields.get(key).unwrap_or_else(|| panic!("no {key} in {:?}", self.text))
    }
}

/// A server and all its successors. Dropped, it kills each process that it has heard of.
#[derive(Debug)]
pub struct Fleet {
    /// `None` where a manager starts it.
    first: Option<Child>,
    /// Which keep a manager's pipes open while nobody runs.
    held: Vec<File>,
    lines: Receiver<Line>,
    seen: Vec<Line>,
    pids: HashSet<i32>,
    log: Arc<Log>,
    pub release: Release,
    pub http: SocketAddr,
    pub echo: SocketAddr,
}

impl Fleet {
    /// Nobody yet, whose lines will come from there.
    fn heard(stdout: impl Read + Send + 'static, mut stderr: impl Read + Send + 'static, release: Release) -> Self {
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if tell.send(Line::of(&line)).is_err() {
                    return;
                }
            }
        });
        let log = Arc::<Log>::default();
        let kept = Arc::clone(&log);
        std::thread::spawn(move || {
            // Not by lines: the last one may have no end.
            let mut bytes = [0; 65536];
            while let Ok(count @ 1..) = stderr.read(&mut bytes) {
                kept.bytes.lock().expect("no panic").extend(&bytes[..count]);
                kept.more.notify_all();
            }
        });
        let nowhere = ([0, 0, 0, 0], 0).into();
        let (seen, pids) = (Vec::new(), HashSet::new());
        Self { first: None, held: Vec::new(), lines, seen, pids, log, release, http: nowhere, echo: nowhere }
    }

    /// Waits until a generation 0 is ready, and learns where it listens. Its pid.
    pub fn greet(&mut self) -> i32 {
        let ready = self.until("ready generation=0");
        self.http = ready["http"].parse().expect("an address");
        self.echo = ready["echo"].parse().expect("an address");
        ready.pid()
    }

    /// Waits for a line that begins so. Lines that came meanwhile stay to be asked for.
    pub fn until(&mut self, beginning: &str) -> Line {
        let end = Instant::now() + PATIENCE;
        let mut from = 0;
        loop {
            if let Some(at) = self.seen[from..].iter().position(|line| is(&line.text, beginning)) {
                return self.seen.remove(from + at);
            }
            from = self.seen.len();
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => self.hear(line),
                Err(why) => panic!("waited for {beginning:?} ({why}), heard {:#?}\nlog:\n{}", self.seen, self.log()),
            }
        }
    }

    /// Waits until every generation has ended: the pipe's last writer is gone.
    pub fn until_all_have_ended(&mut self) -> Vec<Line> {
        let end = Instant::now() + PATIENCE;
        self.held.clear();
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => self.hear(line),
                Err(RecvTimeoutError::Disconnected) => return std::mem::take(&mut self.seen),
                Err(RecvTimeoutError::Timeout) => panic!("somebody lives on: {:#?}\nlog:\n{}", self.seen, self.log()),
            }
        }
    }

    /// Whether a line that begins so has come before the one that was waited for last, and nobody has asked for it.
    pub fn has_heard(&self, beginning: &str) -> bool {
        self.seen.iter().any(|line| is(&line.text, beginning))
    }

    /// Lines that begin so have come in this order, by the time of the one that was waited for last.
    #[track_caller]
    pub fn has_heard_in_order(&self, beginnings: &[&str]) {
        let mut lines = self.seen.iter();
        for beginning in beginnings {
            assert!(lines.any(|line| is(&line.text, beginning)), "no {beginning:?} in its place: {:#?}", self.seen);
        }
    }

    /// The first line that begins so, if it has come by now. It stays to be asked for.
    pub fn look(&mut self, beginning: &str) -> Option<&Line> {
        while let Ok(line) = self.lines.try_recv() {
            self.hear(line);
        }
        self.seen.iter().find(|line| is(&line.text, beginning))
    }

    /// Whether every generation has ended by now: the pipe's last writer is gone.
    pub fn have_all_ended(&mut self) -> bool {
        loop {
            match self.lines.try_recv() {
                Ok(line) => self.hear(line),
                Err(why) => return why == TryRecvError::Disconnected,
            }
        }
    }

    fn hear(&mut self, line: Line) {
        if line.fields.contains_key("pid") {
            self.pids.insert(line.pid());
        }
        self.seen.push(line);
    }

    /// What all generations wrote to stderr so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&self.log.bytes.lock().expect("no panic")).into_owned()
    }

    /// Whether that generation has logged that it drains.
    pub fn has_logged_draining(&self, generation: u64) -> bool {
        let span = format!("{{generation={generation} ");
        self.log().lines().any(|line| line.contains(&span) && line.contains(": draining"))
    }

    /// Waits until this stands in the log so often.
    pub fn until_logged(&self, text: &str, times: usize) {
        let log = self.log.bytes.lock().expect("no panic");
        let few = |log: &mut Vec<u8>| String::from_utf8_lossy(log).matches(text).count() < times;
        let (log, waited) = self.log.more.wait_timeout_while(log, PATIENCE, few).expect("no panic");
        assert!(!waited.timed_out(), "waited for {text:?} in the log:\n{}", String::from_utf8_lossy(&log));
    }

    /// The pid of generation 0.
    pub fn first(&self) -> i32 {
        self.first.as_ref().expect("we have started it").id() as i32
    }

    /// The exit code of generation 0, once it has ended.
    pub fn first_exit(&mut self) -> std::process::ExitStatus {
        self.first.as_mut().expect("we have started it").wait().expect("our child")
    }

    /// Restarts generation `from` with SIGUSR2 and waits until its successor is ready and it has let go. The successor's
    /// pid.
    pub fn restart(&mut self, from: u64, pid: i32) -> i32 {
        self.signal(pid, Signal::SIGUSR2);
        let successor = self.until(&format!("ready generation={}", from + 1)).pid();
        self.until(&format!("ending generation={from} "));
        successor
    }

    /// Waits until the process that `HR_AT` holds has stopped: a SIGCONT that comes before that is lost. Its pid.
    pub fn until_held(&mut self, step: &str) -> i32 {
        let pid = self.until(&format!("held at={step} ")).pid();
        process::until(|| process::state(pid) == 'T');
        pid
    }

    /// An hour passes for a process, if it cares.
    pub fn pass_an_hour(pid: i32) {
        // It may have ended meanwhile.
        let _ = kill(Pid::from_raw(pid), Signal::SIGWINCH);
    }

    /// Generation 0 stands still, until SIGCONT. Its pid.
    pub fn freeze_first(&self) -> i32 {
        let pid = self.first();
        self.signal(pid, Signal::SIGSTOP);
        process::until(|| process::state(pid) == 'T');
        pid
    }

    /// Asks a process for a restart by the method: its answer is a line, `answer generation=… …`.
    pub fn ask(&self, pid: i32) {
        self.signal(pid, Signal::SIGHUP);
    }

    /// The answer to `ask`, as `Kind: message`, or `replaced by …`.
    pub fn answer(&mut self, generation: u64) -> String {
        let line = self.until(&format!("answer generation={generation} "));
        line.text.split_once(" said=").expect("said").1.to_owned()
    }

    /// Stops a generation, and waits for its report.
    pub fn stop(&mut self, pid: i32, generation: u64) -> Line {
        self.signal(pid, Signal::SIGTERM);
        let done = self.until(&format!("done generation={generation}"));
        assert_eq!(done.number("code"), 0);
        done
    }

    pub fn signal(&self, pid: i32, signal: Signal) {
        kill(Pid::from_raw(pid), signal).unwrap_or_else(|error| panic!("{signal} to {pid}: {error}"));
    }

    /// Whether a process lives (a zombie does not).
    pub fn lives(pid: i32) -> bool {
        !matches!(process::state(pid), 'Z' | 'X')
    }

    /// A file beside the server's program.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.release.path().join(name)
    }
}

/// `generation=1` must not find generation 10.
fn is(text: &str, beginning: &str) -> bool {
    text.strip_prefix(beginning)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(' ') || beginning.ends_with(' '))
}

impl Drop for Fleet {
    /// Only what is this binary still: a pid whose process has ended may be another's by now.
    fn drop(&mut self) {
        while let Ok(line) = self.lines.try_recv() {
            self.hear(line);
        }
        let this = std::env::current_exe().ok();
        for pid in &self.pids {
            let image = std::fs::read_link(format!("/proc/{pid}/exe")).ok();
            if image == this || image.is_some_and(|image| image.starts_with(self.release.path())) {
                let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
            }
        }
        if let Some(first) = &mut self.first {
            let _ = first.kill();
            let _ = first.wait();
        }
    }
}

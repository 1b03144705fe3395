//! An example, started as its users start it, and all its successors.

use std::{
    env,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::report::no_failure;

/// A bound for a broken run, and never part of what is tested.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that is an example of this crate, seen through the pipes that all its generations write to. Dropped, it kills
/// each process that it has heard of.
#[derive(Debug)]
pub struct Server {
    programs: Vec<PathBuf>,
    first: Child,
    heard: Receiver<String>,
    /// What nobody has waited for yet.
    seen: Vec<String>,
    /// Of each generation.
    pids: Vec<i32>,
    /// What the first line says, after the pid: `http=127.0.0.1:8080`.
    places: Vec<(String, SocketAddr)>,
    may_lose_its_successor: bool,
}

impl Server {
    /// Starts generation 0, at a port that the system picks, and waits until it is ready.
    #[track_caller]
    pub fn start(example: &str, arguments: &[&str]) -> Self {
        let program = program(example);
        Self::start_as(&program, &program, arguments)
    }

    /// The same through a link to it, which can be set to another program.
    #[track_caller]
    pub fn start_as(link: &Path, program: &Path, arguments: &[&str]) -> Self {
        Self::start_by(Command::new(link), program, arguments)
    }

    /// The same by a command to which the example's arguments are added.
    #[track_caller]
    pub fn start_by(mut command: Command, program: &Path, arguments: &[&str]) -> Self {
        let programs = vec![program.to_owned()];
        command.args(["--listen", "127.0.0.1:0"]).args(arguments).env("NO_COLOR", "1").env_remove("RUST_LOG");
        let mut first = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the example starts");
        let (tell, heard) = channel();
        hear("said", first.stdout.take().expect("piped"), tell.clone());
        hear("logged", first.stderr.take().expect("piped"), tell);
        let (seen, pids, places) = (Vec::new(), Vec::new(), Vec::new());
        let mut server = Self { programs, first, heard, seen, pids, places, may_lose_its_successor: false };
        let ready = server.until_ready();
        // What runs may be another program, in which the example does.
        server.programs.extend(std::fs::read_link(format!("/proc/{}/exe", server.first.id())));
        let places = ready.split(' ').filter_map(|word| word.split_once('='));
        server.places =
            places.filter_map(|(name, place)| Some((name.to_owned(), place.parse().ok()?))).collect::<Vec<_>>();
        server
    }

    /// Where it listens under this name.
    #[track_caller]
    pub fn address(&self, name: &str) -> SocketAddr {
        let place = self.places.iter().find(|(other, _)| other == name);
        place.unwrap_or_else(|| panic!("no {name} in {:?}", self.places)).1
    }

    /// A successor may be this example. Its program.
    #[track_caller]
    pub fn may_become(&mut self, example: &str) -> PathBuf {
        let program = program(example);
        self.programs.push(program.clone());
        program
    }

    /// The newest generation.
    pub fn generation(&self) -> u64 {
        self.pids.len() as u64 - 1
    }

    /// Waits until the newest generation is replaced by another, and drains.
    #[track_caller]
    pub fn restart(&mut self) {
        let generation = self.generation();
        self.signal(Signal::SIGUSR2);
        self.until_ready();
        self.until(&["logged", "draining", &format!("generation={generation} ")]);
    }

    /// Replaces the newest generation, and waits until it has drained: its report. Its successor serves, and may have
    /// reasons not to say yet that it is ready.
    #[track_caller]
    pub fn hand_over(&mut self) -> String {
        self.signal(Signal::SIGUSR2);
        let report = self.until(&["said", &format!("replaced by generation {} (pid ", self.pids.len())]);
        let pid = report.split_once("(pid ").and_then(|(_, rest)| rest.split_once(')')?.0.parse().ok());
        self.pids.push(pid.expect("a pid"));
        report
    }

    /// Signals the newest generation.
    pub fn signal(&self, signal: Signal) {
        let pid = self.pids.last().expect("one was ready");
        kill(Pid::from_raw(*pid), signal).expect("it lives");
    }

    /// Kills the newest generation, which its predecessor may say.
    pub fn kill(&mut self) {
        self.may_lose_its_successor = true;
        self.signal(Signal::SIGKILL);
    }

    /// Waits until a generation's drain is over: its report.
    #[track_caller]
    pub fn report(&mut self, generation: u64) -> String {
        match self.pids.get(generation as usize + 1).copied() {
            Some(pid) => self.until(&["said", &format!("replaced by generation {} (pid {pid}): ", generation + 1)]),
            None => self.until(&["said", "stopped by "]),
        }
    }

    /// Waits for a line with all of these.
    #[track_caller]
    pub fn until(&mut self, parts: &[&str]) -> String {
        let end = Instant::now() + PATIENCE;
        let (mut from, mut said) = (0, None);
        while said.is_none() {
            let wanted = |line: &String| parts.iter().all(|part| line.contains(part));
            if let Some(at) = self.seen[from..].iter().position(wanted) {
                said = Some(self.seen.remove(from + at));
                continue;
            }
            from = self.seen.len();
            match self.heard.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => self.see(line),
                Err(why) => panic!("waited for {parts:?} ({why}), heard {:#?}", self.seen),
            }
        }
        said.expect("it was said")
    }

    /// Waits until each generation has ended: nobody holds the pipes any more.
    #[track_caller]
    pub fn until_all_have_ended(&mut self) {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.heard.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => self.see(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("somebody lives on: {:#?}", self.seen),
            }
        }
        assert!(self.first.wait().expect("our child").success());
    }

    #[track_caller]
    fn see(&mut self, line: String) {
        if !self.may_lose_its_successor {
            no_failure(line.strip_prefix("said: ").unwrap_or_default());
        }
        self.seen.push(line);
    }

    /// A pipe that has closed says nothing of the order of the two: `ready` is said when this generation is confirmed.
    #[track_caller]
    pub fn until_ready(&mut self) -> String {
        let ready = self.until(&["said", &format!("ready generation={} pid=", self.pids.len())]);
        let pid = ready.split(' ').find_map(|word| word.strip_prefix("pid=")).and_then(|pid| pid.parse().ok());
        self.pids.push(pid.expect("a pid"));
        ready
    }
}

impl Drop for Server {
    /// Only what is this example still: a pid whose process has ended may be another's by now.
    fn drop(&mut self) {
        for pid in &self.pids {
            if std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|image| self.programs.contains(&image)) {
                // An error means that it has ended just now.
                let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
            }
        }
        // The same.
        let _ = self.first.kill();
        let _ = self.first.wait();
    }
}

/// Passes each line on, until nobody holds the pipe's other end, or nobody listens.
fn hear(how: &'static str, pipe: impl Read + Send + 'static, tell: Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if tell.send(format!("{how}: {line}")).is_err() {
                return;
            }
        }
    });
}

/// Cargo puts examples beside the tests' directory.
#[track_caller]
pub fn program(example: &str) -> PathBuf {
    let this = env::current_exe().expect("this binary");
    let profile = this.ancestors().nth(2).expect("target/<profile>/deps/<this>");
    let program = profile.join("examples").join(example);
    assert!(program.exists(), "{} is not built: cargo build --examples --features http2,axum", program.display());
    program
}

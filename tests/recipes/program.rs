//! An example, with all its generations.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader, Read},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Condvar, Mutex,
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};

use super::report::{in_order, no_failure};

/// A bound for a broken run, and never part of what is tested.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Dropped, it kills all generations.
#[derive(Debug)]
pub struct Program {
    /// Generation 0. Its pid is also the number of the group in which all generations are.
    first: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    log: Arc<Log>,
}

/// What all generations wrote to stderr.
#[derive(Debug, Default)]
struct Log {
    text: Mutex<String>,
    more: Condvar,
}

/// Beside the tests: `target/<profile>/examples/<name>`.
fn built(name: &str) -> PathBuf {
    let this = std::env::current_exe().expect("this binary");
    let path = this.ancestors().nth(2).expect("<profile>/deps/<test>").join("examples").join(name);
    assert!(path.exists(), "{} is not there: `cargo build --example {name}`, as `cargo test` does", path.display());
    path
}

impl Program {
    pub fn start<A: AsRef<OsStr>>(example: &str, arguments: impl IntoIterator<Item = A>) -> Self {
        let mut command = Command::new(built(example));
        command.args(arguments).env("NO_COLOR", "1").process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut first = command.spawn().expect("started");
        let (stdout, mut stderr) = (first.stdout.take().expect("piped"), first.stderr.take().expect("piped"));
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        let log = Arc::<Log>::default();
        let kept = Arc::clone(&log);
        std::thread::spawn(move || {
            let mut bytes = [0; 65536];
            while let Ok(count @ 1..) = stderr.read(&mut bytes) {
                kept.text.lock().expect("no panic").push_str(&String::from_utf8_lossy(&bytes[..count]));
                kept.more.notify_all();
            }
        });
        Self { first, lines, seen: Vec::new(), log }
    }

    /// Waits until this generation has said that it is ready. The whole line.
    #[track_caller]
    pub fn ready(&mut self, generation: u64) -> Ready {
        Ready(self.until(&format!("ready generation={generation} ")))
    }

    /// Waits until a report says so. Predecessors report in any order.
    #[track_caller]
    pub fn until(&mut self, beginning: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.seen.iter().position(|line| line.starts_with(beginning)) {
                return self.seen.remove(at);
            }
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    no_failure(&line);
                    self.seen.push(line);
                }
                Err(why) => panic!("waited for {beginning:?} ({why}), heard {:#?}\nlog:\n{}", self.seen, self.log()),
            }
        }
    }

    /// Restarts generation `from`, and waits until its successor is ready and it has drained. Its successor.
    #[track_caller]
    pub fn restart(&mut self, from: u64, pid: i32) -> Ready {
        self.signal(pid, Signal::SIGUSR2);
        let ready = self.ready(from + 1);
        let report = self.until(&format!("replaced by generation {} ", from + 1));
        in_order(&report);
        ready
    }

    /// Stops the newest generation, and waits until every one has ended.
    #[track_caller]
    pub fn stop(&mut self, pid: i32) {
        self.signal(pid, Signal::SIGTERM);
        let report = self.until("stopped by signal 15: ");
        in_order(&report);
        self.until_all_have_ended();
        assert!(self.first.wait().expect("our child").success());
    }

    /// The pipe's last writer is gone.
    #[track_caller]
    pub fn until_all_have_ended(&mut self) {
        match self.lines.recv_timeout(PATIENCE) {
            Err(RecvTimeoutError::Disconnected) => {}
            more => panic!("somebody lives on: {more:?}\nlog:\n{}", self.log()),
        }
    }

    /// How generation 0 has ended.
    pub fn first_exit(&mut self) -> ExitStatus {
        self.first.wait().expect("our child")
    }

    pub fn signal(&self, pid: i32, signal: Signal) {
        kill(Pid::from_raw(pid), signal).unwrap_or_else(|error| panic!("{signal} to {pid}: {error}"));
    }

    pub fn log(&self) -> String {
        self.log.text.lock().expect("no panic").clone()
    }

    /// Waits until this stands in the log so often.
    #[track_caller]
    pub fn until_logged(&self, text: &str, times: usize) {
        let log = self.log.text.lock().expect("no panic");
        let few = |log: &mut String| log.matches(text).count() < times;
        let (log, waited) = self.log.more.wait_timeout_while(log, PATIENCE, few).expect("no panic");
        assert!(!waited.timed_out(), "waited for {text:?} in the log:\n{log}");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Generation 0 may have ended, but nobody else has its number before it is waited for. An error says that all
        // have ended.
        let _ = killpg(Pid::from_raw(self.first.id() as i32), Signal::SIGKILL);
        let _ = self.first.wait();
    }
}

/// What an example says when it is ready.
#[derive(Debug)]
pub struct Ready(String);

impl Ready {
    pub fn pid(&self) -> i32 {
        self.field("pid").parse().expect("a pid")
    }

    pub fn field(&self, name: &str) -> &str {
        let mut fields = self.0.split(' ').filter_map(|word| word.split_once('='));
        fields.find(|(key, _)| *key == name).unwrap_or_else(|| panic!("no {name} in {:?}", self.0)).1
    }
}

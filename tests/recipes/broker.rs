//! Brokers that speak beanstalkd's protocol: the real one, and a strict stand-in that counts what the real one forgives.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    env,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use super::program::PATIENCE;

pub const JOBS: &str = "jobs";
pub const RESULTS: &str = "results";

/// The subset that a consumer needs. What happens on a connection is decided by its own thread, under one lock.
#[derive(Debug)]
pub struct StandIn {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    books: Mutex<Books>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Books {
    last_id: u64,
    last_connection: u64,
    tubes: HashMap<String, VecDeque<Job>>,
    /// By the job's id: who has it.
    reserved: BTreeMap<u64, (u64, Job)>,
    waiting: usize,
    /// Jobs whose connection ended before they were acknowledged.
    requeued: u64,
    /// Connections that ended while they waited for a job. Had one come at that moment, it would have been requeued.
    interrupted: u64,
    /// What a consumer must not say.
    faults: Vec<String>,
    is_closed: bool,
    holds_results: bool,
    holds_waits: bool,
}

#[derive(Clone, Debug)]
struct Job {
    id: u64,
    tube: String,
    body: Vec<u8>,
}

impl StandIn {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("bound");
        let shared = Arc::<Shared>::default();
        let broker = Self { address, shared: Arc::clone(&shared) };
        // It ends with the process: who has connected stays connected.
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let mut books = shared.books();
                if books.is_closed {
                    continue;
                }
                books.last_connection += 1;
                let connection = Connection::new(books.last_connection, stream, Arc::clone(&shared));
                drop(books);
                std::thread::spawn(|| connection.serve());
            }
        });
        broker
    }

    /// So many jobs went back to their tube, because whoever had them closed its connection.
    pub fn requeued(&self) -> u64 {
        self.shared.books().requeued
    }

    /// Nobody has said anything that is wrong, given a job back, or gone away while one might have been on its way.
    #[track_caller]
    pub fn was_treated_well(&self) {
        let books = self.shared.books();
        assert!(books.faults.is_empty(), "{:#?}", books.faults);
        assert_eq!((books.requeued, books.interrupted, books.reserved.len()), (0, 0, 0));
    }

    /// From now on whoever connects is turned away.
    pub fn close(&self) {
        self.shared.books().is_closed = true;
    }

    /// While it holds, a result is taken and its receipt not acknowledged.
    pub fn hold_results(&self, holds: bool) {
        self.shared.books().holds_results = holds;
        self.shared.changed.notify_all();
    }

    /// While it holds, whoever waits for a job waits on, however long it has asked for.
    pub fn hold_waits(&self, holds: bool) {
        self.shared.books().holds_waits = holds;
        self.shared.changed.notify_all();
    }

    /// Waits until so many results have been put.
    #[track_caller]
    pub fn until_results(&self, count: usize) {
        self.until(|books| books.tubes.get(RESULTS).is_some_and(|tube| tube.len() >= count));
    }

    /// Waits until so many jobs went back.
    #[track_caller]
    pub fn until_requeued(&self, count: u64) {
        self.until(|books| books.requeued >= count);
    }

    /// Waits until so many workers wait for a job.
    #[track_caller]
    pub fn until_waiting(&self, count: usize) {
        self.until(|books| books.waiting >= count);
    }

    #[track_caller]
    fn until(&self, holds: impl Fn(&Books) -> bool) {
        let books = self.shared.books();
        let waited = self.shared.changed.wait_timeout_while(books, PATIENCE, |books| !holds(books));
        let (books, waited) = waited.expect("no panic");
        assert!(!waited.timed_out(), "it never came to hold: {books:#?}");
    }
}

impl Shared {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().expect("no panic")
    }
}

struct Connection {
    number: u64,
    stream: BufReader<TcpStream>,
    shared: Arc<Shared>,
    used: String,
    watched: Vec<String>,
}

impl Connection {
    fn new(number: u64, stream: TcpStream, shared: Arc<Shared>) -> Self {
        stream.set_nodelay(true).expect("set");
        let stream = BufReader::new(stream);
        Self { number, stream, shared, used: "default".to_owned(), watched: vec!["default".to_owned()] }
    }

    fn serve(mut self) {
        let mut line = String::new();
        // A reset is an end like any other: what counts is what was reserved then.
        while let Ok(1..) = self.stream.read_line(&mut line) {
            let Some(answer) = line.strip_suffix("\r\n").and_then(|line| self.answer(line)) else {
                self.shared.books().faults.push(format!("{line:?}"));
                break;
            };
            if self.stream.get_mut().write_all(&answer).is_err() {
                break;
            }
            line.clear();
        }
        let mut books = self.shared.books();
        let mine = |(connection, job): &(u64, Job)| (*connection == self.number).then_some(job.id);
        for id in books.reserved.values().filter_map(mine).collect::<Vec<_>>() {
            let (_, job) = books.reserved.remove(&id).expect("it was there");
            books.requeued += 1;
            books.tubes.entry(job.tube.clone()).or_default().push_front(job);
        }
        self.shared.changed.notify_all();
    }

    /// `None`: the real one does not know it either, or a consumer has no right to it.
    fn answer(&mut self, line: &str) -> Option<Vec<u8>> {
        let words: Vec<_> = line.split(' ').collect();
        let answer = match words[..] {
            ["use", tube] => {
                self.used = tube.to_owned();
                format!("USING {tube}")
            }
            ["watch", tube] => {
                self.watched.push(tube.to_owned());
                format!("WATCHING {}", self.watched.len())
            }
            ["ignore", tube] if self.watched.len() > 1 => {
                self.watched.retain(|watched| watched != tube);
                format!("WATCHING {}", self.watched.len())
            }
            ["put", _priority, _delay, _time_to_run, length] => format!("INSERTED {}", self.put(length.parse().ok()?)?),
            ["reserve-with-timeout", seconds] => match self.reserve(Duration::from_secs(seconds.parse().ok()?)) {
                Some(Job { id, body, .. }) => {
                    return Some([format!("RESERVED {id} {}\r\n", body.len()).as_bytes(), &body, b"\r\n"].concat());
                }
                None => "TIMED_OUT".to_owned(),
            },
            ["delete", id] => {
                let mut books = self.shared.books();
                let id = id.parse().ok()?;
                // Who deletes what is not reserved has let its time run out, or says it twice.
                let mine = books.reserved.get(&id).is_some_and(|(connection, _)| *connection == self.number);
                mine.then(|| books.reserved.remove(&id))?;
                self.shared.changed.notify_all();
                "DELETED".to_owned()
            }
            // `release` among them: a job that has been begun is finished.
            _ => return None,
        };
        Some(format!("{answer}\r\n").into_bytes())
    }

    fn put(&mut self, length: usize) -> Option<u64> {
        let mut body = vec![0; length + 2];
        self.stream.read_exact(&mut body).ok()?;
        let body = body.strip_suffix(b"\r\n")?.to_owned();
        let mut books = self.shared.books();
        books.last_id += 1;
        let job = Job { id: books.last_id, tube: self.used.clone(), body };
        let id = job.id;
        books.tubes.entry(self.used.clone()).or_default().push_back(job);
        self.shared.changed.notify_all();
        let held = |books: &mut Books| books.holds_results && self.used == RESULTS;
        drop(self.shared.changed.wait_while(books, held).expect("no panic"));
        Some(id)
    }

    fn reserve(&mut self, patience: Duration) -> Option<Job> {
        let end = Instant::now() + patience;
        let mut books = self.shared.books();
        books.waiting += 1;
        self.shared.changed.notify_all();
        let job = loop {
            // As the real one, which is told by the kernel: who has gone away gets no job.
            if self.is_gone() {
                books.interrupted += 1;
                break None;
            }
            let job = self.watched.iter().find_map(|tube| books.tubes.get_mut(tube)?.pop_front());
            let left = if books.holds_waits { PATIENCE } else { end.saturating_duration_since(Instant::now()) };
            if job.is_some() || left.is_zero() {
                break job;
            }
            books = self.shared.changed.wait_timeout(books, left).expect("no panic").0;
        };
        books.waiting -= 1;
        if let Some(job) = &job {
            books.reserved.insert(job.id, (self.number, job.clone()));
        }
        job
    }

    fn is_gone(&self) -> bool {
        let stream = self.stream.get_ref();
        stream.set_nonblocking(true).expect("set");
        let looked = stream.peek(&mut [0]);
        stream.set_nonblocking(false).expect("set");
        match looked {
            Ok(more) => more == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }
}

/// beanstalkd itself. Dropped, it ends.
#[derive(Debug)]
pub struct Real {
    pub address: SocketAddr,
    child: Child,
}

impl Real {
    /// `None` where it is not installed, which the output of the tests says. With `HR_REQUIRE_BEANSTALKD` in the
    /// environment that is a failure.
    #[track_caller]
    pub fn start() -> Option<Self> {
        if let Err(error) = Command::new("beanstalkd").arg("-v").stdout(Stdio::null()).status() {
            let why = format!("no beanstalkd to test with: {error}");
            assert!(env::var_os("HR_REQUIRE_BEANSTALKD").is_none(), "{why}");
            let name = std::thread::current().name().unwrap_or("a test").to_owned();
            writeln!(io::stderr(), "NOT RUN: {name}: {why}").expect("a terminal or a file");
            return None;
        }
        // Passed as systemd passes it, so that its port is free: it reads it as its standard input, and moves it.
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("bound");
        let child = Command::new("sh")
            .args(["-c", "LISTEN_FDS=1 LISTEN_PID=$$ exec beanstalkd 3<&0 </dev/null"])
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .spawn();
        Some(Self { address, child: child.expect("started") })
    }

    /// A figure of its own statistics.
    #[track_caller]
    pub fn figure(&self, name: &str) -> u64 {
        let statistics = Client::connect(self.address).statistics();
        let line = statistics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("no {name} in {statistics}")).parse().expect("a number")
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        self.child.kill().expect("it lives");
        self.child.wait().expect("our child");
    }
}

/// A producer of jobs, and whoever wants their results.
#[derive(Debug)]
pub struct Client(BufReader<TcpStream>);

impl Client {
    #[track_caller]
    pub fn connect(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).expect("a broker");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        stream.set_nodelay(true).expect("set");
        let mut client = Self(BufReader::new(stream));
        client.ask(&format!("use {JOBS}"));
        client.ask(&format!("watch {RESULTS}"));
        client.ask("ignore default");
        client
    }

    #[track_caller]
    fn ask(&mut self, command: &str) -> String {
        self.0.get_mut().write_all(format!("{command}\r\n").as_bytes()).expect("it reads");
        let mut line = String::new();
        self.0.read_line(&mut line).expect("an answer");
        line.strip_suffix("\r\n").expect("a whole line").to_owned()
    }

    fn body(&mut self, length: &str) -> String {
        let mut body = vec![0; length.parse::<usize>().expect("a number") + 2];
        self.0.read_exact(&mut body).expect("a whole body");
        String::from_utf8(body).expect("ours").trim_end().to_owned()
    }

    /// A job. Its id.
    #[track_caller]
    pub fn put(&mut self) -> u64 {
        let answer = self.ask("put 0 0 60 4\r\nwork");
        answer.strip_prefix("INSERTED ").unwrap_or_else(|| panic!("{answer}")).parse().expect("a number")
    }

    /// The next result, within this time: the job's id, and the generation that has worked on it.
    #[track_caller]
    pub fn result(&mut self, within: Duration) -> Option<(u64, u64)> {
        let answer = self.ask(&format!("reserve-with-timeout {}", within.as_secs()));
        if answer == "TIMED_OUT" {
            return None;
        }
        let (id, length) = answer.strip_prefix("RESERVED ").and_then(|rest| rest.split_once(' ')).expect(&answer);
        let body = self.body(length);
        assert_eq!(self.ask(&format!("delete {id}")), "DELETED");
        let (job, generation) = body.split_once(' ').expect("two numbers");
        Some((job.parse().expect("an id"), generation.parse().expect("a generation")))
    }

    fn statistics(&mut self) -> String {
        let answer = self.ask("stats");
        self.body(answer.strip_prefix("OK ").expect("a length"))
    }
}

//! Lines, there and back: `examples/tcp_line.rs`, `examples/tcp_echo.rs` and `examples/udp_echo.rs`.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    os::unix::fs::symlink,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use super::{RESTARTS, Server, in_order, lock::flip, server::program};

/// A bound for a broken run, and never part of what is tested.
const PATIENCE: Duration = Duration::from_secs(30);

/// Each client has always sent the beginning of one line more, so it is in the middle of that at each restart. And the
/// servers have answered as many lines as the clients have got: none is carried out twice.
#[test]
fn ten_restarts_disconnect_nobody_in_the_middle_of_a_line() {
    const RESTARTS: u64 = 10;
    let mut server = Server::start("tcp_line", &[]);
    let address = server.address("tcp");
    let clients = Clients::on(move |counts| half_lines(address, counts));
    let got = clients.survive_restarts(RESTARTS, &mut server);
    let answered = |generation| {
        let said = server.until(&["said", &format!("generation {generation} has answered ")]);
        said.rsplit(' ').nth(1).and_then(|count| count.parse::<u64>().ok()).expect("a number")
    };
    assert_eq!((0..=RESTARTS).map(answered).sum::<u64>(), got);
}

/// Half a line is with another program, which has never heard of lines: it goes back after 5 s.
#[test]
fn what_the_successor_does_not_ask_for_is_answered_and_closed_here() {
    let (mut server, mut client, _place) = half_a_line_with_another_program();
    server.until(&["logged", "a connection is closed here", "nobody asked for the protocol `lines`"]);
    assert_eq!(client.the_rest(), "", "all that was whole had its answer");
    let report = server.report(0);
    in_order(&report);
    assert!(!report.contains("handed over"), "{report}");
    server.signal(Signal::SIGTERM);
    server.report(1);
    server.until_all_have_ended();
}

/// It has the connection while it lives, and does not serve it.
#[test]
fn what_a_successor_that_is_killed_was_offered_is_answered_and_closed_here() {
    let (mut server, mut client, _place) = half_a_line_with_another_program();
    server.kill();
    server.until(&["logged", "a connection is closed here", "the successor has ended"]);
    assert_eq!(client.the_rest(), "");
    let report = server.report(0);
    assert!(!report.contains("handed over") && !report.contains("cut"), "{report}");
}

/// A restart to another program, when a client has had the answer to a line and has sent half of the next.
#[track_caller]
fn half_a_line_with_another_program() -> (Server, Client, tempfile::TempDir) {
    let place = tempfile::tempdir().expect("a directory");
    let (link, example) = (place.path().join("current"), program("tcp_line"));
    symlink(&example, &link).expect("a link");
    let mut server = Server::start_as(&link, &example, &[]);
    let mut client = Client(BufReader::new(TcpStream::connect(server.address("tcp")).expect("somebody listens")));
    client.0.get_ref().set_read_timeout(Some(PATIENCE)).expect("a socket");
    client.0.get_mut().write_all(b"one\ntw").expect("sent");
    let mut answer = String::new();
    client.0.read_line(&mut answer).expect("an answer");
    assert_eq!(answer, "ONE\n");
    flip(&link, &server.may_become("tcp_echo"));
    server.restart();
    (server, client, place)
}

struct Client(BufReader<TcpStream>);

impl Client {
    /// Until the end, which is in order.
    #[track_caller]
    fn the_rest(&mut self) -> String {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).expect("an end in order");
        rest
    }
}

#[test]
fn an_echo_over_tcp_ends_no_connection_but_in_order() {
    let mut server = Server::start("tcp_echo", &[]);
    let address = server.address("tcp");
    let clients = Clients::on(move |counts| lines(address, 1, counts));
    let answered = clients.survive(&mut server);
    assert!(answered > RESTARTS);
}

#[test]
fn an_echo_over_udp_answers_each_datagram_once() {
    let mut server = Server::start("udp_echo", &[]);
    let address = server.address("udp");
    let clients = Clients::on(move |counts| datagrams(address, counts));
    let answered = clients.survive(&mut server);
    assert!(answered > RESTARTS);
}

/// What became of what the clients have sent.
#[derive(Debug, Default)]
pub struct Counts {
    pub answered: AtomicU64,
    /// Not answered, on a connection that ended in order: it is sent again.
    pub left: AtomicU64,
    over: AtomicBool,
}

/// Clients that send until they are told to end. One that loses something panics.
#[derive(Debug)]
pub struct Clients {
    counts: Arc<Counts>,
    threads: Vec<JoinHandle<()>>,
}

impl Clients {
    pub fn on(client: impl Fn(&Counts) + Send + Clone + 'static) -> Self {
        let counts = Arc::<Counts>::default();
        let start = |_| {
            let (counts, client) = (Arc::clone(&counts), client.clone());
            thread::spawn(move || client(&counts))
        };
        let threads = (0..4).map(start).collect();
        Self { counts, threads }
    }

    /// Restarts under this load, and a stop after it. How many were answered.
    #[track_caller]
    pub fn survive(self, server: &mut Server) -> u64 {
        self.survive_restarts(RESTARTS, server)
    }

    #[track_caller]
    fn survive_restarts(self, restarts: u64, server: &mut Server) -> u64 {
        self.until_answered(10);
        for generation in 0..restarts {
            server.restart();
            in_order(&server.report(generation));
            self.until_answered(10);
        }
        self.counts.over.store(true, Relaxed);
        self.threads.into_iter().for_each(|client| client.join().expect("nothing was lost"));
        server.signal(Signal::SIGTERM);
        server.report(restarts);
        server.until_all_have_ended();
        self.counts.answered.load(Relaxed)
    }

    /// Waits until so many more were answered.
    #[track_caller]
    fn until_answered(&self, more: u64) {
        let (goal, end) = (self.counts.answered.load(Relaxed) + more, Instant::now() + PATIENCE);
        while self.counts.answered.load(Relaxed) < goal {
            assert!(Instant::now() < end && !self.threads.iter().any(JoinHandle::is_finished), "{:?}", self.counts);
            thread::park_timeout(Duration::from_millis(1));
        }
    }
}

/// Sends so many lines in one go, and reads as many. Those that were not answered when the connection ended are sent
/// again, on another.
pub fn lines(address: SocketAddr, burst: u64, counts: &Counts) {
    let mut next = 0;
    while !counts.over.load(Relaxed) {
        let mut stream = TcpStream::connect(address).expect("somebody listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let mut answers = BufReader::new(stream.try_clone().expect("a socket")).lines();
        'connection: while !counts.over.load(Relaxed) {
            let lines: String = (next..next + burst).map(|number| format!("line {number}\n")).collect();
            // The end of the connection is seen by who reads, with what was answered before it.
            let sent = stream.write_all(lines.as_bytes());
            for left in (1..=burst).rev() {
                let Some(answer) = answers.next().transpose().expect("an end in order") else {
                    counts.left.fetch_add(left, Relaxed);
                    break 'connection;
                };
                assert_eq!(answer.to_lowercase(), format!("line {next}"));
                counts.answered.fetch_add(1, Relaxed);
                next += 1;
            }
            sent.expect("a connection that goes on");
        }
    }
}

/// Keeps one connection, and sends on it three and a half lines at a time: the end of one, two, and the beginning of the next.
fn half_lines(address: SocketAddr, counts: &Counts) {
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let mut answers = BufReader::new(stream.try_clone().expect("a socket")).lines();
    let mut answer = |number: u64| {
        let answer = answers.next().expect("a connection that goes on").expect("an answer");
        assert_eq!(answer, format!("LINE {number}"));
        counts.answered.fetch_add(1, Relaxed);
    };
    stream.write_all(b"li").expect("sent");
    let mut next = 0;
    while !counts.over.load(Relaxed) {
        let words = format!("ne {next}\nline {}\nline {}\nli", next + 1, next + 2);
        stream.write_all(words.as_bytes()).expect("sent");
        (next..next + 3).for_each(&mut answer);
        next += 3;
    }
    stream.write_all(format!("ne {next}\n").as_bytes()).expect("sent");
    answer(next);
}

/// Sends one after the other, and waits for the echo of each. (On the loopback device none gets lost on its way.)
fn datagrams(address: SocketAddr, counts: &Counts) {
    let socket = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.connect(address).map(|()| socket));
    let socket = socket.expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let mut buffer = [0; 64];
    let mut exchange = |sent: &str| -> io::Result<()> {
        socket.send(sent.as_bytes())?;
        let length = socket.recv(&mut buffer)?;
        assert_eq!(std::str::from_utf8(&buffer[..length]), Ok(sent), "an echo that is not the next, or a second one");
        Ok(())
    };
    for number in 0.. {
        if counts.over.load(Relaxed) {
            break;
        }
        exchange(&format!("datagram {number}")).expect("an echo");
        counts.answered.fetch_add(1, Relaxed);
    }
    socket.set_nonblocking(true).expect("a socket");
    assert!(socket.recv(&mut buffer).is_err(), "a second echo");
}

//! Predecessors made by hand: this process passes a listener to a real server, and dies or misbehaves at each point.
#![allow(clippy::disallowed_methods)] // the frames are sent by hand, and numbers are what goes with them

use std::{
    io::Read,
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    time::Duration,
};

use nix::sys::{signal::Signal, stat::fstat};

use crate::support::{
    Fleet, Setup,
    echo::{Client, echo},
    frames::{self, Wire},
};

/// What the server ends with when it was refused a start, and when `ready()` was.
const NOT_STARTED: i32 = 20;
const NOT_READY: i32 = 21;

/// A bound for a broken run, and never part of what is tested.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(60));

/// This process, as a server sees it that is started as its successor.
struct Predecessor {
    channel: UnixStream,
    queue: Queue,
    heir: Fleet,
}

/// A listener that both processes have, and a client in its queue from the beginning: whoever may accept, does.
struct Queue {
    listener: TcpListener,
    client: TcpStream,
}

impl Predecessor {
    fn new() -> Self {
        Self::of(Setup::new())
    }

    /// The channel is the server's standard input: so it is inherited by this child, and by no other that a test beside
    /// this one starts.
    fn of(setup: Setup) -> Self {
        let (channel, theirs) = UnixStream::pair().unwrap();
        let variable = format!("0:{}", fstat(&theirs).unwrap().st_ino);
        let setup = setup.tune(|command| {
            command.stdin(OwnedFd::from(theirs)).env("TOKIO_HOTRESTART_CHANNEL", variable);
        });
        channel.set_read_timeout(PATIENCE).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        Self { channel, queue: Queue { listener, client }, heir: setup.spawn() }
    }

    fn wire(&self) -> Wire {
        Wire(self.channel.as_raw_fd())
    }

    fn hello(&self) -> Vec<u8> {
        frames::hello(self.heir.first() as u32, 7, (1, 1))
    }

    fn say_hello(&self) -> &Self {
        self.wire().say(&self.hello());
        self
    }

    fn pass_socket(&self) -> &Self {
        let actual = self.queue.address().to_string();
        self.wire().pass(&frames::socket("echo", "127.0.0.1:0", &actual), &[self.queue.listener.as_raw_fd()]);
        self
    }

    fn say_end(&self) -> &Self {
        self.wire().say(&frames::end(1));
        self
    }

    /// Everything up to END; the server has started with it.
    fn introduce(&mut self) {
        self.say_hello().pass_socket().say_end();
        self.wire().until("ACCEPTED");
        self.heir.until("started generation=7");
    }

    /// The same, and it can serve.
    fn until_ready(&mut self) {
        self.introduce();
        self.wire().until("READY");
    }

    fn commit(&mut self) {
        self.wire().say(&frames::recorded("COMMIT"));
        self.heir.until("ready generation=7");
    }

    /// Its end is closed without a word.
    fn dies(self) -> (Fleet, Queue) {
        (self.heir, self.queue)
    }

    /// Dies, and the server must end with this status and these words and have served nobody.
    #[track_caller]
    fn dies_and_is_not_survived(self, status: i32, words: &str) {
        let (heir, queue) = self.dies();
        is_over(heir, status, words);
        queue.is_untouched();
    }

    /// Dies, and the server must serve as generation 7.
    #[track_caller]
    fn dies_and_is_survived(self) {
        let (mut heir, queue) = self.dies();
        echo(queue.address()).unwrap();
        drop(queue);
        heir.signal(heir.first(), Signal::SIGTERM);
        assert_eq!(heir.until("done generation=7").number("code"), 0);
        heir.until_all_have_ended();
    }

    /// Says ABORT, and the server must end with this status and serve nobody.
    #[track_caller]
    fn aborts(self, status: i32) {
        self.wire().say(&frames::recorded("ABORT"));
        is_over(self.heir, status, "the predecessor took the restart back");
        self.queue.is_untouched();
    }

    /// Why the server refuses what it was given; and it ends.
    #[track_caller]
    fn hears_refused(self, code: u8) -> String {
        let payload = self.wire().until("REFUSED");
        assert_eq!(payload[..5], [code, 1, 0, 1, 0], "the kind of refusal, and the versions that it speaks");
        let why = String::from_utf8(payload[7..].to_vec()).unwrap();
        is_over(self.heir, NOT_STARTED, &why);
        why
    }
}

#[track_caller]
fn is_over(mut heir: Fleet, status: i32, words: &str) {
    heir.until_all_have_ended();
    assert_eq!(heir.first_exit().code(), Some(status), "{}", heir.log());
    heir.until_logged(words, 1);
}

impl Queue {
    fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// The server has taken nobody out.
    #[track_caller]
    fn is_untouched(&self) {
        self.listener.set_nonblocking(true).unwrap();
        let (_, who) = self.listener.accept().expect("the first is still in the queue");
        assert_eq!(who, self.client.local_addr().unwrap());
    }
}

// ---------------------------------------------------------------------------------------------------------------- dies

#[test]
fn dies_before_hello() {
    Predecessor::new().dies_and_is_not_survived(NOT_STARTED, "the predecessor ended before it had said anything");
}

#[test]
fn dies_after_so_little_of_hello_that_it_names_nobody() {
    let it = Predecessor::new();
    it.wire().say(&it.hello()[..10]);
    it.dies_and_is_not_survived(NOT_STARTED, "the predecessor ended before it had said anything");
}

#[test]
fn dies_in_the_midst_of_hello() {
    let it = Predecessor::new();
    it.wire().say(&it.hello()[..40]);
    it.dies_and_is_not_survived(NOT_STARTED, "message ended after 40 bytes");
}

#[test]
fn dies_after_hello() {
    let it = Predecessor::new();
    it.say_hello();
    it.dies_and_is_not_survived(NOT_STARTED, "the predecessor ended before it had passed its sockets");
}

#[test]
fn dies_before_end() {
    let it = Predecessor::new();
    it.say_hello().pass_socket();
    it.wire().until("ARRIVED");
    it.dies_and_is_not_survived(NOT_STARTED, "the predecessor ended before it had passed its sockets");
}

#[test]
fn dies_after_end_with_the_answer_unread() {
    let it = Predecessor::of(Setup::new().with("START_DELAY_MS", "200"));
    it.say_hello().pass_socket().say_end();
    it.wire().until("ARRIVED");
    it.dies_and_is_survived();
}

#[test]
fn dies_before_ready() {
    let mut it = Predecessor::of(Setup::new().with("START_DELAY_MS", "200"));
    it.introduce();
    it.dies_and_is_survived();
}

#[test]
fn dies_before_commit() {
    let mut it = Predecessor::new();
    it.until_ready();
    it.dies_and_is_survived();
}

#[test]
fn dies_in_its_successors_probation() {
    let mut it = Predecessor::new();
    it.until_ready();
    it.commit();
    it.dies_and_is_survived();
}

#[test]
fn dies_after_it_has_let_go() {
    let mut it = Predecessor::new();
    it.until_ready();
    it.commit();
    it.wire().say(&frames::recorded("LET-GO"));
    it.dies_and_is_survived();
}

// --------------------------------------------------------------------------------------------------------------- aborts

#[test]
fn aborts_in_place_of_hello() {
    let it = Predecessor::new();
    let why = frames::text("the predecessor was stopped");
    it.wire().say(&frames::frame(frames::kind("ABORT"), frames::MUST_UNDERSTAND, &why, 0));
    is_over(it.heir, NOT_STARTED, "the channel in the environment does not begin with HELLO");
    it.queue.is_untouched();
}

#[test]
fn aborts_after_hello() {
    let it = Predecessor::new();
    it.say_hello();
    it.aborts(NOT_STARTED);
}

#[test]
fn aborts_before_end() {
    let it = Predecessor::new();
    it.say_hello().pass_socket();
    it.wire().until("ARRIVED");
    it.aborts(NOT_STARTED);
}

#[test]
fn aborts_before_ready() {
    let mut it = Predecessor::of(Setup::new().with("START_DELAY_MS", "200"));
    it.introduce();
    it.aborts(NOT_READY);
}

#[test]
fn aborts_before_commit() {
    let mut it = Predecessor::new();
    it.until_ready();
    it.aborts(NOT_READY);
}

/// As a predecessor does that is stopped: the successor serves already, so it finishes what it has accepted.
#[test]
fn aborts_in_its_successors_probation() {
    let mut it = Predecessor::new();
    it.until_ready();
    it.commit();
    let mut client = Client::served(it.queue.address());
    it.wire().say(&frames::recorded("ABORT"));
    it.heir.until("ending generation=7");
    client.line().unwrap();
    drop((client, it.queue));
    is_over(it.heir, 0, "the predecessor took the restart back");
}

// ---------------------------------------------------------------------------------------------------------- misbehaves

#[test]
fn speaks_another_version() {
    let it = Predecessor::new();
    it.wire().say(&frames::hello(it.heir.first() as u32, 7, (2, 3)));
    let why = it.hears_refused(1);
    assert!(why.ends_with("this one 1 to 1, the predecessor 2 to 3"), "{why}");
}

#[test]
fn speaks_garbage_in_place_of_hello() {
    let it = Predecessor::new();
    it.wire().say(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    is_over(it.heir, NOT_STARTED, "the channel in the environment does not begin with HELLO");
}

#[test]
fn speaks_garbage_after_hello() {
    let it = Predecessor::new();
    it.say_hello().wire().say(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let why = it.hears_refused(0);
    assert!(why.contains("what is no message"), "{why}");
}

#[test]
fn promises_more_sockets_than_it_passes() {
    let it = Predecessor::new();
    it.say_hello().pass_socket();
    it.wire().say(&frames::end(2));
    let why = it.hears_refused(0);
    assert_eq!(why, "the predecessor promised 2 sockets and passed 1");
}

#[test]
fn passes_a_message_without_its_descriptor() {
    let it = Predecessor::new();
    it.say_hello().wire().say(&frames::socket("echo", "127.0.0.1:0", "127.0.0.1:1"));
    let why = it.hears_refused(0);
    assert_eq!(why, "0 of 1 descriptors came with a message");
}

#[test]
fn says_something_else_than_its_sockets() {
    let it = Predecessor::new();
    it.say_hello().wire().say(&frames::recorded("COMMIT"));
    let why = it.hears_refused(0);
    assert_eq!(why, "the predecessor said what it must not say now: COMMIT");
}

#[test]
fn passes_a_udp_socket_as_a_tcp_listener() {
    let it = Predecessor::new();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let actual = socket.local_addr().unwrap().to_string();
    it.say_hello().wire().pass(&frames::socket("echo", "127.0.0.1:0", &actual), &[socket.as_raw_fd()]);
    it.say_end();
    let why = it.hears_refused(0);
    assert!(why.starts_with("the socket passed as \"echo\": it is a socket of another type"), "{why}");
}

#[test]
fn passes_a_listener_of_another_address() {
    let it = Predecessor::new();
    it.say_hello();
    it.wire().pass(&frames::socket("echo", "127.0.0.1:0", "127.0.0.1:1"), &[it.queue.listener.as_raw_fd()]);
    it.say_end();
    let actual = it.queue.address();
    let why = it.hears_refused(0);
    assert_eq!(why, format!("the socket passed as \"echo\": it is bound to {actual}, not to 127.0.0.1:1"));
}

#[test]
fn says_garbage_when_all_is_passed_and_counts_as_dead() {
    let mut it = Predecessor::new();
    it.until_ready();
    it.wire().say(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    it.heir.until("ready generation=7");
    it.dies_and_is_survived();
}

#[test]
fn says_what_a_later_version_says_and_the_successor_skips_it_and_closes_what_came_with_it() {
    let mut it = Predecessor::new();
    let (mut ours, passed) = UnixStream::pair().unwrap();
    ours.set_read_timeout(PATIENCE).unwrap();
    let later = frames::frame(999, 0, b"later", 1);
    it.say_hello().wire().pass(&later, &[passed.as_raw_fd()]);
    it.pass_socket().say_end();
    it.wire().until("READY");
    it.commit();
    it.wire().pass(&later, &[passed.as_raw_fd()]);
    drop(passed);
    assert_eq!(ours.read(&mut [0]).unwrap(), 0, "nobody holds the other end any more");
    it.dies_and_is_survived();
}

#[test]
fn says_what_a_later_version_says_and_it_must_be_understood() {
    let it = Predecessor::new();
    it.say_hello().wire().say(&frames::frame(999, frames::MUST_UNDERSTAND, b"later", 0));
    let why = it.hears_refused(0);
    assert!(why.ends_with("frame kind 999 is unknown and must be understood"), "{why}");
}

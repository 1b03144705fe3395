//! Predecessors made by hand: this process passes a listener to a real server, and dies or misbehaves at each point. It
//! has spawned the server, or the server has come to it at a control path: each claim holds either way.
#![allow(clippy::disallowed_methods)] // the frames are sent by hand, and numbers are what goes with them

use std::{
    io::Read,
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    time::Duration,
};

use nix::sys::{signal::Signal, stat::fstat};

use crate::support::{
    Control, Fleet, Setup,
    echo::{Client, echo},
    frames::{self, Wire},
};

/// What the server ends with when it was refused a start, and when `ready()` was.
const NOT_STARTED: i32 = 20;
const NOT_READY: i32 = 21;

/// A bound for a broken run, and never part of what is tested.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(60));

/// How the two come together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The channel is inherited through exec.
    Spawned,
    /// At the control path.
    Met,
}

/// This process, as a server sees it that is started as its successor.
#[derive(Debug)]
pub struct Predecessor {
    way: Way,
    channel: UnixStream,
    queue: Queue,
    pub heir: Fleet,
    /// The path at which they have met, and its listener.
    control: Option<(Control, UnixListener)>,
}

/// A listener that both processes have, and a client in its queue from the beginning: whoever may accept, does.
#[derive(Debug)]
struct Queue {
    listener: TcpListener,
    client: TcpStream,
}

impl Predecessor {
    pub fn new(way: Way) -> Self {
        Self::of(way, Setup::new())
    }

    pub fn of(way: Way, setup: Setup) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (heir, channel, control) = match way {
            Way::Spawned => {
                let (heir, channel) = spawned(setup);
                (heir, channel, None)
            }
            Way::Met => {
                let (heir, channel, control) = met(setup);
                (heir, channel, Some(control))
            }
        };
        channel.set_read_timeout(PATIENCE).unwrap();
        Self { way, channel, queue: Queue { listener, client }, heir, control }
    }

    pub fn wire(&self) -> Wire {
        Wire(self.channel.as_raw_fd())
    }

    pub fn stream(&self) -> &UnixStream {
        &self.channel
    }

    /// Where the listener is that both have.
    pub fn address(&self) -> SocketAddr {
        self.queue.address()
    }

    fn hello(&self) -> Vec<u8> {
        frames::hello(self.heir.first() as u32, 7, (1, 1))
    }

    pub fn say_hello(&self) -> &Self {
        self.wire().say(&self.hello());
        self
    }

    fn pass_socket(&self) -> &Self {
        let actual = self.queue.address().to_string();
        self.pass_control()
            .wire()
            .pass(&frames::socket("echo", "127.0.0.1:0", &actual), &[self.queue.listener.as_raw_fd()]);
        self
    }

    /// The listener of the path goes with the others.
    pub fn pass_control(&self) -> &Self {
        if let Some((control, listener)) = &self.control {
            let path = control.path();
            self.wire().pass(&frames::control(path.to_str().unwrap()), &[listener.as_raw_fd()]);
        }
        self
    }

    /// How many sockets are passed, with one of the test's.
    pub fn sockets(&self) -> u32 {
        1 + u32::from(self.way == Way::Met)
    }

    pub fn say_end(&self) -> &Self {
        self.wire().say(&frames::end(self.sockets()));
        self
    }

    /// Everything up to END; the server has started with it.
    fn introduce(&mut self) {
        self.say_hello().pass_socket().say_end();
        self.wire().until("ACCEPTED");
        self.heir.until("started generation=7");
    }

    /// The same, and it can serve.
    pub fn until_ready(&mut self) {
        self.introduce();
        self.wire().until("READY");
    }

    pub fn commit(&mut self) {
        self.wire().say(&frames::recorded("COMMIT"));
        self.heir.until("ready generation=7");
    }

    /// Its end is closed without a word. The path at which they have met goes first: the server looks there again.
    pub fn hang_up(self) -> Gone {
        let Self { heir, queue, control, channel, .. } = self;
        drop(control);
        drop(channel);
        Gone { heir, queue }
    }

    /// Dies, and the server must end with this status and these words and have served nobody.
    #[track_caller]
    fn dies_and_is_not_survived(self, status: i32, words: &str) {
        let Gone { heir, queue } = self.hang_up();
        is_over(heir, status, words);
        queue.is_untouched();
    }

    /// Dies, and the server must serve as generation 7.
    #[track_caller]
    pub fn dies_and_is_survived(self) {
        self.hang_up().leaves_a_server_that_serves();
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
    pub fn hears_refused(self, code: u8) -> String {
        let payload = self.wire().until("REFUSED");
        assert_eq!(payload[..5], [code, 1, 0, 1, 0], "the kind of refusal, and the versions that it speaks");
        let why = String::from_utf8(payload[7..].to_vec()).unwrap();
        is_over(self.heir, NOT_STARTED, &why);
        why
    }
}

/// What is left when the predecessor is gone.
#[derive(Debug)]
pub struct Gone {
    heir: Fleet,
    queue: Queue,
}

impl Gone {
    /// The server serves as generation 7, until it is stopped.
    #[track_caller]
    pub fn leaves_a_server_that_serves(self) {
        let Self { mut heir, queue } = self;
        echo(queue.address()).unwrap();
        drop(queue);
        heir.signal(heir.first(), Signal::SIGTERM);
        assert_eq!(heir.until("done generation=7").number("code"), 0);
        heir.until_all_have_ended();
    }
}

/// The channel is the server's standard input: so it is inherited by this child, and by no other that a test beside this
/// one starts.
fn spawned(setup: Setup) -> (Fleet, UnixStream) {
    let (channel, theirs) = UnixStream::pair().unwrap();
    let variable = format!("0:{}", fstat(&theirs).unwrap().st_ino);
    let setup = setup.tune(|command| {
        command.stdin(OwnedFd::from(theirs)).env("TOKIO_HOTRESTART_CHANNEL", variable);
    });
    (setup.spawn(), channel)
}

/// It comes by itself, and says what it wants.
fn met(setup: Setup) -> (Fleet, UnixStream, (Control, UnixListener)) {
    let control = Control::new();
    let listener = UnixListener::bind(control.path()).unwrap();
    let heir = setup.with("CONTROL", control.path()).spawn();
    let (channel, _) = listener.accept().unwrap();
    let want = Wire(channel.as_raw_fd()).until("WANT");
    assert_eq!(want[..13], *b"hotrest\n\x01\0\x01\0\x01", "to take over, in version 1");
    assert_eq!(want[13..], (heir.first() as u32).to_le_bytes());
    (heir, channel, (control, listener))
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

fn dies_before_hello(way: Way) {
    let words = match way {
        Way::Spawned => "the predecessor ended before it had said anything",
        Way::Met => "the predecessor ended before it had said HELLO",
    };
    Predecessor::new(way).dies_and_is_not_survived(NOT_STARTED, words);
}

fn dies_after_so_little_of_hello_that_it_names_nobody(way: Way) {
    let it = Predecessor::new(way);
    it.wire().say(&it.hello()[..10]);
    let words = match way {
        Way::Spawned => "the predecessor ended before it had said anything",
        Way::Met => "message ended after 10 bytes",
    };
    it.dies_and_is_not_survived(NOT_STARTED, words);
}

fn dies_in_the_midst_of_hello(way: Way) {
    let it = Predecessor::new(way);
    it.wire().say(&it.hello()[..40]);
    it.dies_and_is_not_survived(NOT_STARTED, "message ended after 40 bytes");
}

fn dies_after_hello(way: Way) {
    let it = Predecessor::new(way);
    it.say_hello();
    it.dies_and_is_not_survived(NOT_STARTED, "the predecessor ended before it had passed everything");
}

fn dies_before_end(way: Way) {
    let it = Predecessor::new(way);
    it.say_hello().pass_socket();
    it.wire().until("ARRIVED");
    it.dies_and_is_not_survived(NOT_STARTED, "the predecessor ended before it had passed everything");
}

fn dies_after_end_with_the_answer_unread(way: Way) {
    let it = Predecessor::of(way, Setup::new().with("START_DELAY_MS", "200"));
    it.say_hello().pass_socket().say_end();
    it.wire().until("ARRIVED");
    it.dies_and_is_survived();
}

fn dies_before_ready(way: Way) {
    let mut it = Predecessor::of(way, Setup::new().with("START_DELAY_MS", "200"));
    it.introduce();
    it.dies_and_is_survived();
}

fn dies_before_commit(way: Way) {
    let mut it = Predecessor::new(way);
    it.until_ready();
    it.dies_and_is_survived();
}

fn dies_in_its_successors_probation(way: Way) {
    let mut it = Predecessor::new(way);
    it.until_ready();
    it.commit();
    it.dies_and_is_survived();
}

fn dies_after_it_has_let_go(way: Way) {
    let mut it = Predecessor::new(way);
    it.until_ready();
    it.commit();
    it.wire().say(&frames::recorded("LET-GO"));
    it.dies_and_is_survived();
}

// --------------------------------------------------------------------------------------------------------------- aborts

fn aborts_in_place_of_hello(way: Way) {
    let it = Predecessor::new(way);
    let why = frames::text("the predecessor was stopped");
    it.wire().say(&frames::frame(frames::kind("ABORT"), frames::MUST_UNDERSTAND, &why, 0));
    let words = match way {
        Way::Spawned => "the channel in the environment does not begin with HELLO",
        Way::Met => "the predecessor took the restart back: the predecessor was stopped",
    };
    is_over(it.heir, NOT_STARTED, words);
    it.queue.is_untouched();
}

fn aborts_after_hello(way: Way) {
    let it = Predecessor::new(way);
    it.say_hello();
    it.aborts(NOT_STARTED);
}

fn aborts_before_end(way: Way) {
    let it = Predecessor::new(way);
    it.say_hello().pass_socket();
    it.wire().until("ARRIVED");
    it.aborts(NOT_STARTED);
}

fn aborts_before_ready(way: Way) {
    let mut it = Predecessor::of(way, Setup::new().with("START_DELAY_MS", "200"));
    it.introduce();
    it.aborts(NOT_READY);
}

fn aborts_before_commit(way: Way) {
    let mut it = Predecessor::new(way);
    it.until_ready();
    it.aborts(NOT_READY);
}

/// As a predecessor does that is stopped: the successor serves already, so it finishes what it has accepted.
fn aborts_in_its_successors_probation(way: Way) {
    let mut it = Predecessor::new(way);
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

fn speaks_another_version(way: Way) {
    let it = Predecessor::new(way);
    it.wire().say(&frames::hello(it.heir.first() as u32, 7, (2, 3)));
    let why = it.hears_refused(1);
    assert!(why.ends_with("this one 1 to 1, the predecessor 2 to 3"), "{why}");
}

fn speaks_garbage_in_place_of_hello(way: Way) {
    let it = Predecessor::new(way);
    it.wire().say(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    match way {
        Way::Spawned => is_over(it.heir, NOT_STARTED, "the channel in the environment does not begin with HELLO"),
        Way::Met => assert!(it.hears_refused(0).contains("what is no message")),
    }
}

fn speaks_garbage_after_hello(way: Way) {
    let it = Predecessor::new(way);
    it.say_hello().wire().say(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let why = it.hears_refused(0);
    assert!(why.contains("what is no message"), "{why}");
}

fn promises_more_sockets_than_it_passes(way: Way) {
    let it = Predecessor::new(way);
    it.say_hello().pass_socket();
    let passed = it.sockets();
    it.wire().say(&frames::end(passed + 1));
    let why = it.hears_refused(0);
    assert_eq!(why, format!("the predecessor promised {} sockets and passed {passed}", passed + 1));
}

fn passes_a_message_without_its_descriptor(way: Way) {
    let it = Predecessor::new(way);
    it.say_hello().wire().say(&frames::socket("echo", "127.0.0.1:0", "127.0.0.1:1"));
    let why = it.hears_refused(0);
    assert_eq!(why, "0 of 1 descriptors came with a message");
}

fn says_something_else_than_its_sockets(way: Way) {
    let it = Predecessor::new(way);
    it.say_hello().wire().say(&frames::recorded("COMMIT"));
    let why = it.hears_refused(0);
    assert_eq!(why, "the predecessor said what it must not say now: COMMIT");
}

fn passes_a_udp_socket_as_a_tcp_listener(way: Way) {
    let it = Predecessor::new(way);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let actual = socket.local_addr().unwrap().to_string();
    let frame = frames::socket("echo", "127.0.0.1:0", &actual);
    it.say_hello().pass_control().wire().pass(&frame, &[socket.as_raw_fd()]);
    it.say_end();
    let why = it.hears_refused(0);
    assert!(why.starts_with("the socket passed as \"echo\": it is a socket of another type"), "{why}");
}

fn passes_a_listener_of_another_address(way: Way) {
    let it = Predecessor::new(way);
    let frame = frames::socket("echo", "127.0.0.1:0", "127.0.0.1:1");
    it.say_hello().pass_control().wire().pass(&frame, &[it.queue.listener.as_raw_fd()]);
    it.say_end();
    let actual = it.queue.address();
    let why = it.hears_refused(0);
    assert_eq!(why, format!("the socket passed as \"echo\": it is bound to {actual}, not to 127.0.0.1:1"));
}

fn says_garbage_when_all_is_passed_and_counts_as_dead(way: Way) {
    let mut it = Predecessor::new(way);
    it.until_ready();
    it.wire().say(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    it.heir.until("ready generation=7");
    it.dies_and_is_survived();
}

fn says_what_a_later_version_says_and_the_successor_skips_it_and_closes_what_came_with_it(way: Way) {
    let mut it = Predecessor::new(way);
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

fn says_what_a_later_version_says_and_it_must_be_understood(way: Way) {
    let it = Predecessor::new(way);
    it.say_hello().wire().say(&frames::frame(999, frames::MUST_UNDERSTAND, b"later", 0));
    let why = it.hears_refused(0);
    assert!(why.ends_with("frame kind 999 is unknown and must be understood"), "{why}");
}

// --------------------------------------------------------------------------------------------------------------- state

/// A server that says what it gets under the name `blob`.
fn curious() -> Setup {
    Setup::new().with("STATE", "*:blob:1:0").with("FINAL", "*:blob:1:0")
}

fn dies_in_the_midst_of_a_state(way: Way) {
    let it = Predecessor::of(way, curious());
    it.say_hello().pass_socket().wire().say(&frames::piece("STATE", "blob", 8, 0, b"half"));
    it.dies_and_is_not_survived(NOT_STARTED, "the predecessor ended before it had passed everything");
}

fn ends_in_the_midst_of_a_state(way: Way) {
    let it = Predecessor::of(way, curious());
    it.say_hello().pass_socket().wire().say(&frames::piece("STATE", "blob", 8, 0, b"half"));
    it.say_end();
    let why = it.hears_refused(0);
    assert!(why.starts_with("the predecessor passed what is no state: "), "{why}");
}

fn promises_more_state_than_may_be(way: Way) {
    let it = Predecessor::of(way, curious());
    it.say_hello().wire().say(&frames::piece("STATE", "blob", 16 * 1024 * 1024 + 1, 0, b"all"));
    let why = it.hears_refused(0);
    assert!(why.ends_with("is to have 16777217 bytes, the limit is 16777216"), "{why}");
}

fn dies_before_ready_and_its_state_is_there(way: Way) {
    let mut it = Predecessor::of(way, curious().with("START_DELAY_MS", "200"));
    it.say_hello().pass_socket();
    it.wire().say(&frames::piece("STATE", "blob", 8, 0, b"half"));
    it.wire().say(&frames::piece("STATE", "blob", 8, 4, b"half"));
    it.say_end();
    it.wire().until("ACCEPTED");
    let state = it.heir.until("state generation=7 name=blob");
    assert_eq!((state.number("version"), &state["text"]), (1, "halfhalf"));
    it.dies_and_is_survived();
}

/// Serves as the successor of one that has said all this after it has let go.
#[track_caller]
fn has_final_state(way: Way, said: &[Vec<u8>], version: &str, text: Option<&str>) {
    let mut it = Predecessor::of(way, curious());
    it.until_ready();
    it.commit();
    it.wire().say(&frames::recorded("LET-GO"));
    said.iter().for_each(|frame| it.wire().say(frame));
    if said.contains(&frames::final_end()) {
        it.wire().until("FINAL-TAKEN");
    }
    let Gone { mut heir, queue } = it.hang_up();
    let state = heir.until("final generation=7 name=blob");
    assert_eq!(&state["version"], version);
    text.inspect(|text| assert_eq!(&state["text"], *text));
    echo(queue.address()).unwrap();
    drop(queue);
    heir.stop(heir.first(), 7);
}

fn passes_a_final_state(way: Way) {
    let said = [frames::piece("FINAL-STATE", "blob", 5, 0, b"whole"), frames::final_end()];
    has_final_state(way, &said, "1", Some("whole"));
}

fn has_no_final_state(way: Way) {
    has_final_state(way, &[frames::final_end()], "none", None);
}

fn knows_nothing_of_a_final_state(way: Way) {
    has_final_state(way, &[], "none", None);
}

fn dies_in_the_midst_of_its_final_state(way: Way) {
    has_final_state(way, &[frames::piece("FINAL-STATE", "blob", 8, 0, b"half")], "none", None);
}

fn ends_in_the_midst_of_its_final_state(way: Way) {
    let said = [frames::piece("FINAL-STATE", "blob", 8, 0, b"half"), frames::final_end()];
    has_final_state(way, &said, "none", None);
}

// ------------------------------------------------------------------------------------------------------- at a path only

/// As one does that is not ready, or has a successor on its way.
#[test]
fn declines_and_the_server_ends_with_the_reason() {
    let it = Predecessor::new(Way::Met);
    it.wire().say(&frames::failed(9, "a restart is under way already"));
    is_over(it.heir, NOT_STARTED, "not started: a restart is under way already");
    it.queue.is_untouched();
}

/// Its pid namespace is not the server's, and whoever has come to the path is meant.
#[test]
fn says_hello_to_a_pid_that_is_none() {
    let mut it = Predecessor::new(Way::Met);
    it.wire().say(&frames::hello(0, 7, (1, 1)));
    it.pass_socket().say_end();
    it.wire().until("READY");
    it.commit();
    it.dies_and_is_survived();
}

/// The path's listener is not among its sockets, and the path is still held.
#[test]
fn keeps_the_path_to_itself() {
    let it = Predecessor::new(Way::Met);
    let actual = it.queue.address().to_string();
    let frame = frames::socket("echo", "127.0.0.1:0", &actual);
    it.say_hello().wire().pass(&frame, &[it.queue.listener.as_raw_fd()]);
    it.wire().say(&frames::end(1));
    let why = it.hears_refused(0);
    assert!(why.contains("Address already in use"), "{why}");
}

// ------------------------------------------------------------------------------------------------------------ both ways

/// Whatever is not in this list is dead code.
macro_rules! both_ways {
    ($($claim:ident),* $(,)?) => {
        mod spawned {
            $(#[test] fn $claim() { super::$claim(super::Way::Spawned); })*
        }
        mod met {
            $(#[test] fn $claim() { super::$claim(super::Way::Met); })*
        }
    };
}

both_ways! {
    dies_before_hello,
    dies_after_so_little_of_hello_that_it_names_nobody,
    dies_in_the_midst_of_hello,
    dies_after_hello,
    dies_before_end,
    dies_after_end_with_the_answer_unread,
    dies_before_ready,
    dies_before_commit,
    dies_in_its_successors_probation,
    dies_after_it_has_let_go,
    aborts_in_place_of_hello,
    aborts_after_hello,
    aborts_before_end,
    aborts_before_ready,
    aborts_before_commit,
    aborts_in_its_successors_probation,
    speaks_another_version,
    speaks_garbage_in_place_of_hello,
    speaks_garbage_after_hello,
    promises_more_sockets_than_it_passes,
    passes_a_message_without_its_descriptor,
    says_something_else_than_its_sockets,
    passes_a_udp_socket_as_a_tcp_listener,
    passes_a_listener_of_another_address,
    says_garbage_when_all_is_passed_and_counts_as_dead,
    says_what_a_later_version_says_and_the_successor_skips_it_and_closes_what_came_with_it,
    says_what_a_later_version_says_and_it_must_be_understood,
    dies_in_the_midst_of_a_state,
    ends_in_the_midst_of_a_state,
    promises_more_state_than_may_be,
    dies_before_ready_and_its_state_is_there,
    passes_a_final_state,
    has_no_final_state,
    knows_nothing_of_a_final_state,
    dies_in_the_midst_of_its_final_state,
    ends_in_the_midst_of_its_final_state,
}

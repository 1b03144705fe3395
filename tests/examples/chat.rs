//! `examples/websocket_chat.rs`.

use std::{
    net::{SocketAddr, TcpStream},
    os::unix::fs::symlink,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use tokio_tungstenite::tungstenite::{Message, WebSocket, client};

use super::{Server, in_order, lock::flip, server::program};

/// A bound for a broken run, and never part of what is tested.
const PATIENCE: Duration = Duration::from_secs(30);

const RESTARTS: u64 = 10;
const MEMBERS: usize = 4;

/// Two rooms, in which all talk at once, each on the connection of its beginning. All of a room hear the same from the
/// first word to the last: so nothing was lost, nothing was heard twice, and the order is one.
#[test]
fn ten_restarts_disconnect_nobody_and_lose_no_word() {
    let mut server = Server::start("websocket_chat", &[]);
    let address = server.address("http");
    let (over, heard) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
    let rooms = ["kitchen", "hall"].map(|room| {
        let members = (0..MEMBERS).map(|member| {
            let (over, heard) = (Arc::clone(&over), Arc::clone(&heard));
            thread::spawn(move || Member::enter(address, room, member).talk(&over, &heard))
        });
        members.collect::<Vec<JoinHandle<Vec<String>>>>()
    });
    let until_heard = |more: u64| {
        let (goal, end) = (heard.load(Relaxed) + more, Instant::now() + PATIENCE);
        while heard.load(Relaxed) < goal {
            assert!(Instant::now() < end && !rooms.iter().flatten().any(JoinHandle::is_finished), "somebody is silent");
            thread::park_timeout(Duration::from_millis(1));
        }
    };
    for generation in 0..RESTARTS {
        until_heard(100);
        server.restart();
        let report = server.report(generation);
        in_order(&report);
        assert!(report.contains(" 8 handed over"), "{report}");
    }
    until_heard(100);
    over.store(true, Relaxed);
    for room in rooms {
        let logs: Vec<_> = room.into_iter().map(|member| member.join().expect("nobody was disconnected")).collect();
        logs.iter().for_each(|log| assert_eq!(*log, logs[0]));
        for member in 0..MEMBERS {
            let said = logs[0].iter().filter_map(|word| word.strip_prefix(&format!("{member}: ")));
            let said: Vec<_> = said.filter_map(|word| word.parse::<usize>().ok()).collect();
            assert!(!said.is_empty() && said.iter().copied().eq(0..said.len()), "{member} said {said:?}");
        }
    }
    server.signal(Signal::SIGTERM);
    in_order(&server.report(RESTARTS));
    server.until_all_have_ended();
}

#[test]
fn who_comes_after_a_restart_hears_what_was_said_before_and_who_is_there() {
    let mut server = Server::start("websocket_chat", &[]);
    let address = server.address("http");
    let mut ann = Member::enter(address, "kitchen", "ann");
    ann.say("hello");
    assert_eq!([ann.hear(), ann.hear()], ["* ann has come", "ann: hello"]);
    server.restart();
    in_order(&server.report(0));
    let mut bob = Member::enter(address, "kitchen", "bob");
    assert_eq!([bob.hear(), bob.hear(), bob.hear()], ["* ann has come", "ann: hello", "* bob has come"]);
    bob.say("/who");
    assert_eq!(bob.hear(), "* here: ann, bob");
    assert_eq!(ann.hear(), "* bob has come");
    server.signal(Signal::SIGTERM);
    for member in [ann, bob] {
        assert_eq!(member.close_code(), 1001);
    }
    in_order(&server.report(1));
    server.until_all_have_ended();
}

/// However its bytes arrive: all of them may be there at the first look.
#[test]
fn a_message_that_is_too_long_is_said_to_nobody_and_ends_its_member() {
    let mut server = Server::start("websocket_chat", &[]);
    let address = server.address("http");
    let mut bob = Member::enter(address, "kitchen", "bob");
    assert_eq!(bob.hear(), "* bob has come");
    let mut ann = Member::enter(address, "kitchen", "ann");
    assert_eq!(bob.hear(), "* ann has come");
    ann.say("x".repeat(16 * 1024 + 1));
    assert_eq!(bob.hear(), "* ann has gone");
    server.signal(Signal::SIGTERM);
    assert_eq!(bob.close_code(), 1001);
    server.report(0);
    server.until_all_have_ended();
}

/// Another program serves at the same address, and knows nothing of a chat.
#[test]
fn whom_the_successor_does_not_take_is_told_to_come_back() {
    let place = tempfile::tempdir().unwrap();
    let (link, example) = (place.path().join("current"), program("websocket_chat"));
    symlink(&example, &link).unwrap();
    let mut server = Server::start_as(&link, &example, &[]);
    let mut ann = Member::enter(server.address("http"), "kitchen", "ann");
    assert_eq!(ann.hear(), "* ann has come");
    flip(&link, &server.may_become("websocket"));
    server.restart();
    assert_eq!(ann.close_code(), 1012);
    in_order(&server.report(0));
    server.signal(Signal::SIGTERM);
    server.report(1);
    server.until_all_have_ended();
}

/// A client that has one connection, and panics when that ends.
struct Member {
    name: String,
    socket: WebSocket<TcpStream>,
}

impl Member {
    fn enter(address: SocketAddr, room: &str, name: impl ToString) -> Self {
        let (name, stream) = (name.to_string(), TcpStream::connect(address).expect("somebody listens"));
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let (socket, _) = client(format!("ws://{address}/chat/{room}/{name}"), stream).expect("a handshake");
        Self { name, socket }
    }

    fn say(&mut self, words: impl ToString) {
        self.socket.send(Message::text(words.to_string())).expect("sent");
    }

    fn hear(&mut self) -> String {
        match self.socket.read().expect("a connection that goes on") {
            Message::Text(text) => text.to_string(),
            other => panic!("{other:?}"),
        }
    }

    /// Says numbers, two at a time and a ping behind them, waits until it has heard them, and so on. All that it has heard.
    fn talk(mut self, over: &AtomicBool, count: &AtomicU64) -> Vec<String> {
        let (mut log, mut next) = (Vec::new(), 0_u64);
        let everybody = |log: &[String], words: &str| {
            (0..MEMBERS).all(|member| log.iter().any(|word| *word == words.replace('?', &member.to_string())))
        };
        while !everybody(&log, "* ? has come") {
            log.push(self.hear());
        }
        while !over.load(Relaxed) {
            for number in [next, next + 1] {
                self.socket.write(Message::text(number.to_string())).expect("sent");
            }
            self.socket.send(Message::Ping(next.to_be_bytes().to_vec().into())).expect("sent");
            let (last, mut is_heard, mut is_answered) = (format!("{}: {}", self.name, next + 1), false, false);
            while !(is_heard && is_answered) {
                match self.socket.read().expect("a connection that goes on") {
                    Message::Text(text) => {
                        is_heard |= *text == *last;
                        log.push(text.to_string());
                        count.fetch_add(1, Relaxed);
                    }
                    Message::Pong(number) => is_answered |= *number == next.to_be_bytes(),
                    other => panic!("{other:?}"),
                }
            }
            next += 2;
        }
        self.say("bye");
        while !everybody(&log[log.len().saturating_sub(10_000)..], "?: bye") {
            log.push(self.hear());
        }
        log
    }

    /// Waits for the close frame, which must be what comes next, and answers it.
    fn close_code(mut self) -> u16 {
        let Message::Close(Some(frame)) = self.socket.read().expect("a frame") else { panic!("no close frame") };
        // tungstenite answers it by itself; and reads until the end.
        while self.socket.read().is_ok() {}
        frame.code.into()
    }
}

//! Predecessors made by hand: this process has let go, offers live connections to a real server, and dies or misbehaves at
//! each point. It has spawned the server, or the server has come to it at a control path: each claim holds either way.
#![allow(clippy::disallowed_methods)] // the frames are sent by hand, and numbers are what goes with them

use std::{
    io::{Error, ErrorKind, Read},
    net::{TcpListener, TcpStream, UdpSocket},
    os::fd::{AsRawFd, RawFd},
};

use nix::sys::signal::Signal;

use crate::{
    predecessor::{Predecessor, Way},
    support::{
        Setup,
        frames::{self, Begun, Offered, To, Wire},
        http::Client,
        process,
    },
};

/// This process, which has no more to do than to hand over.
struct Giver(Predecessor);

impl Giver {
    fn new(way: Way) -> Self {
        let mut it = Predecessor::of(way, Setup::new());
        it.until_ready();
        it.commit();
        it.wire().say(&frames::recorded("LET-GO"));
        it.wire().say(&frames::final_end());
        it.wire().until("FINAL-TAKEN");
        Self(it)
    }

    fn wire(&self) -> Wire {
        self.0.wire()
    }

    fn offers(&self, offered: Offered, socket: &impl AsRawFd) {
        self.wire().pass(&frames::offer(&[offered]), &[socket.as_raw_fd()]);
    }

    #[track_caller]
    fn hears_taken(&self, ids: &[u64]) {
        assert_eq!(frames::taken_of(&self.wire().until("TAKEN")), ids);
    }

    /// Why each was declined.
    #[track_caller]
    fn hears_declined(&self, ids: &[u64]) -> Vec<String> {
        let (declined, why): (Vec<_>, _) = frames::declined_of(&self.wire().until("DECLINED")).into_iter().unzip();
        assert_eq!(declined, ids);
        why
    }

    /// One that is whole is served after all that, and the server is left without a connection.
    #[track_caller]
    fn serves_the_next(self, id: u64) {
        let (mut client, socket) = connection();
        self.offers(Offered::idle(id, "http"), &socket);
        self.hears_taken(&[id]);
        is_served(&mut client);
        drop(client);
        self.dies();
    }

    /// The server stands still, until its predecessor is gone.
    fn freezes_it(&self) -> i32 {
        self.0.heir.freeze_first()
    }

    /// Dies, and the server serves on.
    #[track_caller]
    fn dies(self) {
        self.0.dies_and_is_survived();
    }
}

/// A client, and the other end of its connection, which is in no reactor.
fn connection() -> (Client, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = Client::connect(listener.local_addr().unwrap());
    let (socket, _) = listener.accept().unwrap();
    socket.set_nonblocking(true).unwrap();
    (client, socket)
}

#[track_caller]
fn is_served(client: &mut Client) {
    let answer = client.get("/");
    assert_eq!((answer.generation, answer.close, &*answer.body), (7, false, &b"hello world"[..]));
}

fn with(read: &[u8]) -> Offered {
    Offered { read: read.to_vec(), ..Offered::idle(1, "http") }
}

fn fresh(read: &[u8]) -> Offered {
    Offered { to: To::Serve("http".to_owned(), Begun::Fresh), ..with(read) }
}

// --------------------------------------------------------------------------------------------------------------- offers

fn offers_one_that_idles_and_closes_its_copy_when_it_is_taken(way: Way) {
    let it = Giver::new(way);
    let (mut client, socket) = connection();
    it.offers(Offered::idle(1, "http"), &socket);
    it.hears_taken(&[1]);
    drop(socket);
    is_served(&mut client);
    is_served(&mut client);
    drop(client);
    it.dies();
}

fn offers_what_it_has_read_of_the_next_requests(way: Way) {
    const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n";
    let it = Giver::new(way);
    for begun in [with, fresh] {
        for read in [&[GET, GET, GET].concat(), &GET[..20], &[GET, &GET[..3]].concat()] {
            let (mut client, socket) = connection();
            it.offers(begun(read), &socket);
            it.hears_taken(&[1]);
            let all = [GET, GET, GET].concat();
            client.say(&all[read.len()..]);
            for _ in 0..3 {
                let answer = client.answer().expect("an answer");
                assert_eq!((answer.generation, answer.close), (7, false));
            }
            is_served(&mut client);
        }
    }
    it.dies();
}

fn offers_many_at_once(way: Way) {
    let it = Giver::new(way);
    let (mut clients, sockets): (Vec<_>, Vec<_>) = (0..32).map(|_| connection()).unzip();
    let offers: Vec<_> = (100..132).map(|id| Offered::idle(id, "http")).collect();
    let numbers: Vec<RawFd> = sockets.iter().map(AsRawFd::as_raw_fd).collect();
    it.wire().pass(&frames::offer(&offers), &numbers);
    it.hears_taken(&(100..132).collect::<Vec<_>>());
    drop(sockets);
    clients.iter_mut().for_each(is_served);
    drop(clients);
    it.dies();
}

/// While it holds its copy, a mere close by the server would show the client nothing.
fn keeps_its_copy_and_the_client_still_sees_the_servers_end(way: Way) {
    let it = Giver::new(way);
    let (mut client, socket) = connection();
    it.offers(Offered::idle(1, "http"), &socket);
    it.hears_taken(&[1]);
    client.say("GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    let answer = String::from_utf8(client.rest().expect("no reset")).unwrap();
    assert!(answer.ends_with("hello world"), "{answer}");
    drop(socket);
    it.dies();
}

/// In the midst of an answer, by a stop that cuts it.
fn keeps_its_copy_and_the_client_still_sees_that_it_is_cut(way: Way) {
    let mut it = Giver::new(way);
    let (mut client, socket) = connection();
    it.offers(Offered::idle(1, "http"), &socket);
    it.hears_taken(&[1]);
    client.ask("/sse");
    client.head().expect("it begins");
    let pid = it.0.heir.first();
    it.0.heir.signal(pid, Signal::SIGTERM);
    it.0.heir.until("ending generation=7");
    it.0.heir.signal(pid, Signal::SIGTERM);
    it.0.heir.until("done generation=7");
    // Whatever the end is like: it comes, and in time.
    let in_vain = |error: &Error| error.kind() == ErrorKind::WouldBlock;
    assert!(!client.rest().as_ref().is_err_and(in_vain));
    drop(socket);
}

// ------------------------------------------------------------------------------------------------------------- declined

fn offers_to_a_name_that_nobody_serves_and_keeps_what_it_has(way: Way) {
    let it = Giver::new(way);
    let (mut client, socket) = connection();
    it.offers(Offered::idle(1, "nobody"), &socket);
    let why = it.hears_declined(&[1]).remove(0);
    assert!(why.contains("nobody"), "{why}");
    // The server has not touched it.
    client.ask("/");
    process::until(|| socket.peek(&mut [0]).is_ok());
    drop((client, socket));
    it.dies();
}

fn offers_to_a_protocol_that_nobody_asks_for_and_is_declined_in_the_end(way: Way) {
    let it = Giver::new(way);
    let (_client, socket) = connection();
    let to = To::Protocol("chess".to_owned());
    it.offers(Offered { to, ..Offered::idle(1, "http") }, &socket);
    let why = it.hears_declined(&[1]).remove(0);
    assert!(why.contains("chess"), "{why}");
    it.dies();
}

/// A connection whose client has reset it.
fn reset() -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = socket2::Socket::from(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
    let (mut stream, _) = listener.accept().unwrap();
    client.set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(client);
    // The reset has come.
    assert_eq!(Read::read(&mut stream, &mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    stream
}

/// None of these is a connection that a server of TCP could serve.
fn offers_what_is_no_connection(way: Way) {
    let it = Giver::new(way);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (stream, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    let file = std::fs::File::open("/dev/null").unwrap();
    let numbers = [listener.as_raw_fd(), datagrams.as_raw_fd(), stream.as_raw_fd(), file.as_raw_fd()];
    let offers: Vec<_> = (1..5).map(|id| Offered::idle(id, "http")).collect();
    it.wire().pass(&frames::offer(&offers), &numbers);
    it.hears_declined(&[1, 2, 3, 4]);
    it.serves_the_next(5);
}

/// It is of the right kind, so it is taken; its end is found at once, as that of any client who has gone.
fn offers_what_has_no_client(way: Way) {
    let it = Giver::new(way);
    let unconnected = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let reset = reset();
    let offers = [Offered::idle(1, "http"), Offered::idle(2, "http")];
    it.wire().pass(&frames::offer(&offers), &[unconnected.as_raw_fd(), reset.as_raw_fd()]);
    it.hears_taken(&[1, 2]);
    it.serves_the_next(3);
}

// ----------------------------------------------------------------------------------------------------------------- dies

/// The server finds the offer and the end at once: it can't say that it takes it, and need not.
fn dies_with_its_offer_unread(way: Way) {
    let it = Giver::new(way);
    let server = it.freezes_it();
    let (mut client, socket) = connection();
    client.ask("/slow/20");
    it.offers(Offered::idle(1, "http"), &socket);
    drop(socket);
    // It goes on when this process has hung up.
    let wake = std::thread::spawn(move || {
        let answer = client.answer().expect("an answer");
        assert_eq!((answer.generation, answer.close), (7, false));
        is_served(&mut client);
    });
    let gone = it.0.hang_up();
    process::go_on(server);
    wake.join().expect("served");
    gone.leaves_a_server_that_serves();
}

fn dies_with_taken_unread(way: Way) {
    let it = Giver::new(way);
    let (mut client, socket) = connection();
    it.offers(Offered::idle(1, "http"), &socket);
    // Served, so it has been said.
    is_served(&mut client);
    drop(socket);
    let gone = it.0.hang_up();
    is_served(&mut client);
    drop(client);
    gone.leaves_a_server_that_serves();
}

/// It was never offered, so it ends with the process that had it.
fn dies_in_the_midst_of_its_offer(way: Way) {
    let it = Giver::new(way);
    let (client, socket) = connection();
    let frame = frames::offer(&[Offered::idle(1, "http")]);
    it.wire().pass(&frame[..frame.len() - 1], &[socket.as_raw_fd()]);
    drop(socket);
    let gone = it.0.hang_up();
    assert_eq!(client.rest().expect("no reset"), b"");
    gone.leaves_a_server_that_serves();
}

fn dies_when_its_offer_was_declined(way: Way) {
    let it = Giver::new(way);
    let (client, socket) = connection();
    it.offers(Offered::idle(1, "nobody"), &socket);
    it.hears_declined(&[1]);
    let gone = it.0.hang_up();
    drop(socket);
    assert_eq!(client.rest().expect("no reset"), b"");
    gone.leaves_a_server_that_serves();
}

// ----------------------------------------------------------------------------------------------------------- misbehaves

/// The server hangs up: what it had is its own, and what was on its way is nobody's of its.
fn passes_an_offer_without_its_descriptor(way: Way) {
    let it = Giver::new(way);
    let (mut client, socket) = connection();
    it.offers(Offered::idle(1, "http"), &socket);
    it.hears_taken(&[1]);
    it.wire().say(&frames::offer(&[Offered::idle(2, "http")]));
    while it.wire().next().is_some() {}
    is_served(&mut client);
    drop((client, socket));
    it.dies();
}

fn talks_nonsense_after_an_offer(way: Way) {
    let it = Giver::new(way);
    let (mut client, socket) = connection();
    it.offers(Offered::idle(1, "http"), &socket);
    it.hears_taken(&[1]);
    it.wire().say(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    while it.wire().next().is_some() {}
    is_served(&mut client);
    drop((client, socket));
    it.dies();
}

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
    offers_one_that_idles_and_closes_its_copy_when_it_is_taken,
    offers_what_it_has_read_of_the_next_requests,
    offers_many_at_once,
    keeps_its_copy_and_the_client_still_sees_the_servers_end,
    keeps_its_copy_and_the_client_still_sees_that_it_is_cut,
    offers_to_a_name_that_nobody_serves_and_keeps_what_it_has,
    offers_to_a_protocol_that_nobody_asks_for_and_is_declined_in_the_end,
    offers_what_is_no_connection,
    offers_what_has_no_client,
    dies_with_its_offer_unread,
    dies_with_taken_unread,
    dies_in_the_midst_of_its_offer,
    dies_when_its_offer_was_declined,
    passes_an_offer_without_its_descriptor,
    talks_nonsense_after_an_offer,
}

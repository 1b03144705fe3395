//! What is last to close: a health listener answers to the last.

use std::{
    io::{ErrorKind, Read, Write},
    net::SocketAddr,
    os::unix::net::UnixStream,
    path::Path,
    time::Instant,
};

use nix::sys::signal::Signal;

use crate::support::{
    Control, Fifo, Fleet, Setup,
    drain::{Way, server},
    echo::{Client as Lines, echo},
    http::Client,
    long, process,
};

const LAST: &str = "127.0.0.1:0";

#[track_caller]
fn hello(address: SocketAddr) -> Client {
    let mut client = Client::connect(address);
    assert_eq!(client.get("/").body, b"hello world");
    client
}

/// On a connection of its own.
fn hello_at(path: &Path) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(path)?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map(|_| answer)
}

/// A client of lines is drained for as long as it likes, and then the exit hook takes its time.
#[test]
fn it_answers_old_and_new_clients_while_others_drain_and_while_exit_hooks_run() {
    let setup = server();
    let fifo = Fifo::new(setup.place().join("exit"));
    let unix = setup.place().join("admin");
    let mut fleet = setup.with("LAST", LAST).with("LAST_UNIX", &unix).with("AT_EXIT", fifo.path()).start();
    let health = long::address(&mut fleet, "health");
    let lines = Lines::served(fleet.echo);
    let mut kept = hello(health);
    Way::Stop.begin(&mut fleet);
    // The drain says that it has begun when nobody listens any more but these.
    let stop = |fleet: &Fleet| echo(fleet.echo).is_err();
    process::until(|| stop(&fleet));
    let answers = |kept: &mut Client| {
        let answer = kept.get("/readyz");
        assert_eq!((answer.close, &*answer.body), (false, &b"draining"[..]), "it is not told");
        hello(health);
        assert!(hello_at(&unix).expect("the path is there").ends_with("hello world"));
    };
    answers(&mut kept);
    drop(lines);
    fleet.until("leaving generation=0");
    answers(&mut kept);
    fifo.release();
    assert_eq!(kept.rest().expect("no reset"), b"");
    let done = fleet.until("done generation=0");
    assert_eq!((done.number("cut"), done.number("raced"), done.number("code")), (0, 0, 0));
    assert!(Client::try_connect(health).is_none() && !unix.exists());
    fleet.until_all_have_ended();
}

#[test]
fn it_answers_in_a_lame_duck_without_being_told_and_the_status_has_it_until_the_end() {
    let control = Control::new();
    let setup = control.setup();
    let fifo = Fifo::new(setup.place().join("exit"));
    let setup = setup.with("LAST", LAST).with("LAME_DUCK_MS", "600").with("AT", "0:LameDuckOver:hold");
    let mut fleet = setup.with("AT_EXIT", fifo.path()).start();
    let health = long::address(&mut fleet, "health");
    let named = |name: &str| control.status().sockets.iter().any(|socket| socket.name == name);
    assert!(named("http") && named("health"));
    let mut kept = hello(health);
    fleet.signal(fleet.first(), Signal::SIGTERM);
    fleet.until_held("LameDuckOver");
    process::go_on(fleet.first());
    assert!(!kept.get("/").close);
    fleet.until("leaving generation=0");
    assert!(!named("http") && named("health"));
    assert!(!kept.get("/").close);
    fifo.release();
    fleet.until("done generation=0");
}

/// Whatever is open there ends by its second: an answer without an end, a client that neither asks nor leaves, and half a
/// head.
#[test]
fn its_own_connections_end_by_its_second() {
    let mut fleet = server().with("LAST", LAST).start();
    let health = long::address(&mut fleet, "health");
    let mut endless = Client::connect(health);
    endless.ask("/sse");
    endless.head().expect("it begins");
    let idle = hello(health);
    let mut half = Client::connect(health);
    half.say("GET / HTTP/1.1\r\n");
    let _websocket = Client::websocket(health, "/ws/stay");
    let began = Instant::now();
    Way::Stop.begin(&mut fleet);
    let done = fleet.until("done generation=0");
    // Of the server's 600 s none.
    assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
    assert_eq!(&done["kinds"], "http1:1/0/0/2,upgraded:0/0/0/1");
    assert_eq!(
        &fleet.until("cut generation=0")["why"],
        "http1:cut_at_the_deadline:1,http1:cut_half_open:1,upgraded:cut_at_the_deadline:1"
    );
    assert_eq!(idle.rest().expect("no reset"), b"");
    drop((endless, half));
}

#[test]
fn at_a_restart_it_belongs_to_the_successor_like_any_other() {
    let (mut fleet, mut kept, second, lines) = restarted(Setup::new());
    // Handed over as soon as its turn comes.
    process::until(|| {
        let answer = kept.get("/");
        assert!(!answer.close);
        answer.generation == 1
    });
    ended(&mut fleet, second, lines);
}

#[test]
fn at_a_restart_it_is_told_like_any_other_where_it_is_not_handed_over() {
    let (mut fleet, mut kept, second, lines) = restarted(server());
    // Told within the grace, or let go when it is over, although its generation lives on.
    process::until(|| {
        kept.ask("/");
        kept.answer().map_or(true, |answer| {
            assert_eq!(answer.generation, 0);
            answer.close
        })
    });
    ended(&mut fleet, second, lines);
}

/// With a client that has been served there, in a generation that drains on. The successor accepts.
fn restarted(setup: Setup) -> (Fleet, Client, i32, Lines) {
    let mut fleet = setup.with("LAST", LAST).start();
    let health = long::address(&mut fleet, "health");
    let (lines, kept) = (Lines::served(fleet.echo), hello(health));
    let second = fleet.restart(0, fleet.first());
    for _ in 0..20 {
        assert_eq!(Client::connect(health).get("/").generation, 1);
    }
    (fleet, kept, second, lines)
}

fn ended(fleet: &mut Fleet, second: i32, mut lines: Lines) {
    lines.line().expect("its generation lives on");
    drop(lines);
    assert_eq!(fleet.until("done generation=0").number("cut"), 0);
    fleet.stop(second, 1);
}

/// Its queue is emptied, as that of any other. Whoever connects in the very moment of its closing is reset, for no system
/// call looks and closes in one: one or two of those who come as fast as they can, and once.
#[test]
fn whoever_has_connected_before_it_closes_is_served() {
    let mut fleet = server().with("LAST", LAST).start();
    let health = long::address(&mut fleet, "health");
    let client = move || {
        while let Some(mut client) = Client::try_connect(health) {
            let asked = client.try_say("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
            match asked.and_then(|()| client.answer()) {
                Ok(answer) => assert_eq!(answer.body, b"hello world"),
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => return 1,
                Err(error) => panic!("{error}"),
            }
        }
        0
    };
    let clients: Vec<_> = (0..8).map(|_| std::thread::spawn(client)).collect();
    let lines = Lines::served(fleet.echo);
    Way::Stop.begin(&mut fleet);
    drop(lines);
    let resets: usize = clients.into_iter().map(|client| client.join().expect("all others served")).sum();
    assert!(resets <= 2, "{resets} of 8");
    assert_eq!(fleet.until("done generation=0").number("cut"), 0);
}

/// In a generation that another stop cuts, there is no last.
#[test]
fn a_second_stop_ends_it_too() {
    let mut fleet = server().with("LAST", LAST).start();
    let health = long::address(&mut fleet, "health");
    let _lines = Lines::served(fleet.echo);
    let kept = hello(health);
    Way::Stop.begin(&mut fleet);
    hello(health);
    fleet.signal(fleet.first(), Signal::SIGTERM);
    assert_eq!(kept.rest().expect("no reset"), b"");
    assert_eq!(fleet.until("done generation=0").number("code"), 0);
    assert!(Client::try_connect(health).is_none());
}

//! What goes to the successor, and with what.

use std::{
    io::{Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    thread,
    time::Duration,
};

use nix::sys::signal::Signal;

use super::{all, replace, replace_first, server};
use crate::{
    fake,
    support::{
        Fleet, Line,
        crowd::{Crowd, Fate},
        doors,
        drain::accepted,
        http::Client,
        process,
        server::large,
    },
};

/// Generation 0 has one connection, with which something is done before the restart, and something after generation 0 has
/// ended. It was handed over, and the successor ends in order.
#[track_caller]
fn moved<C>(before: impl FnOnce(&Fleet) -> C, after: impl FnOnce(C)) {
    let mut fleet = server().start();
    let client = accepted(&fleet, 1, before);
    let (successor, done) = replace_first(&mut fleet);
    assert_eq!((done.number("handed"), done.number("finished")), (1, 0), "{}", fleet.log());
    after(client);
    fleet.stop(successor, 1);
    fleet.until_all_have_ended();
}

#[track_caller]
fn answered_by_the_successor(client: &mut Client) {
    let answer = client.answer().expect("an answer");
    assert_eq!((answer.generation, answer.close, &*answer.body), (1, false, &b"hello world"[..]));
}

/// As at any connection of its own.
#[track_caller]
fn served_on(client: &mut Client) {
    for path in ["/", "/slow/20", "/"] {
        let answer = client.get(path);
        assert_eq!((answer.generation, answer.close), (1, false));
    }
    let body = large(200_000);
    client.announce(body.len());
    client.say(&body);
    assert!(client.answer().expect("an answer").body == body);
}

#[test]
fn one_that_idles() {
    moved(|fleet| Client::served(fleet.http), |mut client| served_on(&mut client));
}

#[test]
fn one_that_was_accepted_and_has_said_nothing() {
    moved(|fleet| Client::connect(fleet.http), |mut client| served_on(&mut client));
}

#[test]
fn one_with_half_a_preface_of_http2() {
    let half = |fleet: &Fleet| {
        let mut client = Client::connect(fleet.http);
        client.say("PRI * HT");
        client
    };
    // No request line of HTTP/1 goes on like this, so the successor must have both halves to refuse it.
    let rest = |mut client: Client| {
        client.say("ML\r\n\r\n");
        let end = client.rest().expect("no reset");
        assert!(end.starts_with(b"HTTP/1.1 400 "), "{}", String::from_utf8_lossy(&end));
    };
    moved(half, rest);
}

fn half_a_head(mut client: Client) -> Client {
    client.say("GET / HTTP/1.1\r\nhost: te");
    client
}

fn the_rest(mut client: Client) {
    client.say("st\r\n\r\n");
    answered_by_the_successor(&mut client);
    served_on(&mut client);
}

#[test]
fn half_of_the_first_head() {
    moved(|fleet| half_a_head(Client::connect(fleet.http)), the_rest);
}

#[test]
fn half_of_a_later_head() {
    moved(|fleet| half_a_head(Client::served(fleet.http)), the_rest);
}

#[test]
fn a_head_byte_by_byte_through_as_many_generations() {
    let mut fleet = server().start();
    let mut client = Client::served(fleet.http);
    let mut pid = fleet.first();
    for (generation, byte) in (0..).zip(b"GET /") {
        client.say([*byte]);
        (pid, _) = replace(&mut fleet, generation, pid);
    }
    client.say(" HTTP/1.1\r\nhost: test\r\n\r\n");
    let answer = client.answer().expect("an answer");
    assert_eq!((answer.generation, answer.close, &*answer.body), (5, false, &b"hello world"[..]));
    drop(client);
    fleet.stop(pid, 5);
}

/// It goes when its answer is through, which bears no `connection: close`.
fn answered_by_the_first(request: impl AsRef<[u8]>, body: &[u8], during: impl FnOnce(&mut Client)) {
    let mut fleet = server().start();
    let mut client = accepted(&fleet, 1, |fleet| {
        let mut client = Client::connect(fleet.http);
        client.say(request);
        client
    });
    let successor = fleet.restart(0, fleet.first());
    during(&mut client);
    let answer = client.answer().expect("an answer");
    assert_eq!((answer.generation, answer.close), (0, false));
    assert!(answer.body == body, "{} bytes", answer.body.len());
    let done = fleet.until("done generation=0");
    assert_eq!(["handed", "finished", "told"].map(|count| done.number(count)), [1, 0, 0], "{done:?}");
    served_on(&mut client);
    drop(client);
    fleet.stop(successor, 1);
}

#[test]
fn one_with_a_request_under_way_goes_after_its_answer() {
    answered_by_the_first("GET /slow/600 HTTP/1.1\r\nhost: test\r\n\r\n", b"slept 600 ms", |_| ());
}

#[test]
fn one_with_an_answer_under_way_goes_after_it() {
    let lines: String = (0..12).map(|number| format!("chunk {number}\n")).collect();
    answered_by_the_first("GET /stream/600 HTTP/1.1\r\nhost: test\r\n\r\n", lines.as_bytes(), |_| ());
}

#[test]
fn one_whose_client_reads_slowly_goes_when_all_is_in_the_kernel() {
    let body = large(20_000_000);
    let request = format!("GET /large/{} HTTP/1.1\r\nhost: test\r\n\r\n", body.len());
    answered_by_the_first(request, &body, |client| drop(client.peek()));
}

#[test]
fn one_in_the_midst_of_an_upload_goes_after_its_answer() {
    let body = large(2_000_000);
    let (half, rest) = body.split_at(1_000_000);
    let head = format!("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n", body.len());
    answered_by_the_first([head.as_bytes(), half].concat(), &body, |client| client.say(rest));
}

/// Longer than what the server reads at a time: whichever generation answers, each request is answered once, in its order,
/// and nobody is told to close.
#[test]
fn a_pipeline_goes_on_where_it_was() {
    const DEPTH: usize = 600;
    let mut fleet = server().start();
    let mut client = Client::connect(fleet.http);
    let mut sender = client.stream.try_clone().unwrap();
    let sending = thread::spawn(move || {
        let padding = "x".repeat(1_000);
        for number in 0..DEPTH {
            let words = format!("request {number}");
            let head = format!("POST / HTTP/1.1\r\nhost: test\r\npadding: {padding}\r\n");
            write!(sender, "{head}content-length: {}\r\n\r\n{words}", words.len()).unwrap();
            write!(sender, "GET /slow/2 HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
        }
    });
    let mut generations = Vec::new();
    let mut two = |client: &mut Client, number: usize| {
        for body in [format!("request {number}"), "slept 2 ms".to_owned()] {
            let answer = client.answer().expect("an answer");
            assert_eq!((String::from_utf8_lossy(&answer.body).into_owned(), answer.close), (body, false));
            generations.push(answer.generation);
        }
    };
    two(&mut client, 0);
    let successor = fleet.restart(0, fleet.first());
    (1..DEPTH).for_each(|number| two(&mut client, number));
    sending.join().expect("all of it");
    assert!(generations.is_sorted() && generations.last() == Some(&1), "{generations:?}");
    assert_eq!(fleet.until("done generation=0").number("handed"), 1);
    served_on(&mut client);
    drop(client);
    fleet.stop(successor, 1);
}

/// Its requests are so large that hardly a head is ever cut by a read, and the next one is always there.
#[test]
fn a_pipeline_of_uploads_without_a_pause_is_not_cut() {
    let mut fleet = server().with("RESTART_DEADLINE_MS", "3000").start();
    let mut client = Client::connect(fleet.http);
    let body = large(30_000);
    let mut sender = client.stream.try_clone().unwrap();
    let sending = thread::spawn(move || {
        let head = format!("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n", body.len());
        let request = [head.as_bytes(), &body].concat();
        while sender.write_all(&request).is_ok() {}
    });
    fleet.signal(fleet.first(), Signal::SIGUSR2);
    let mut answers = 0;
    let last = loop {
        let answer = client.answer().expect("an answer");
        answers += 1;
        if answer.close || answer.generation == 1 {
            break answer;
        }
    };
    println!("after {answers} answers by {}, close: {}", last.generation, last.close);
    client.stream.shutdown(Shutdown::Both).unwrap();
    sending.join().expect("until the end");
    assert_eq!(fleet.until("done generation=0").number("cut"), 0);
}

#[test]
fn a_thousand_that_idle() {
    let mut fleet = server().start();
    let mut crowd = Crowd::served(fleet.http, 1_000);
    let (successor, done) = replace_first(&mut fleet);
    assert_eq!(done.number("handed"), 1_000);
    assert_eq!(crowd.ask(), all(Fate::Kept(1), 1_000));
    drop(crowd);
    fleet.stop(successor, 1);
}

/// The same connection, so the same ports at both ends; and whoever wants to know the client's address does.
#[test]
fn the_clients_address_is_known_to_the_successor() {
    let mut fleet = server().with("DOORS", "make closure").start();
    let mut clients = ["make", "closure"].map(|door| Client::connect(doors::address(&mut fleet, door)));
    let mut pid = fleet.first();
    for generation in 0..3 {
        for client in &mut clients {
            let (own, answer) = (client.stream.local_addr().unwrap(), client.get("/peer"));
            assert_eq!((answer.generation, answer.close), (generation, false));
            assert_eq!(String::from_utf8(answer.body).unwrap(), own.to_string());
        }
        let done: Line;
        (pid, done) = replace(&mut fleet, generation, pid);
        assert_eq!(done.number("handed"), 2);
    }
    drop(clients);
    fleet.stop(pid, 3);
}

#[test]
fn one_of_a_unix_socket() {
    let setup = server();
    let path = setup.place().join("socket");
    let mut fleet = setup.with("UNIX", &path).start();
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut pid = fleet.first();
    for generation in 0..3 {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"hello world") {
            let mut bytes = [0; 4096];
            let count = stream.read(&mut bytes).unwrap();
            assert!(count > 0, "it has ended");
            answer.extend(&bytes[..count]);
        }
        let answer = String::from_utf8(answer).unwrap().to_lowercase();
        assert!(answer.contains(&format!("x-generation: {generation}\r\n")) && !answer.contains("close"), "{answer}");
        let done: Line;
        (pid, done) = replace(&mut fleet, generation, pid);
        assert_eq!(done.number("handed"), 1);
    }
    drop(stream);
    fleet.stop(pid, 3);
}

/// Its client has gone while it was on its way: nobody is left to be served, and nothing stays open.
#[test]
fn one_whose_client_has_left() {
    let mut fleet = server().with("AT", "1:PredecessorLetGo:hold").start();
    let crowd = Crowd::served(fleet.http, 40);
    fleet.signal(fleet.first(), Signal::SIGUSR2);
    let successor = fleet.until_held("PredecessorLetGo");
    let before = process::open(successor);
    drop(crowd);
    process::go_on(successor);
    assert_eq!(fleet.until("done generation=0").number("code"), 0);
    process::until(|| process::open(successor) <= before);
    fleet.stop(successor, 1);
}

/// However it fails, the connections of the next one have where to go.
#[test]
fn those_of_a_server_whose_restart_has_failed_before() {
    let fakes = ["exit:3", "take exit:3", "take refuse:no", "hear:HELLO say:HTTP/1.1_400_Bad_Request linger"];
    let mut fleet = server().start();
    let mut crowd = Crowd::served(fleet.http, 20);
    for steps in fakes {
        fake::release(&fleet.release, steps);
        fleet.ask(fleet.first());
        let answer = fleet.answer(0);
        assert!(!answer.starts_with("replaced"), "{steps}: {answer}");
        assert_eq!(crowd.ask(), all(Fate::Kept(0), 20));
    }
    // On probation.
    fake::release(&fleet.release, "take able:final-state,hand-over READY hear:COMMIT exit:3");
    fleet.ask(fleet.first());
    assert!(fleet.answer(0).starts_with("Probation: "));
    fleet.release.good();
    let (successor, done) = replace_first(&mut fleet);
    assert_eq!(done.number("handed"), 20);
    assert_eq!(crowd.ask(), all(Fate::Kept(1), 20));
    drop(crowd);
    fleet.stop(successor, 1);
}

/// A stop of the successor ends it as any other.
#[test]
fn it_is_told_of_a_stop_like_any_other() {
    let mut fleet = server().start();
    let mut crowd = Crowd::served(fleet.http, 10);
    let (successor, _) = replace_first(&mut fleet);
    fleet.signal(successor, Signal::SIGTERM);
    fleet.until("ending generation=1 ");
    assert_eq!(crowd.ask(), all(Fate::Told(1), 10));
    let done = fleet.until("done generation=1");
    assert_eq!((&done["kinds"], done.number("code")), ("http1:10/10/0/0", 0));
}

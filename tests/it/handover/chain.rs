//! More than two generations.

use super::{replace, server};
use crate::support::{
    Fleet, Traffic,
    crowd::{Crowd, Fate},
    doors,
    drain::accepted,
    http::Client,
};

use ::load::{Exchange, Load, Mode};

/// The same sixty-four, each with its own port, from the first generation to the last, while others are busy.
#[test]
fn sixty_four_connections_live_through_twenty_generations() {
    const RESTARTS: u64 = 20;
    let mut fleet = server().with("DOORS", "make").with("PROBATION_MS", "1").start();
    let door = doors::address(&mut fleet, "make");
    let mut clients: Vec<_> = (0..64).map(|_| Client::served(door)).collect();
    let traffic = Traffic::on([
        Load::new(fleet.http, Mode::KeepAlive(Exchange::post(3_000))).clients(8),
        Load::new(fleet.http, Mode::Pipelined { exchange: Exchange::get(), depth: 8 }).clients(4),
    ]);
    let mut pid = fleet.first();
    for generation in 0..=RESTARTS {
        clients.iter_mut().for_each(|client| client.ask("/peer"));
        for client in &mut clients {
            let answer = client.answer().expect("an answer");
            assert_eq!((answer.generation, answer.close), (generation, false));
            assert_eq!(String::from_utf8(answer.body).unwrap(), client.stream.local_addr().unwrap().to_string());
        }
        if generation < RESTARTS {
            traffic.reach(2);
            let (successor, done) = replace(&mut fleet, generation, pid);
            assert_eq!((done.number("handed"), done.number("told")), (64 + 12, 0), "{done:?}");
            pid = successor;
        }
    }
    for tally in traffic.off() {
        assert_eq!((tally.lost(), tally.reconnects()), (0, 0), "{tally}");
    }
    drop(clients);
    fleet.stop(pid, RESTARTS);
    fleet.until_all_have_ended();
}

/// The first generation's slow answers are through when its successor has been replaced in its turn and still drains: it
/// takes them, for they are its to take, and they leave at once to the newest.
#[test]
fn a_second_restart_while_the_first_hands_over() {
    let mut fleet = server().start();
    let slow = |path: &'static str, many: usize| {
        move |fleet: &Fleet| -> Vec<_> {
            let ask = |_| {
                let mut client = Client::connect(fleet.http);
                client.ask(path);
                client
            };
            (0..many).map(ask).collect()
        }
    };
    let mut idle = Crowd::served(fleet.http, 40);
    let mut slow_of_first = accepted(&fleet, 10, slow("/slow/1500", 10));
    let second = fleet.restart(0, fleet.first());
    // Its drain has something to wait for.
    let mut endless = slow("/sse", 1)(&fleet).remove(0);
    assert!(endless.head().unwrap().contains("x-generation: 1\r\n"));
    let third = fleet.restart(1, second);
    idle.until_kept_by(2);
    for client in &mut slow_of_first {
        let answer = client.answer().expect("an answer");
        assert_eq!((answer.generation, answer.close), (0, false));
    }
    assert_eq!(fleet.until("done generation=0").number("handed"), 50);
    for client in &mut slow_of_first {
        // Perhaps the second is quick enough to answer.
        while client.get("/").generation != 2 {}
        assert!(!client.get("/").close);
    }
    drop(endless);
    let done = fleet.until("done generation=1");
    assert_eq!((done.number("handed"), done.number("cut")), (50, 0), "{done:?}");
    drop((idle, slow_of_first));
    fleet.stop(third, 2);
}

/// The same, and the successor has nothing left to do: it need not stay for what its predecessor may still have.
#[test]
fn a_second_restart_whose_middle_generation_ends_first() {
    let mut fleet = server().start();
    let mut slow = accepted(&fleet, 1, |fleet| Client::connect(fleet.http));
    slow.ask("/slow/1500");
    let second = fleet.restart(0, fleet.first());
    let third = fleet.restart(1, second);
    let answer = slow.answer().expect("an answer");
    assert_eq!(answer.generation, 0);
    let answer = match answer.close {
        false => slow.get("/"),
        true => answer,
    };
    // Told by the first, or kept by the newest: lost by nobody.
    assert!(answer.close || answer.generation == 2, "{answer:?}");
    drop(slow);
    for generation in [0, 1] {
        let done = fleet.until(&format!("done generation={generation}"));
        assert_eq!(["raced", "cut", "code"].map(|count| done.number(count)), [0; 3], "{done:?}");
    }
    fleet.stop(third, 2);
}

/// Restarts without a pause, under load: a connection may travel from each to the next before anything was asked on it. It
/// may also find that the next has ended, having nothing more of its own; then it is told, and lost by nobody.
#[test]
fn restarts_as_fast_as_they_can_be_had_lose_nobody() {
    let mut fleet = server().with("PROBATION_MS", "0").start();
    let mut crowd = Crowd::served(fleet.http, 300);
    let traffic = Traffic::on([Load::new(fleet.http, Mode::KeepAlive(Exchange::get())).clients(16)]);
    let mut pid = fleet.first();
    for generation in 0..8 {
        pid = fleet.restart(generation, pid);
    }
    traffic.generation(8);
    let (mut kept, mut told) = (0, 0);
    while kept + told < 300 {
        kept = 0;
        for (fate, many) in crowd.ask() {
            match fate {
                Fate::Kept(8) => kept = many,
                Fate::Kept(_) => {}
                Fate::Told(_) => told += many,
                Fate::Ended => panic!("{many} have ended"),
            }
        }
    }
    println!("{kept} kept, {told} told");
    for generation in 0..8 {
        let done = fleet.until(&format!("done generation={generation}"));
        assert_eq!(["raced", "cut", "code"].map(|count| done.number(count)), [0; 3], "{done:?}");
    }
    traffic.off().iter().for_each(|tally| assert_eq!((tally.lost(), tally.untold()), (0, 0), "{tally}"));
    drop(crowd);
    fleet.stop(pid, 8);
}

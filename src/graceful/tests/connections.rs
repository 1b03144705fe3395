//! Live connections between handles of one process that meet at a path, or between one and a successor that a test plays.

use std::{
    convert::Infallible,
    future::pending,
    path::{Path, PathBuf},
};

use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use tempfile::TempDir;
use tokio::{
    net::UnixStream,
    time::{Instant, timeout},
};

use super::*;
use crate::{
    Error, Report,
    channel::Channel,
    control::Allowed,
    drain::Kind,
    wire::{self, Message, Offer, Refusal, Wish},
};

/// A bound for a broken run, and never part of what is tested.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where they meet.
struct Place {
    _dir: TempDir,
    path: PathBuf,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control");
        Self { _dir: dir, path }
    }

    /// A generation that answers with its number. It is not ready yet.
    async fn generation(&self) -> (Graceful, PathBuf) {
        self.generation_with(Times::for_restart()).await
    }

    async fn generation_with(&self, on_restart: Times) -> (Graceful, PathBuf) {
        let builder = Graceful::builder().signals(Signals::none()).probation(Duration::ZERO).on_restart(on_restart);
        let graceful = timeout(PATIENCE, builder.control(&self.path).build()).await.unwrap().unwrap();
        let address = self.path.with_file_name("http");
        let listener = graceful.listen_unix("http", &address).await.unwrap();
        let number = graceful.generation();
        let answer = move |_: Request<Incoming>| async move { Ok::<_, Infallible>(Response::new(number.to_string())) };
        tokio::spawn(graceful.serve(listener, service_fn(answer)));
        (graceful, address)
    }

    /// The successor's end of a channel, up to where it has accepted all that it was passed.
    async fn played(&self) -> Channel {
        let mut channel = self.introduced().await;
        let capabilities = [wire::FINAL_STATE, wire::HAND_OVER].map(str::to_owned).to_vec();
        channel.say(&Message::Accepted { version: 1, capabilities }, Vec::new());
        until(&mut channel, |message| matches!(message, Message::End { .. })).await;
        channel
    }

    async fn introduced(&self) -> Channel {
        let mut channel = control::call(&self.path, Wish::TakeOver, &Allowed::default()).await.unwrap().unwrap();
        until(&mut channel, |message| matches!(message, Message::Hello(_))).await;
        let sockets = until(&mut channel, |message| matches!(message, Message::Sockets(_))).await;
        let Message::Sockets(sockets) = sockets else { unreachable!() };
        channel.say(&Message::Arrived { sockets: sockets.len() as u32 }, Vec::new());
        channel
    }

    /// One that serves now, and was offered nothing yet.
    async fn played_that_serves(&self) -> Channel {
        let mut channel = self.played().await;
        channel.say(&Message::Ready { claimed: vec![0] }, Vec::new());
        until(&mut channel, |message| matches!(message, Message::LetGo)).await;
        channel
    }
}

async fn until(channel: &mut Channel, is_it: impl Fn(&Message) -> bool) -> Message {
    loop {
        let (message, _) = timeout(PATIENCE, channel.next()).await.unwrap().unwrap().expect("more is said");
        if is_it(&message) {
            return message;
        }
    }
}

async fn offered(channel: &mut Channel) -> Vec<Offer> {
    match until(channel, |message| matches!(message, Message::Offer(_))).await {
        Message::Offer(offers) => offers,
        _ => unreachable!(),
    }
}

/// Who keeps its connection.
struct Client(UnixStream);

impl Client {
    async fn connect(to: &Path) -> Self {
        Self(UnixStream::connect(to).await.unwrap())
    }

    /// Who answers, and whether it says that this connection ends.
    async fn ask(&mut self) -> (u64, bool) {
        self.0.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let (mut read, mut head) = (Vec::new(), None);
        loop {
            if let Some(at) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                head.get_or_insert(at + 4);
            }
            if let Some(number) = head.and_then(|at| std::str::from_utf8(&read[at..]).unwrap().parse().ok()) {
                let closes = String::from_utf8(read).unwrap().to_lowercase().contains("connection: close");
                return (number, closes);
            }
            let count = timeout(PATIENCE, self.0.read_buf(&mut read)).await.unwrap().unwrap();
            assert_ne!(count, 0, "the connection has ended: {:?}", String::from_utf8_lossy(&read));
        }
    }
}

async fn drained(graceful: &Graceful) -> Report {
    timeout(PATIENCE, graceful.drain()).await.unwrap()
}

/// The one before hands its only connection over, and ends.
async fn replaces(next: &Graceful, last: &Graceful) {
    timeout(PATIENCE, next.ready()).await.unwrap().unwrap();
    assert!(timeout(PATIENCE, last.restart_signal()).await.unwrap().is_replaced());
    let report = drained(last).await;
    assert!(report.is_clean() && report.handed_over() == 1, "{report}");
}

#[tokio::test]
async fn one_connection_lives_through_ten_generations_and_each_of_them_answers_on_it() {
    let place = Place::new();
    let (mut last, address) = place.generation().await;
    last.ready().await.unwrap();
    let mut client = Client::connect(&address).await;
    assert_eq!(client.ask().await, (0, false));
    for number in 1..=10 {
        let (next, _) = place.generation().await;
        replaces(&next, &last).await;
        assert_eq!(client.ask().await, (number, false));
        last = next;
    }
    drop(client);
    last.stop();
    drained(&last).await;
}

/// `fails`: with what a successor fails, up to where the predecessor serves as before.
async fn hands_over_after(fails: impl AsyncFnOnce(&Place)) {
    let place = Place::new();
    let (first, address) = place.generation().await;
    first.ready().await.unwrap();
    let mut client = Client::connect(&address).await;
    assert_eq!(client.ask().await, (0, false));
    fails(&place).await;
    timeout(PATIENCE, first.state().wait_for(|state| *state == State::Ready)).await.unwrap().unwrap();
    assert_eq!(client.ask().await, (0, false));
    let (second, _) = place.generation().await;
    replaces(&second, &first).await;
    assert_eq!(client.ask().await, (1, false));
    drop(client);
    second.stop();
    drained(&second).await;
}

#[tokio::test]
async fn after_a_successor_that_has_died_before_it_was_ready_the_next_one_is_handed_the_connections() {
    hands_over_after(async |place| drop(place.played().await)).await;
}

#[tokio::test]
async fn after_a_successor_that_was_stopped_before_it_was_ready_the_next_one_is_handed_the_connections() {
    let stopped = async |place: &Place| {
        let (second, _) = place.generation().await;
        second.stop();
        drained(&second).await;
    };
    hands_over_after(stopped).await;
}

#[tokio::test]
async fn after_a_successor_that_has_refused_the_next_one_is_handed_the_connections() {
    let refuses = async |place: &Place| {
        let mut channel = place.introduced().await;
        let refusal = Refusal::NoDescriptors;
        channel.say(&Message::Refused { refusal, oldest: 1, newest: 1, why: "too few".into() }, Vec::new());
    };
    hands_over_after(refuses).await;
}

#[tokio::test]
async fn after_a_successor_that_has_talked_nonsense_the_next_one_is_handed_the_connections() {
    let talks = async |place: &Place| {
        let mut channel = place.played().await;
        channel.say(&Message::Commit, Vec::new());
        until(&mut channel, |message| matches!(message, Message::Abort { .. })).await;
    };
    hands_over_after(talks).await;
}

/// The second stop comes before the reactor has had a turn in which it could have heard of the TAKEN.
#[tokio::test]
async fn what_the_successor_has_taken_is_its_own_though_the_drain_ends_before_that_is_heard() {
    let place = Place::new();
    let (first, address) = place.generation().await;
    first.ready().await.unwrap();
    let mut client = Client::connect(&address).await;
    assert_eq!(client.ask().await, (0, false));
    let mut successor = place.played_that_serves().await;
    let offers = offered(&mut successor).await;
    let ids = offers.iter().map(|offer| offer.id).collect();
    successor.say(&Message::Taken(ids), Vec::new());
    first.stop();
    first.stop();
    let report = drained(&first).await;
    assert_eq!((report.handed_over(), report.cut()), (1, 0), "{report}");
}

/// What comes back at its end belongs to a generation that drains on.
#[tokio::test]
async fn a_connection_that_the_successor_was_offered_when_it_died_is_served_on_by_the_predecessor() {
    let place = Place::new();
    let (first, address) = place.generation().await;
    first.ready().await.unwrap();
    let mut client = Client::connect(&address).await;
    assert_eq!(client.ask().await, (0, false));
    let mut successor = place.played_that_serves().await;
    assert_eq!(offered(&mut successor).await.len(), 1);
    drop(successor);
    assert_eq!(client.ask().await.0, 0);
    drop(client);
    assert!(first.restart_signal().await.is_replaced());
    let report = drained(&first).await;
    assert!(report.successor_lost() && report.handed_over() == 0 && report.cut() == 0, "{report}");
}

/// Until shortly before the end it is better to wait than to send anybody away.
#[tokio::test(start_paused = true)]
async fn who_waits_for_a_successor_that_never_takes_anybody_is_told_before_the_end() {
    const SECOND: Duration = Duration::from_secs(1);
    let place = Place::new();
    let (first, address) = place.generation_with(Times::for_restart().grace(SECOND * 2).deadline(SECOND * 8)).await;
    // Connections go only after it, and it has ten seconds.
    first.pass_final_state("count", 1, pending::<Result<Vec<u8>, Error>>).unwrap();
    first.ready().await.unwrap();
    let (mut idle, mut busy) = (Client::connect(&address).await, Client::connect(&address).await);
    for client in [&mut idle, &mut busy] {
        assert_eq!(client.ask().await, (0, false));
    }
    let _successor = place.played_that_serves().await;
    let began = Instant::now();
    let told = async {
        loop {
            if busy.ask().await.1 {
                return began.elapsed();
            }
            tokio::time::sleep(SECOND / 2).await;
        }
    };
    let let_go = async {
        assert_eq!(idle.0.read(&mut [0; 8]).await.unwrap(), 0);
        began.elapsed()
    };
    let (told, let_go) = tokio::join!(told, let_go);
    for after in [told, let_go] {
        assert!((SECOND * 6..SECOND * 8).contains(&after), "{after:?}");
    }
    let report = drained(&first).await;
    assert_eq!(report.of(Kind::Http1).cut, 0, "{report}");
}

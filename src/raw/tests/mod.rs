use std::{
    future::{Future, poll_fn},
    io::Write,
    os::unix,
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    runtime::Handle,
    sync::watch,
    time::{Instant, timeout},
};

mod lost;

use super::*;
use crate::{
    Cause, ErrorKind, Graceful, Report, Successor,
    drain::{Drain, EndInput, Kind, Times},
    handover::{Arrivals, Departures, Entrances, Exit},
    name::Name,
    wire::Message,
};

/// A bound for a broken run, and never part of what is tested.
const PATIENCE: Duration = Duration::from_secs(30);

/// Two generations in one process, and their roofs' part by hand. What the predecessor says arrives by `carry`.
struct World {
    exit: Exit,
    departures: Departures,
    predecessor: Drain,
    entrances: Entrances,
    arrivals: Arrivals,
    successor: Drain,
    /// Whose reactor registers what arrives, if not the test's.
    reactor: Option<Handle>,
}

impl World {
    /// The predecessor drains, and its final state has gone.
    fn open() -> Self {
        let mut world = Self::expecting();
        world.departures.open();
        world
    }

    /// The same, and for so long the successor holds what nobody takes.
    fn holding(unclaimed: Duration) -> Self {
        let mut world = Self::new(unclaimed);
        world.departures.open();
        world
    }

    /// The predecessor drains, and its final state is on its way.
    fn expecting() -> Self {
        Self::new(Duration::ZERO)
    }

    fn new(unclaimed: Duration) -> Self {
        let (mut departures, exit) = Departures::new();
        departures.expect();
        let (predecessor, successor, entrances) = (Drain::new(), Drain::new(), Entrances::default());
        predecessor.begin(replaced(), &Times::for_restart());
        let arrivals = Arrivals::new(entrances.clone(), unclaimed);
        Self { exit, departures, predecessor, entrances, arrivals, successor, reactor: None }
    }

    fn inherited(&self, protocol: &str) -> Inherited {
        Inherited::new(&self.entrances, self.successor.tracker(), Name::new(protocol).unwrap())
    }

    fn leave<S: Stream>(
        &self,
        stream: S,
        protocol: &str,
        state: &str,
    ) -> Pin<Box<dyn Future<Output = Result<(), NotHandedOver<S>>>>> {
        let (exit, tracker) = (self.exit.clone(), self.predecessor.tracker());
        let (_, cause) = watch::channel(Some(replaced()));
        Box::pin(leave(exit, tracker, cause, stream, Name::new(protocol), state.into()))
    }

    /// One batch is offered, and answered; but what is taken, the predecessor hears only by what this gives.
    async fn offer(&mut self) -> Vec<u64> {
        let departing = timeout(PATIENCE, self.departures.next()).await.unwrap();
        let Message::Offer(offers) = departing.message else { panic!("no offer") };
        let descriptors = departing.descriptors.iter().map(|fd| Some(fd.try_clone().unwrap()));
        self.arrivals.offered(offers.into_iter().zip(descriptors).collect());
        self.say()
    }

    /// What the successor says now.
    fn say(&mut self) -> Vec<u64> {
        let mut taken = Vec::new();
        for (number, message) in self.arrivals.say() {
            match message {
                Message::Taken(ids) => {
                    let _entered = self.reactor.as_ref().map(Handle::enter);
                    self.arrivals.went_out(number);
                    taken.extend(ids);
                }
                Message::Declined(those) => self.departures.declined(those),
                other => panic!("{other:?}"),
            }
        }
        taken
    }

    /// The same, and the predecessor hears it.
    async fn carry(&mut self) {
        let taken = self.offer().await;
        self.departures.taken(&taken);
    }

    /// What the successor says now, and the predecessor hears.
    fn answer(&mut self) {
        let taken = self.say();
        self.departures.taken(&taken);
    }

    /// What becomes of one that leaves.
    async fn decide<T>(&mut self, mut leaving: Pin<Box<dyn Future<Output = T>>>) -> T {
        assert!(is_pending(&mut leaving).await);
        self.carry().await;
        timeout(PATIENCE, leaving).await.unwrap()
    }

    async fn report(&self) -> Report {
        timeout(PATIENCE, self.predecessor.ended()).await.unwrap()
    }
}

fn replaced() -> Cause {
    Cause::Replaced { by: Successor { pid: 1, generation: 1 } }
}

async fn is_pending<T>(future: &mut (impl Future<Output = T> + Unpin)) -> bool {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx).is_pending())).await
}

/// A client, and the server's end of its connection.
async fn tcp() -> (TcpStream, TcpStream) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

async fn say(stream: &mut (impl AsyncWriteExt + Unpin), words: &str) {
    stream.write_all(words.as_bytes()).await.unwrap();
}

async fn hear(stream: &mut (impl AsyncReadExt + Unpin), words: &str) {
    let mut heard = vec![0; words.len()];
    timeout(PATIENCE, stream.read_exact(&mut heard)).await.unwrap().unwrap();
    assert_eq!(String::from_utf8(heard).unwrap(), words);
}

async fn hear_the_end(stream: &mut (impl AsyncReadExt + Unpin)) {
    assert_eq!(timeout(PATIENCE, stream.read(&mut [0])).await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn a_connection_goes_on_in_the_successor_with_its_state_and_what_lies_unread() {
    let mut world = World::open();
    let mut inherited = world.inherited("lines");
    let (mut client, server) = tcp().await;
    say(&mut client, "unread").await;
    let stream = world.predecessor.tracker().track(server);
    world.decide(world.leave(stream, "lines", "read")).await.unwrap();
    let arrival = timeout(PATIENCE, inherited.next()).await.unwrap().unwrap();
    assert_eq!(arrival.state(), b"read");
    let (mut stream, state) = arrival.into_unix().unwrap_err().into_tcp().unwrap();
    assert_eq!(state, b"read");
    hear(&mut stream, "unread").await;
    say(&mut stream, "answer").await;
    hear(&mut client, "answer").await;
}

#[tokio::test]
async fn a_unix_stream_goes_the_same_way() {
    let mut world = World::open();
    let mut inherited = world.inherited("lines");
    let (mut client, server) = UnixStream::pair().unwrap();
    world.decide(world.leave(server, "lines", "")).await.unwrap();
    let arrival = timeout(PATIENCE, inherited.next()).await.unwrap().unwrap();
    let (mut stream, state) = arrival.into_tcp().unwrap_err().into_unix().unwrap();
    assert_eq!(state, b"");
    say(&mut client, "question").await;
    hear(&mut stream, "question").await;
}

#[tokio::test]
async fn both_kinds_are_reported_as_handed_over_and_the_successor_counts_them() {
    let mut world = World::open();
    let mut inherited = world.inherited("lines");
    let ((_one, plain), (_other, tracked)) = (tcp().await, tcp().await);
    let tracked = world.predecessor.tracker().track(tracked);
    world.decide(world.leave(plain, "lines", "")).await.unwrap();
    assert_eq!(world.predecessor.tracker().len(), 1);
    world.decide(world.leave(tracked, "lines", "")).await.unwrap();
    assert_eq!(world.successor.tracker().len(), 2, "from TAKEN on");
    let report = world.report().await;
    assert_eq!((report.handed_over(), report.of(Kind::Other).handed_over, report.finished()), (2, 2, 0), "{report}");
    drop(inherited.next().await);
    assert_eq!(world.successor.tracker().len(), 1);
    drop(inherited);
    assert!(world.successor.tracker().is_empty());
}

#[tokio::test]
async fn what_is_refused_comes_back_whole() {
    let mut world = World::open();
    let (mut client, server) = tcp().await;
    say(&mut client, "unread").await;
    let stream = world.predecessor.tracker().track(server).end_input(EndInput::AfterWhatCame);
    let refused = world.decide(world.leave(stream, "chat", "read")).await.unwrap_err();
    assert!(refused.to_string().contains("nobody asked for the protocol `chat`"), "{refused}");
    assert!(std::error::Error::source(&refused).is_none(), "what is said once is no source");
    assert_eq!(refused.why().kind(), ErrorKind::Refused);
    let (mut stream, state) = refused.into_parts().unwrap();
    assert_eq!(state, b"read");
    // With what was set on it: its input ends, because the drain has begun.
    let mut heard = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut heard)).await.unwrap().unwrap();
    assert_eq!(heard, "unread");
    say(&mut stream, "answer").await;
    hear(&mut client, "answer").await;
    drop(stream);
    let report = world.report().await;
    assert_eq!((report.finished(), report.handed_over()), (1, 0), "{report}");
}

#[tokio::test]
async fn what_is_undecided_when_the_successor_dies_comes_back() {
    let mut world = World::open();
    let (mut client, server) = tcp().await;
    let mut leaving = world.leave(server, "lines", "");
    assert!(is_pending(&mut leaving).await);
    drop(world.departures.next().await);
    world.departures.channel_ended();
    let refused = timeout(PATIENCE, leaving).await.unwrap().unwrap_err();
    assert_eq!(refused.why().message(), "the successor has ended");
    let (mut stream, _) = refused.into_parts().unwrap();
    say(&mut stream, "answer").await;
    hear(&mut client, "answer").await;
}

/// The successor's channel is held by a child of its own, with the offer that it never read.
#[tokio::test]
async fn what_came_back_ends_for_its_client_although_somebody_holds_a_copy() {
    let mut world = World::open();
    let (mut client, server) = tcp().await;
    let stream = world.predecessor.tracker().track(server);
    let mut leaving = world.leave(stream, "lines", "");
    assert!(is_pending(&mut leaving).await);
    let _unread = world.departures.next().await;
    world.departures.channel_ended();
    drop(timeout(PATIENCE, leaving).await.unwrap().unwrap_err().into_parts());
    hear_the_end(&mut client).await;
}

/// A read of the server's own that waited before counts for nothing after it.
#[tokio::test(start_paused = true)]
async fn the_time_in_which_a_connection_was_away_is_no_pause_of_its_clients() {
    const PAUSE: Duration = Duration::from_secs(2);
    let mut world = World::open();
    let (mut client, server) = UnixStream::pair().unwrap();
    let mut stream = world.predecessor.tracker().track(server).end_input(EndInput::WhenIdle(PAUSE));
    assert!(is_pending(&mut pin!(stream.read(&mut [0]))).await);
    let mut leaving = world.leave(stream, "lines", "");
    assert!(is_pending(&mut leaving).await);
    drop(world.departures.next().await);
    tokio::time::sleep(PAUSE * 2).await;
    world.departures.channel_ended();
    let (mut stream, _) = leaving.await.unwrap_err().into_parts().unwrap();
    assert!(is_pending(&mut pin!(stream.read(&mut [0]))).await, "an end before the client had a chance to say a word");
    say(&mut client, "question").await;
    hear(&mut stream, "question").await;
}

#[tokio::test]
async fn nothing_waits_in_a_generation_that_is_not_replaced() {
    let graceful = Graceful::detached();
    let (mut client, server) = UnixStream::pair().unwrap();
    let refused = timeout(PATIENCE, graceful.hand_over(server, "lines", "read")).await.unwrap().unwrap_err();
    assert_eq!(refused.why().kind(), ErrorKind::Nobody);
    let (server, state) = refused.into_parts().unwrap();
    assert_eq!(state, b"read");
    graceful.stop();
    graceful.watch().draining().await;
    let refused = timeout(PATIENCE, graceful.hand_over(server, "lines", state)).await.unwrap().unwrap_err();
    assert_eq!(refused.why().kind(), ErrorKind::Ending);
    assert_eq!(refused.why().message(), "this generation has no successor: stopped");
    let (mut server, _) = refused.into_parts().unwrap();
    say(&mut server, "answer").await;
    hear(&mut client, "answer").await;
}

#[tokio::test]
async fn a_call_counts_from_its_beginning_and_asks_for_the_cause_when_it_is_awaited() {
    let graceful = Graceful::detached();
    let (_client, server) = UnixStream::pair().unwrap();
    let leaving = graceful.hand_over(server, "lines", "read");
    assert_eq!(graceful.tracker().len(), 1);
    graceful.stop();
    graceful.watch().draining().await;
    let refused = timeout(PATIENCE, leaving).await.unwrap().unwrap_err();
    assert_eq!(refused.why().kind(), ErrorKind::Ending);
    assert!(graceful.tracker().is_empty());
}

#[tokio::test]
async fn too_much_state_and_a_name_that_can_not_be_one_are_refused_at_once() {
    let world = World::open();
    let (_client, server) = UnixStream::pair().unwrap();
    let refused = world.leave(server, "a:b", "").await.unwrap_err();
    assert_eq!(refused.why().kind(), ErrorKind::Name);
    let (server, _) = refused.into_parts().unwrap();
    let refused = world.leave(server, "lines", &"x".repeat(1024 * 1024 + 1)).await.unwrap_err();
    assert_eq!(refused.why().kind(), ErrorKind::State);
    assert_eq!(refused.into_parts().unwrap().1.len(), 1024 * 1024 + 1);
    assert_eq!(Graceful::detached().inherited("a:b").unwrap_err().kind(), ErrorKind::Name);
}

#[tokio::test]
async fn it_waits_for_the_final_state_to_go_first() {
    let mut world = World::expecting();
    let mut inherited = world.inherited("lines");
    let (_client, server) = tcp().await;
    let mut leaving = world.leave(server, "lines", "");
    assert!(is_pending(&mut leaving).await);
    assert!(is_pending(&mut pin!(world.departures.next())).await);
    world.departures.open();
    world.decide(leaving).await.unwrap();
    assert!(inherited.next().await.is_some());
}

#[tokio::test]
async fn who_waits_for_room_when_the_exit_closes_has_lost_nothing() {
    let mut world = World::expecting();
    let (mut client, server) = tcp().await;
    let mut leaving = world.leave(server, "lines", "read");
    assert!(is_pending(&mut leaving).await);
    world.departures.close("the final state did not arrive");
    let refused = timeout(PATIENCE, leaving).await.unwrap().unwrap_err();
    assert_eq!(refused.why().message(), "the final state did not arrive");
    let (mut server, _) = refused.into_parts().unwrap();
    say(&mut server, "answer").await;
    hear(&mut client, "answer").await;
    let (_client, late) = tcp().await;
    let refused = world.leave(late, "lines", "").await.unwrap_err();
    assert_eq!((refused.why().kind(), refused.why().message()), (ErrorKind::Nobody, "the final state did not arrive"));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_room_until_the_deadline_has_the_connection_again() {
    let world = World::expecting();
    let (_client, server) = UnixStream::pair().unwrap();
    let mut leaving = world.leave(server, "lines", "read");
    assert!(is_pending(&mut leaving).await);
    let (refused, report) = tokio::join!(leaving, world.predecessor.ended());
    let refused = refused.unwrap_err();
    assert_eq!(refused.why().kind(), ErrorKind::Deadline);
    assert_eq!(refused.into_parts().unwrap().1, b"read");
    assert_eq!(report.cut_by(Why::LeftBehind), 0, "{report}");
}

#[tokio::test]
async fn a_call_that_is_dropped_before_it_offered_closes_the_connection() {
    let world = World::expecting();
    let (mut client, server) = tcp().await;
    let mut leaving = world.leave(server, "lines", "");
    assert!(is_pending(&mut leaving).await);
    drop(leaving);
    hear_the_end(&mut client).await;
    assert!(world.predecessor.tracker().is_empty());
}

#[tokio::test]
async fn what_arrived_ends_for_its_client_although_the_predecessor_still_holds_its_copy() {
    let mut world = World::open();
    let mut inherited = world.inherited("lines");
    let mut clients = Vec::new();
    for _ in 0..3 {
        let (client, server) = tcp().await;
        let mut leaving = world.leave(server, "lines", "");
        assert!(is_pending(&mut leaving).await);
        clients.push((client, leaving));
    }
    // The predecessor has not heard of it, and all three are undecided for it.
    assert_eq!(world.offer().await.len(), 3);
    // One as it arrives, one as a stream, one that nobody has asked for.
    drop(inherited.next().await);
    drop(inherited.next().await.map(|arrival| arrival.into_tcp().unwrap().0));
    drop(inherited);
    for (mut client, mut leaving) in clients {
        hear_the_end(&mut client).await;
        assert!(is_pending(&mut leaving).await);
    }
}

#[tokio::test]
async fn what_arrived_can_leave_again() {
    let mut first = World::open();
    let mut inherited = first.inherited("lines");
    let (mut client, server) = UnixStream::pair().unwrap();
    first.decide(first.leave(server, "lines", "1")).await.unwrap();
    let (stream, state) = inherited.next().await.unwrap().into_unix().unwrap();
    assert_eq!(state, b"1");
    let mut second = World::open();
    let mut inherited = second.inherited("lines");
    second.decide(second.leave(stream, "lines", "2")).await.unwrap();
    let (mut stream, state) = inherited.next().await.unwrap().into_unix().unwrap();
    assert_eq!(state, b"2");
    say(&mut stream, "answer").await;
    hear(&mut client, "answer").await;
}

#[tokio::test]
async fn several_who_ask_for_one_protocol_get_connections_in_turn() {
    let mut world = World::open();
    let mut inherited = [world.inherited("lines"), world.inherited("lines")];
    let mut clients = Vec::new();
    for _ in 0..2 {
        let (client, server) = tcp().await;
        world.decide(world.leave(server, "lines", "")).await.unwrap();
        clients.push(client);
    }
    for one in &mut inherited {
        assert!(timeout(PATIENCE, one.next()).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn it_is_over_when_the_predecessor_has_gone_and_nothing_is_left() {
    let mut world = World::open();
    let mut inherited = world.inherited("lines");
    let (_client, server) = tcp().await;
    world.decide(world.leave(server, "lines", "")).await.unwrap();
    world.arrivals.predecessor_gone();
    assert!(timeout(PATIENCE, inherited.next()).await.unwrap().is_some());
    assert!(timeout(PATIENCE, inherited.next()).await.unwrap().is_none());
    let mut late = world.inherited("lines");
    assert!(timeout(PATIENCE, late.next()).await.unwrap().is_none());
}

/// One after the other, with clients that hold on.
async fn taken(world: &mut World, many: usize) -> Vec<UnixStream> {
    let mut clients = Vec::new();
    for _ in 0..many {
        let (client, server) = UnixStream::pair().unwrap();
        world.decide(world.leave(server, "lines", "")).await.unwrap();
        clients.push(client);
    }
    clients
}

#[tokio::test(start_paused = true)]
async fn what_nobody_fetches_is_held_behind_the_first_64_and_goes_back_in_the_end() {
    let mut world = World::holding(Duration::from_secs(5));
    let mut inherited = world.inherited("lines");
    world.arrivals.changed().await;
    let _clients = taken(&mut world, 64).await;
    let (_client, server) = UnixStream::pair().unwrap();
    let mut leaving = world.leave(server, "lines", "65");
    assert!(is_pending(&mut leaving).await);
    world.carry().await;
    assert!(is_pending(&mut leaving).await && is_pending(&mut pin!(world.arrivals.changed())).await);
    // One is fetched, and one comes.
    assert!(inherited.next().await.is_some());
    world.arrivals.changed().await;
    world.answer();
    leaving.await.unwrap();
    // None is fetched, and the next goes back.
    let (_client, server) = UnixStream::pair().unwrap();
    let mut leaving = world.leave(server, "lines", "66");
    assert!(is_pending(&mut leaving).await);
    world.carry().await;
    assert_eq!(world.arrivals.next_deadline(), Some(Instant::now() + Duration::from_secs(5)));
    tokio::time::sleep(Duration::from_secs(5)).await;
    world.answer();
    let refused = leaving.await.unwrap_err();
    assert!(refused.to_string().contains("nobody fetched more of the protocol `lines` within 5s"), "{refused}");
    assert_eq!(refused.into_parts().unwrap().1, b"66");
}

#[tokio::test(start_paused = true)]
async fn what_can_not_go_back_any_more_is_taken_although_others_wait() {
    let mut world = World::holding(Duration::from_secs(5));
    let mut inherited = world.inherited("lines");
    let _clients = taken(&mut world, 64).await;
    let (_client, server) = UnixStream::pair().unwrap();
    let mut leaving = world.leave(server, "lines", "65");
    assert!(is_pending(&mut leaving).await);
    world.carry().await;
    world.arrivals.predecessor_gone();
    let mut count = 0;
    while timeout(PATIENCE, inherited.next()).await.unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, 65);
}

#[tokio::test(start_paused = true)]
async fn nothing_arrives_when_the_drain_is_over() {
    let mut world = World::open();
    let _inherited = world.inherited("lines");
    let _held = world.successor.tracker().guard();
    world.successor.begin(replaced(), &Times::for_restart().deadline(Duration::ZERO));
    timeout(PATIENCE, world.successor.ended()).await.unwrap();
    let (_client, server) = UnixStream::pair().unwrap();
    let refused = world.decide(world.leave(server, "lines", "")).await.unwrap_err();
    assert!(refused.to_string().contains("the drain is over"), "{refused}");
}

#[tokio::test]
async fn without_a_predecessor_it_is_over_at_once() {
    let mut inherited = Graceful::detached().inherited("lines").unwrap();
    assert!(timeout(PATIENCE, inherited.next()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_socket_that_was_set_to_block_arrives_non_blocking() {
    let mut world = World::open();
    let mut inherited = world.inherited("lines");
    let (mut client, server) = unix::net::UnixStream::pair().unwrap();
    server.set_nonblocking(true).unwrap();
    let copy = server.try_clone().unwrap();
    let mut leaving = world.leave(UnixStream::from_std(server).unwrap(), "lines", "");
    assert!(is_pending(&mut leaving).await);
    copy.set_nonblocking(false).unwrap();
    world.decide(leaving).await.unwrap();
    let (mut stream, _) = inherited.next().await.unwrap().into_unix().unwrap();
    assert!(is_pending(&mut pin!(stream.read(&mut [0]))).await);
    client.write_all(b"x").unwrap();
    hear(&mut stream, "x").await;
}

#[tokio::test]
async fn no_state_is_printed() {
    let mut world = World::open();
    let (_client, server) = tcp().await;
    let refused = world.decide(world.leave(server, "lines", "a password")).await.unwrap_err();
    assert!(!format!("{refused:?} {refused}").contains("password"));
    let mut inherited = world.inherited("lines");
    let (server, state) = refused.into_parts().unwrap();
    let state = String::from_utf8(state).unwrap();
    world.decide(world.leave(server, "lines", &state)).await.unwrap();
    let printed = format!("{inherited:?} {:?}", inherited.next().await);
    assert!(!printed.contains("password"), "{printed}");
}

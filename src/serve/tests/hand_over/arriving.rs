use std::net::SocketAddr;

use axum::{Router, extract::ConnectInfo, routing::get};
use futures_util::FutureExt;
use tokio::time::{Instant, sleep};

use super::*;
use crate::{
    handover::{Fate, Lane, Leaving, Parcel},
    wire::{Begun, Destination},
};

impl Pair {
    /// Offers a connection that nobody has ever served, and its client.
    fn hand(&mut self, begun: Begun, read: &str, waited: Duration) -> (Client<UnixStream>, Leaving) {
        let (client, server) = UnixStream::pair().unwrap();
        let socket = server.into_std().unwrap().into();
        (Client::new(client), self.hand_socket(socket, begun, read, waited))
    }

    fn hand_socket(&mut self, socket: OwnedFd, begun: Begun, read: &str, waited: Duration) -> Leaving {
        self.departures.expect();
        self.departures.open();
        let to = Destination::Serve { socket: Name::new("http").unwrap(), begun };
        let parcel = Parcel { to, socket, read: read.into(), state: Vec::new(), waited };
        let permit = self.p.exit.try_room(Lane::Serve).unwrap();
        self.p.exit.leave(permit, parcel)
    }

    /// Why it was declined; `None`: it was taken.
    async fn fate(&mut self, leaving: Leaving) -> Option<String> {
        match self.during(leaving).await {
            Fate::Taken => None,
            Fate::Back(_, why) => Some(why),
            Fate::Undecided => panic!("undecided"),
        }
    }
}

#[tokio::test]
async fn connect_info_make_service_and_closure_see_a_connection_as_if_it_was_accepted() {
    let listen = || TcpListener::bind("127.0.0.1:0");
    let (listener, taken_by) = (listen().await.unwrap(), listen().await.unwrap());
    let at_p = listener.local_addr().unwrap();

    let mut pair = Pair::new();
    tokio::spawn(pair.p.serve_as("http", listener, service_fn(hello)));
    let app =
        Router::new().route("/", get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() }));
    tokio::spawn(pair.s.serve_as("http", taken_by, app.into_make_service_with_connect_info::<SocketAddr>()));
    let mut client = Client::new(TcpStream::connect(at_p).await.unwrap());
    let peer = client.io.local_addr().unwrap();
    assert_eq!(client.get().await, kept("hello"));
    let report = pair.begin();
    assert_eq!(pair.during(report).await.unwrap().handed_over(), 1);
    assert_eq!(client.get().await, kept(&peer.to_string()));

    let mut pair = Pair::new();
    let wiring = Wiring { name: Some(Name::new("http").unwrap()), ..pair.s.wiring() };
    let make = crate::serve::With::new(|connection: &crate::serve::Accepted<'_, TcpListener>| {
        let io = connection.io();
        let seen = (io.peer_addr().unwrap(), *connection.peer(), *connection.local(), connection.is_inherited());
        let is_nodelay = io.nodelay().unwrap();
        service_fn(move |_: Request<Incoming>| async move { reply(format!("{seen:?} {is_nodelay}")) })
    });
    let taken_by = listen().await.unwrap();
    let local = taken_by.local_addr().unwrap();
    tokio::spawn(Serve::new(taken_by, make, wiring));
    let (client, server) = tcp().await;
    let peer = client.local_addr().unwrap();
    let leaving = pair.hand_socket(server.into_std().unwrap().into(), Begun::Fresh, "", Duration::ZERO);
    assert_eq!(pair.fate(leaving).await, None);
    let mut client = Client::new(client);
    assert_eq!(client.get().await, kept(&format!("{:?} true", (peer, peer, local, true))));
}

#[tokio::test(start_paused = true)]
async fn an_offer_may_come_before_the_serve_is_polled_and_counts_against_a_limit_that_is_set_later() {
    let mut pair = Pair::new();
    let serve = pair.s.serve_as("http", pair.listener("s"), service_fn(echo_as("s")));
    let (mut first, leaving) = pair.hand(Begun::Http1, "GET /half", Duration::ZERO);
    assert_eq!(pair.fate(leaving).await, None);
    let serve = serve.max_connections(1);
    let (_second, leaving) = pair.hand(Begun::Http1, "", Duration::ZERO);
    assert_eq!(pair.fate(leaving).await.unwrap(), "the successor declined it: no place among max_connections");
    tokio::spawn(serve);
    first.send(" HTTP/1.1\r\nhost: test\r\n\r\n").await;
    assert_eq!(first.answer().await, kept("s/half"));
    drop(first);
    sleep(SECOND).await;
    let (mut third, leaving) = pair.hand(Begun::Fresh, "", Duration::ZERO);
    assert_eq!(pair.fate(leaving).await, None);
    assert_eq!(third.get().await, kept("s/"));
}

#[tokio::test(start_paused = true)]
async fn no_more_are_taken_than_a_few_for_a_make_service_that_is_not_ready_and_the_others_when_it_is() {
    let mut pair = Pair::new();
    let serve = pair.s.serve_as("http", pair.listener("s"), service_fn(echo_as("s")));
    let mut clients = Vec::new();
    for _ in 0..256 {
        let (client, leaving) = pair.hand(Begun::Http1, "", Duration::ZERO);
        assert_eq!(pair.fate(leaving).await, None);
        clients.push(client);
    }
    let (client, mut leaving) = pair.hand(Begun::Http1, "", Duration::ZERO);
    pair.settle().await;
    assert!((&mut leaving).now_or_never().is_none(), "it is held, and not declined");
    clients.push(client);
    tokio::spawn(serve);
    assert_eq!(pair.fate(leaving).await, None);
    for client in &mut clients {
        assert_eq!(client.get().await, kept("s/"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_no_serve_can_take_is_declined_before_it_is_taken() {
    let mut pair = Pair::new();
    let (_client, leaving) = pair.hand(Begun::Http1, "", Duration::ZERO);
    assert!(pair.fate(leaving).await.unwrap().ends_with("nobody serves the socket `http`"));

    let serve = pair.s.serve_as("http", pair.listener("s"), service_fn(echo_as("s")));
    let (_client, server) = tcp().await;
    let leaving = pair.hand_socket(server.into_std().unwrap().into(), Begun::Http1, "", Duration::ZERO);
    assert!(pair.fate(leaving).await.unwrap().ends_with("of another kind than the connection"));
    let serve = serve.handshake(|io| async { Ok(io) });
    let (_client, leaving) = pair.hand(Begun::Http1, "", Duration::ZERO);
    assert!(pair.fate(leaving).await.unwrap().ends_with("nobody serves the socket `http`"));
    drop(serve);

    drop(pair.s.serve_as("http", pair.listener("dropped"), service_fn(echo_as("s"))));
    let (_client, leaving) = pair.hand(Begun::Http1, "", Duration::ZERO);
    assert!(pair.fate(leaving).await.unwrap().ends_with("nobody serves the socket `http`"));

    let (connector, listener) = serving::memory();
    tokio::spawn(pair.s.serve_as("http", listener, service_fn(echo_as("s"))));
    let (_client, leaving) = pair.hand(Begun::Http1, "", Duration::ZERO);
    assert!(pair.fate(leaving).await.unwrap().ends_with("of another kind than the connection"));
    drop(connector);
}

#[tokio::test(start_paused = true)]
async fn a_head_has_no_more_time_than_it_had() {
    for (begun, read) in [(Begun::Http1, "GET /half"), (Begun::Fresh, ""), (Begun::Fresh, "PRI")] {
        let mut pair = Pair::new();
        let serve = pair.s.serve_as("http", pair.listener("s"), service_fn(echo_as("s")));
        tokio::spawn(serve.head_deadline(SECOND * 10));
        let (mut client, leaving) = pair.hand(begun, read, SECOND * 7);
        assert_eq!(pair.fate(leaving).await, None);
        let began = Instant::now();
        client.end().await;
        assert_eq!(began.elapsed(), SECOND * 3, "{begun:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_has_no_more_time_than_it_had_and_the_next_wait_has_all_of_it() {
    let mut pair = Pair::new();
    let serve = pair.s.serve_as("http", pair.listener("s"), service_fn(echo_as("s")));
    tokio::spawn(serve.head_deadline(SECOND).idle_deadline(SECOND * 10));
    let (mut idle, leaving) = pair.hand(Begun::Http1, "", SECOND * 7);
    assert_eq!(pair.fate(leaving).await, None);
    let (mut busy, leaving) = pair.hand(Begun::Http1, "", SECOND * 7);
    assert_eq!(pair.fate(leaving).await, None);
    let began = Instant::now();
    assert_eq!(busy.get().await, kept("s/"));
    idle.end().await;
    assert_eq!(began.elapsed(), SECOND * 3);
    busy.end().await;
    assert_eq!(began.elapsed(), SECOND * 10);
}

/// The predecessor has not heard yet that the connection is not its own, so its copy is open still.
#[tokio::test(start_paused = true)]
async fn a_connection_that_is_dropped_or_cut_ends_for_its_client_whoever_holds_a_copy() {
    let panicking = |_: Request<Incoming>| -> BoxReply { panic!("this handler panics") };
    let hanging = |_: Request<Incoming>| -> BoxReply { Box::pin(std::future::pending()) };

    let (mut client, _copy, _pair) = with_copy(service_fn(panicking), Begun::Http1, GET).await;
    ends(&mut client).await;
    let (mut client, _copy, _pair) = with_copy(service_fn(panicking), Begun::Fresh, GET).await;
    ends(&mut client).await;
    for (begun, read) in [(Begun::Http1, GET), (Begun::Http1, "GET"), (Begun::Http1, ""), (Begun::Fresh, "")] {
        let (mut client, _copy, pair) = with_copy(service_fn(hanging), begun, read).await;
        pair.s.drain(30, 20);
        ends(&mut client).await;
    }
    let (mut client, _copy, _pair) = with_copy(service_fn(hanging), Begun::Http1, "no HTTP\r\n\r\n").await;
    let mut answer = String::new();
    client.io.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");

    // Nobody serves it: the serve is dropped before it was polled.
    let mut pair = Pair::new();
    let serve = pair.s.serve_as("http", pair.listener("s"), service_fn(hanging));
    let (mut client, leaving) = pair.hand(Begun::Http1, "", Duration::ZERO);
    let _copy = pair.departures.next().await;
    pair.offer(&_copy);
    pair.answer();
    drop((serve, leaving));
    ends(&mut client).await;
}

async fn ends(client: &mut Client<UnixStream>) {
    tokio::time::timeout(SECOND * 60, client.end()).await.expect("the client is shown nothing");
}

async fn with_copy<S, M>(service: S, begun: Begun, read: &str) -> (Client<UnixStream>, Departing, Pair)
where
    S: IntoMake<unix::SocketAddr, M>,
    S::Make: Make<UnixListener>,
{
    let mut pair = Pair::new();
    let _serving = tokio::spawn(pair.s.serve_as("http", pair.listener("s"), service));
    let (client, _leaving) = pair.hand(begun, read, Duration::ZERO);
    let copy = pair.departures.next().await;
    pair.offer(&copy);
    pair.answer();
    sleep(SECOND).await;
    (client, copy, pair)
}

#[tokio::test(start_paused = true)]
async fn who_comes_while_we_hand_over_goes_on_at_once() {
    let mut last = Pair::new();
    tokio::spawn(last.s.serve_as("http", last.listener("s"), service_fn(echo_as("last"))));
    let exit = last.p.exit.clone();
    let mut pair = Pair::between(Roof::new(), Roof { exit, ..Roof::new() });
    tokio::spawn(pair.s.serve_as("http", pair.listener("s"), service_fn(echo_as("s"))));
    // One that is busy keeps the serve in the middle alive.
    let (mut busy, leaving) = pair.hand(Begun::Http1, &post(2), Duration::ZERO);
    assert_eq!(pair.fate(leaving).await, None);
    sleep(SECOND).await;

    last.departures.expect();
    last.departures.open();
    let claimed = [Name::new("http").unwrap()].into();
    pair.s.gate.set(Gate::Ended(Ending::Claimed(Arc::new(claimed))));
    let report = pair.s.begin();
    last.settle().await;
    let (mut client, leaving) = pair.hand(Begun::Http1, "GET /ha", Duration::ZERO);
    assert_eq!(pair.fate(leaving).await, None);
    last.settle().await;
    client.send("lf HTTP/1.1\r\nhost: test\r\n\r\n").await;
    assert_eq!(client.answer().await, kept("last/half"));
    busy.send("ab").await;
    assert_eq!(last.during(busy.answer()).await, kept("s/ab"));
    assert_eq!(last.during(report).await.unwrap().handed_over(), 2);
    assert_eq!(busy.get().await, kept("last/"));
    let (_client, leaving) = pair.hand(Begun::Http1, "", Duration::ZERO);
    assert!(pair.fate(leaving).await.is_some(), "there is nobody left");
}

/// As an accepted one has it.
#[tokio::test(start_paused = true)]
async fn a_make_service_that_takes_its_time_delays_only_its_own_connection() {
    let mut pair = Pair::new();
    let (allow, allowed) = watch::channel(false);
    let make = tower::service_fn(move |_: unix::SocketAddr| {
        let mut allowed = allowed.clone();
        async move {
            allowed.wait_for(|allowed| *allowed).await.unwrap();
            Ok::<_, Infallible>(service_fn(echo_as("s")))
        }
    });
    tokio::spawn(pair.s.serve_as("http", pair.listener("s"), make));
    let (mut client, leaving) = pair.hand(Begun::Http1, GET, Duration::ZERO);
    assert_eq!(pair.fate(leaving).await, None);
    client.silence(SECOND).await;
    allow.send_replace(true);
    assert_eq!(client.answer().await, kept("s/"));

    allow.send_replace(false);
    let (mut client, leaving) = pair.hand(Begun::Http1, GET, Duration::ZERO);
    assert_eq!(pair.fate(leaving).await, None);
    let began = Instant::now();
    client.end().await;
    assert_eq!(began.elapsed(), SECOND * 30);
}

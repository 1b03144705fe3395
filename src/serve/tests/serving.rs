use tokio::{
    net::{UnixListener, UnixStream},
    sync::oneshot,
    time::{Instant, sleep, timeout},
};

use super::*;
use crate::{accept::Ending, log::capture::Captured};

/// A listener over memory: what the test connects.
pub(super) struct Memory(mpsc::UnboundedReceiver<io::Result<DuplexStream>>);

pub(super) struct Connector(mpsc::UnboundedSender<io::Result<DuplexStream>>);

pub(super) fn memory() -> (Connector, Memory) {
    let (connect, accept) = mpsc::unbounded_channel();
    (Connector(connect), Memory(accept))
}

impl Connector {
    pub(super) fn connect(&self) -> Client<DuplexStream> {
        let (client, server) = duplex(64 * 1024);
        self.0.send(Ok(server)).ok().unwrap();
        Client::new(client)
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

impl Listener for Memory {
    type Io = DuplexStream;
    type Addr = ();

    fn poll_accept(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<io::Result<(DuplexStream, ())>> {
        match self.0.poll_recv(cx) {
            std::task::Poll::Ready(Some(accepted)) => std::task::Poll::Ready(accepted.map(|io| (io, ()))),
            _ => std::task::Poll::Pending,
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}

fn stop(roof: &Roof) -> JoinHandle<Report> {
    roof.gate.set(Gate::Ended(Ending::Emptied));
    roof.begin()
}

#[tokio::test(start_paused = true)]
async fn nobody_is_served_before_the_gate_opens() {
    let (roof, (connector, listener)) = (Roof::new(), memory());
    roof.gate.set(Gate::Shut);
    let _serving = tokio::spawn(roof.serve(listener, service_fn(hello)));
    let mut client = connector.connect();
    client.send(GET).await;
    client.silence(SECOND).await;
    roof.gate.set(Gate::Open);
    assert_eq!(client.answer().await, kept("hello"));
}

#[tokio::test(start_paused = true)]
async fn serve_resolves_when_its_own_connections_have_ended() {
    let roof = Roof::new();
    let ((mine, listener), (theirs, other)) = (memory(), memory());
    let serving = tokio::spawn(roof.serve(listener, service_fn(hello)));
    let _other = tokio::spawn(roof.serve(other, service_fn(hello)));
    let (mut client, mut stranger) = (mine.connect(), theirs.connect());
    assert_eq!((client.get().await, stranger.get().await), (kept("hello"), kept("hello")));
    let report = stop(&roof);
    sleep(SECOND).await;
    assert!(!serving.is_finished());
    assert_eq!(client.get().await, closing("hello"));
    client.end().await;
    drop(client);
    serving.await.unwrap().unwrap();
    assert!(!report.is_finished(), "the stranger is waited for by the drain");
    drop(stranger);
    assert_eq!(report.await.unwrap().finished(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stop_serves_whoever_waits_in_the_queue() {
    let (roof, (connector, listener)) = (Roof::new(), memory());
    let serving = tokio::spawn(roof.serve(listener, service_fn(hello)));
    let mut clients = [connector.connect(), connector.connect()];
    let report = stop(&roof);
    for client in &mut clients {
        assert_eq!(client.get().await, closing("hello"));
        client.end().await;
    }
    assert!(connector.is_closed());
    drop(clients);
    serving.await.unwrap().unwrap();
    assert_eq!(report.await.unwrap().told(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_serve_that_was_never_polled_is_waited_for_from_the_call_on() {
    let (roof, (connector, listener)) = (Roof::new(), memory());
    let serve = roof.serve(listener, service_fn(hello));
    let mut client = connector.connect();
    let report = stop(&roof);
    sleep(SECOND).await;
    assert!(!report.is_finished());
    let serving = tokio::spawn(serve);
    assert_eq!(client.get().await, closing("hello"));
    client.end().await;
    drop(client);
    serving.await.unwrap().unwrap();
    assert_eq!(report.await.unwrap().told(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_serve_that_a_select_has_turned_away_from_goes_on() {
    let (roof, (connector, listener)) = (Roof::new(), memory());
    let mut serve = roof.serve(listener, service_fn(hello));
    tokio::select! {
        _ = &mut serve => unreachable!(),
        () = sleep(SECOND) => {}
    }
    let mut client = connector.connect();
    assert_eq!(client.get().await, kept("hello"));
    let report = stop(&roof);
    drop(client);
    assert_eq!(report.await.unwrap().took(), Duration::ZERO);
    drop(serve);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_serve_accepts_no_more_and_its_connections_live_on() {
    let (roof, (connector, listener)) = (Roof::new(), memory());
    let mut serve = roof.serve(listener, service_fn(hello));
    let mut client = connector.connect();
    tokio::select! {
        _ = &mut serve => unreachable!(),
        answer = client.get() => assert_eq!(answer, kept("hello")),
    }
    drop(serve);
    sleep(SECOND).await;
    assert!(connector.is_closed());
    assert_eq!(client.get().await, kept("hello"));
    assert_eq!(roof.drain.tracker().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn no_more_than_max_connections_are_accepted() {
    let (roof, (connector, listener)) = (Roof::new(), memory());
    let _serving = tokio::spawn(roof.serve(listener, service_fn(hello)).max_connections(2));
    let (mut first, mut second, mut third) = (connector.connect(), connector.connect(), connector.connect());
    assert_eq!((first.get().await, second.get().await), (kept("hello"), kept("hello")));
    third.send(GET).await;
    third.silence(SECOND).await;
    drop(first);
    assert_eq!(third.answer().await, kept("hello"));
}

#[tokio::test(start_paused = true)]
async fn a_full_serve_lets_go_of_what_is_the_successors() {
    let (roof, (connector, listener)) = (Roof::new(), memory());
    let wiring = Wiring { name: Some(Name::new("http").unwrap()), ..roof.wiring() };
    let make = IntoMake::<(), _>::into_make(service_fn(hello));
    let _serving = tokio::spawn(Serve::new(listener, make, wiring).max_connections(1));
    let mut client = connector.connect();
    assert_eq!(client.get().await, kept("hello"));
    roof.gate.set(Gate::Ended(Ending::Claimed(Arc::new([Name::new("http").unwrap()].into()))));
    sleep(SECOND).await;
    assert!(connector.is_closed());
    assert_eq!(client.get().await, kept("hello"));
}

#[tokio::test(start_paused = true)]
async fn a_full_serve_that_stops_serves_its_queue_as_places_come_free_and_ends_at_the_deadline() {
    let (roof, (connector, listener)) = (Roof::new(), memory());
    let (mut calls, handler) = on_command();
    let serving = tokio::spawn(roof.serve(listener, service_fn(handler)).max_connections(1));
    let mut clients = [connector.connect(), connector.connect(), connector.connect()];
    for client in &mut clients {
        client.send(GET).await;
    }
    let (first, report) = (calls.recv().await.unwrap(), stop(&roof));
    sleep(SECOND).await;
    first.answer.send("first".into()).unwrap();
    assert_eq!(clients[0].answer().await, closing("first"));
    clients[0].io.shutdown().await.unwrap();
    let _second = timeout(SECOND, calls.recv()).await.unwrap().unwrap();
    assert_eq!(report.await.unwrap().took(), SECOND * 20);
    assert!(connector.is_closed());
    serving.await.unwrap().unwrap();
}

/// A make-service that is never ready.
struct Busy<S>(std::marker::PhantomData<S>);

fn busy<S>(_: S) -> Busy<S> {
    Busy(std::marker::PhantomData)
}

impl<S> tower_service::Service<()> for Busy<S> {
    type Response = S;
    type Error = Infallible;
    type Future = std::future::Pending<Result<S, Infallible>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Pending
    }

    fn call(&mut self, (): ()) -> Self::Future {
        unreachable!()
    }
}

#[tokio::test(start_paused = true)]
async fn a_make_service_that_is_never_ready_delays_the_end_until_the_deadline() {
    let (roof, (connector, listener)) = (Roof::new(), memory());
    let serving = tokio::spawn(roof.serve(listener, busy(service_fn(hello))));
    sleep(SECOND).await;
    assert_eq!(stop(&roof).await.unwrap().took(), SECOND * 20);
    assert!(connector.is_closed());
    serving.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_can_never_accept_again_is_told_and_returned() {
    let (mut roof, (connector, listener)) = (Roof::new(), memory());
    let serving = tokio::spawn(roof.serve(listener, service_fn(hello)));
    let mut client = connector.connect();
    assert_eq!(client.get().await, kept("hello"));
    connector.0.send(Err(io::Error::from_raw_os_error(libc::EBADF))).unwrap();
    let error = serving.await.unwrap().unwrap_err();
    assert_eq!(roof.failed.recv().await.unwrap().to_string(), error.to_string());
    assert_eq!(client.get().await, kept("hello"), "its connections live on");
}

#[tokio::test(start_paused = true)]
async fn a_handshake_runs_in_the_connections_own_task_and_has_until_the_head_deadline() {
    let (roof, (connector, listener)) = (Roof::new(), memory());
    let serve = roof.serve(listener, service_fn(hello)).handshake(|mut io| async move {
        let mut word = [0; 5];
        io.read_exact(&mut word).await?;
        Ok(io)
    });
    let _serving = tokio::spawn(serve);
    let (began, mut slow, mut quick) = (Instant::now(), connector.connect(), connector.connect());
    quick.send("hello").await;
    assert_eq!(quick.get().await, kept("hello"));
    slow.send("he").await;
    slow.end().await;
    assert_eq!(began.elapsed(), SECOND * 30);
}

#[tokio::test(start_paused = true)]
async fn after_the_handshake_the_first_head_has_as_much_time_again() {
    let (roof, (connector, listener)) = (Roof::new(), memory());
    let serve = roof.serve(listener, service_fn(hello)).handshake(|io| async move {
        sleep(SECOND * 20).await;
        Ok(io)
    });
    let _serving = tokio::spawn(serve);
    let mut client = connector.connect();
    client.silence(SECOND * 45).await;
    assert_eq!(client.get().await, kept("hello"));
}

#[tokio::test(start_paused = true)]
async fn half_a_handshake_has_5_seconds_in_a_drain() {
    let (roof, (connector, listener)) = (Roof::new(), memory());
    let serve = roof.serve(listener, service_fn(hello)).handshake(|io| async move {
        std::future::pending::<()>().await;
        Ok(io)
    });
    let _serving = tokio::spawn(serve);
    let mut client = connector.connect();
    client.silence(SECOND).await;
    let (began, report) = (Instant::now(), stop(&roof));
    client.end().await;
    assert_eq!(began.elapsed(), SECOND * 5);
    assert_eq!(report.await.unwrap().of(Kind::Handshake).cut_by(Why::HalfOpen), 1);
}

#[tokio::test(start_paused = true)]
async fn half_a_handshake_has_less_in_a_drain_that_is_shortened() {
    let (roof, (connector, listener)) = (Roof::new(), memory());
    let serve = roof.serve(listener, service_fn(hello)).handshake(|io| async move {
        std::future::pending::<()>().await;
        Ok(io)
    });
    let _serving = tokio::spawn(serve);
    let _report = roof.drain(10, 20);
    sleep(SECOND * 6).await;
    let (began, mut client) = (Instant::now(), connector.connect());
    client.silence(SECOND).await;
    roof.drain.shorten(&times(2, 20));
    client.end().await;
    assert_eq!(began.elapsed(), SECOND * 2);
}

#[tokio::test(start_paused = true)]
async fn a_shortage_at_a_stop_is_waited_out_until_the_deadline() {
    let (roof, (connector, listener)) = (Roof::new(), memory());
    for _ in 0..100 {
        connector.0.send(Err(io::Error::from_raw_os_error(libc::EMFILE))).unwrap();
    }
    let serving = tokio::spawn(roof.serve(listener, service_fn(hello)));
    let (began, report) = (Instant::now(), stop(&roof));
    serving.await.unwrap().unwrap();
    assert_eq!((began.elapsed(), report.await.unwrap().took()), (SECOND * 20, SECOND * 20));
}

#[tokio::test(start_paused = true)]
async fn a_place_is_taken_until_an_upgraded_connection_closes() {
    let (roof, (connector, listener)) = (Roof::new(), memory());
    let (give, given) = oneshot::channel();
    let give = Arc::new(Mutex::new(Some(give)));
    let service = service_fn(move |request: Request<Incoming>| {
        let upgrades = request.headers().contains_key("upgrade");
        if let Some(give) = give.lock().unwrap().take() {
            tokio::spawn(async move { give.send(::hyper::upgrade::on(request).await.unwrap()) });
        }
        async move {
            let mut response = reply("hello")?;
            if upgrades {
                *response.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
            }
            Ok::<_, Infallible>(response)
        }
    });
    let _serving = tokio::spawn(roof.serve(listener, service).max_connections(1));
    let (mut first, mut second) = (connector.connect(), connector.connect());
    first.send("GET / HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n").await;
    let upgraded = given.await.unwrap();
    second.send(GET).await;
    second.silence(SECOND).await;
    drop(upgraded);
    assert_eq!(second.answer().await, kept("hello"));
}

#[tokio::test]
async fn a_unix_listener_is_served() {
    let path = std::env::temp_dir().join(format!("serve-{}.sock", std::process::id()));
    let listener = UnixListener::bind(&path).unwrap();
    let roof = Roof::new();
    let serving = tokio::spawn(roof.serve(listener, service_fn(hello)));
    let mut client = Client::new(UnixStream::connect(&path).await.unwrap());
    std::fs::remove_file(&path).unwrap();
    assert_eq!(client.get().await, kept("hello"));
    let report = stop(&roof);
    drop(client);
    serving.await.unwrap().unwrap();
    assert!(report.await.unwrap().is_clean());
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_connection_is_logged_with_its_socket_its_kind_and_its_error() {
    let captured = Captured::new();
    let (roof, (connector, listener)) = (Roof::new(), memory());
    let _serving = tokio::spawn(roof.serve_as("http", listener, service_fn(hello)));
    let mut client = connector.connect();
    assert_eq!(client.get().await, kept("hello"));
    drop(client);
    let mut rude = connector.connect();
    rude.send("this is no HTTP\r\n\r\n").await;
    drop(rude);
    sleep(SECOND).await;
    assert!(stop(&roof).await.unwrap().is_clean());
    let said = captured.said("debug");
    let ends = said.iter().filter(|line| line.message() == "a connection ended");
    let ends: Vec<_> = ends.map(|end| (end.of("socket"), end.of("kind"), end.has("error"))).collect();
    assert_eq!(ends, [("http", "http1", false), ("http", "http1", true)]);
}

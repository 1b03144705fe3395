use tokio::time::{Instant, sleep};

use super::*;

#[tokio::test(start_paused = true)]
async fn the_next_response_says_close_and_the_connection_ends_with_it() {
    let roof = Roof::new();
    let (mut client, served) = roof.spawn(service_fn(hello));
    assert_eq!(client.get().await, kept("hello"));
    let report = roof.begin();
    client.silence(SECOND).await;
    assert_eq!(client.get().await, closing("hello"));
    client.end().await;
    drop(client);
    served.await.unwrap().unwrap();
    let report = report.await.unwrap();
    assert_eq!((report.of(Kind::Http1).told, report.took(), report.is_clean()), (1, SECOND, true));
}

#[tokio::test(start_paused = true)]
async fn a_response_in_the_making_says_close() {
    let roof = Roof::new();
    let (mut calls, handler) = on_command();
    let (mut client, _) = roof.spawn(service_fn(handler));
    client.send(GET).await;
    let call = calls.recv().await.unwrap();
    let report = roof.drain(1, 20);
    client.silence(SECOND * 10).await;
    call.answer.send("late".into()).unwrap();
    assert_eq!(client.answer().await, closing("late"));
    client.end().await;
    drop(client);
    assert_eq!(report.await.unwrap().told(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_let_go_at_the_grace_with_a_clean_end() {
    let roof = Roof::new();
    let (mut client, _) = roof.spawn(service_fn(hello));
    assert_eq!(client.get().await, kept("hello"));
    let (began, report) = (Instant::now(), roof.begin());
    client.end().await;
    assert_eq!(began.elapsed(), SECOND * 5);
    drop(client);
    let report = report.await.unwrap();
    assert_eq!((report.took(), report.finished(), report.told()), (SECOND * 5, 1, 0));
    assert!(report.is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_keeps_its_half_of_a_let_go_connection_open_is_waited_for_5_seconds() {
    let roof = Roof::new();
    let (mut client, _) = roof.spawn(service_fn(hello));
    assert_eq!(client.get().await, kept("hello"));
    let report = roof.begin();
    client.end().await;
    assert_eq!(report.await.unwrap().took(), SECOND * 10);
}

#[tokio::test(start_paused = true)]
async fn a_request_after_the_let_go_is_counted_as_raced() {
    let roof = Roof::new();
    let (mut client, _) = roof.spawn(service_fn(hello));
    assert_eq!(client.get().await, kept("hello"));
    let report = roof.begin();
    client.end().await;
    client.send(GET).await;
    client.end().await;
    drop(client);
    let report = report.await.unwrap();
    assert_eq!((report.of(Kind::Http1).raced, report.finished(), report.is_clean()), (1, 0, false));
}

/// The client's request lies in the kernel when the grace ends, and the reactor has not told: there is no await between.
#[tokio::test]
async fn a_request_that_races_the_let_go_is_served_and_told() {
    for _ in 0..20 {
        let roof = Roof::new();
        let (client, server) = tcp().await;
        let mut connection = std::pin::pin!(roof.connection(server, service_fn(hello)));
        let mut client = Client::new(client);
        client.send(GET).await;
        let answer = tokio::select! {
            answer = client.answer() => answer,
            ended = &mut connection => panic!("{ended:?}"),
        };
        assert_eq!(answer, kept("hello"));
        assert!(once(connection.as_mut()).await.is_none());

        let client = client.io.into_std().unwrap();
        io::Write::write_all(&mut &client, GET.as_bytes()).unwrap();
        roof.drain.begin(Cause::Stopped { by: None }, &Times::for_stop().grace(Duration::ZERO).at_once());
        assert!(once(roof.drain.run()).await.is_none());
        assert_eq!(roof.drain.watch().level(), crate::drain::Level::GraceOver);
        let _ = once(connection.as_mut()).await;

        let mut client = Client::new(TcpStream::from_std(client).unwrap());
        tokio::select! {
            answer = client.answer() => assert_eq!(answer, closing("hello")),
            ended = &mut connection => panic!("{ended:?}"),
        }
        drop(client);
        connection.await.unwrap();
    }
}

/// What it is after one poll.
async fn once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|cx| {
        std::task::Poll::Ready(match future.as_mut().poll(cx) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

/// A connection whose response head went out before the drain, so that it could say nothing, and whose body ends after
/// the grace.
async fn untold_after_the_grace() -> (Client<DuplexStream>, JoinHandle<Report>) {
    let roof = Roof::new();
    let (release, late) = tokio::sync::oneshot::channel();
    let late = Arc::new(Mutex::new(Some(Late::new(late))));
    let (mut client, _) = roof.spawn(service_fn(move |_| {
        let body = late.lock().unwrap().take().unwrap_or_else(Late::now);
        async { Ok::<_, Infallible>(Response::new(body)) }
    }));
    client.send(GET).await;
    sleep(SECOND).await;
    let report = roof.drain(2, 60);
    sleep(SECOND * 10).await;
    release.send(()).unwrap();
    assert_eq!(client.answer().await, kept("!"));
    (client, report)
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_idles_only_after_the_grace_is_told_if_it_asks_in_that_time() {
    let (mut client, report) = untold_after_the_grace().await;
    client.silence(SECOND).await;
    assert_eq!(client.get().await, closing("!"));
    client.end().await;
    drop(client);
    let report = report.await.unwrap();
    assert_eq!((report.told(), report.is_clean()), (1, true));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_idles_only_after_the_grace_is_let_go_after_as_long() {
    let (mut client, report) = untold_after_the_grace().await;
    let began = Instant::now();
    client.end().await;
    assert_eq!(began.elapsed(), SECOND * 2);
    drop(client);
    let report = report.await.unwrap();
    assert_eq!((report.finished(), report.told()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn half_open_connections_have_5_seconds() {
    let roof = Roof::new();
    let (mut fresh, _) = roof.spawn(service_fn(hello));
    let (mut half, _) = roof.spawn(service_fn(hello));
    let (mut second_half, _) = roof.spawn(service_fn(hello));
    assert_eq!(second_half.get().await, kept("hello"));
    half.send("GET / HT").await;
    second_half.send("GET / HT").await;
    sleep(SECOND).await;
    let (began, report) = (Instant::now(), roof.drain(15, 20));
    for client in [&mut half, &mut second_half] {
        client.end().await;
        assert_eq!(began.elapsed(), SECOND * 5);
    }
    fresh.end().await;
    assert_eq!(began.elapsed(), SECOND * 15, "it has nothing half done, so it has its turn as if it idled");
    drop((fresh, half, second_half));
    let report = report.await.unwrap();
    assert_eq!((report.of(Kind::Fresh).finished, report.of(Kind::Http1).cut_by(Why::HalfOpen)), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_head_that_begins_during_the_drain_has_5_seconds_of_its_own() {
    let roof = Roof::new();
    let (mut client, _) = roof.spawn(service_fn(hello));
    let (mut slow, _) = roof.spawn(service_fn(hello));
    assert_eq!((client.get().await, slow.get().await), (kept("hello"), kept("hello")));
    let report = roof.drain(15, 40);
    sleep(SECOND * 13).await;
    let (first, rest) = GET.split_at(9);
    client.send(first).await;
    slow.send(first).await;
    sleep(SECOND * 4).await;
    client.send(rest).await;
    assert_eq!(client.answer().await, closing("hello"));
    let began = Instant::now();
    slow.end().await;
    assert_eq!(began.elapsed(), SECOND);
    drop((client, slow));
    let report = report.await.unwrap();
    assert_eq!((report.told(), report.cut()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_comes_during_the_drain_is_served_once() {
    let roof = Roof::new();
    let holding = roof.drain.tracker().guard();
    let report = roof.begin();
    sleep(SECOND * 4).await;
    let (mut client, _) = roof.spawn(service_fn(hello));
    sleep(SECOND * 3).await;
    assert_eq!(client.get().await, closing("hello"));
    client.end().await;
    drop((client, holding));
    assert_eq!(report.await.unwrap().told(), 1);
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_a_request_is_cut_and_an_idle_connection_is_not_counted_as_cut() {
    let roof = Roof::new();
    let (mut calls, handler) = on_command();
    let (mut busy, cut) = roof.spawn(service_fn(handler));
    let (mut idle, let_go) = roof.spawn(service_fn(hello));
    busy.send(GET).await;
    let call = calls.recv().await.unwrap();
    assert_eq!(idle.get().await, kept("hello"));
    let report = roof.drain(20, 20);
    idle.end().await;
    busy.end().await;
    let report = report.await.unwrap();
    assert_eq!((report.of(Kind::Http1).cut_by(Why::Deadline), report.finished(), report.took()), (1, 1, SECOND * 20));
    assert!(call.answer.is_closed(), "the handler is dropped");
    assert_eq!(cut.await.unwrap().unwrap_err().to_string(), "cut at the drain's deadline");
    let_go.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_request_that_lies_in_the_kernel_at_the_deadline_counts_as_cut() {
    let roof = Roof::new();
    let (client, server) = tcp().await;
    let mut client = Client::new(client);
    let _served = tokio::spawn(roof.connection(server, service_fn(hello)));
    assert_eq!(client.get().await, kept("hello"));
    let report = roof.begin();
    tokio::task::yield_now().await;
    let io = client.io;
    io.writable().await.unwrap();
    io.try_write(GET.as_bytes()).unwrap();
    roof.drain.cut();
    let report = report.await.unwrap();
    assert_eq!((report.finished(), report.cut()), (0, 1), "{report}");
}

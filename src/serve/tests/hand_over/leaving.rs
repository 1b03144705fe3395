use http::{HeaderValue, StatusCode};
use tokio::time::sleep;

use super::*;
use crate::serve::HandOver;

#[tokio::test(start_paused = true)]
async fn a_connection_moves_between_two_requests_and_its_client_is_told_nothing() {
    let mut pair = Pair::new();
    let mut client = pair.connected(service_fn(echo_as("p")), service_fn(echo_as("s"))).await;
    assert_eq!(client.get().await, kept("p/"));
    let report = pair.begin();
    let report = pair.during(report).await.unwrap();
    assert_eq!((client.get().await, client.get().await), (kept("s/"), kept("s/")));
    assert_eq!((report.of(Kind::Http1).handed_over, report.total().handed_over, report.finished()), (1, 1, 0));
    assert_eq!((report.took(), report.is_clean()), (Duration::ZERO, true));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_has_said_nothing_moves() {
    let mut pair = Pair::new();
    let mut client = pair.connected(service_fn(echo_as("p")), service_fn(echo_as("s"))).await;
    pair.settle().await;
    let report = pair.begin();
    assert_eq!(pair.during(report).await.unwrap().of(Kind::Fresh).handed_over, 1);
    assert_eq!(client.get().await, kept("s/"));
}

#[tokio::test(start_paused = true)]
async fn the_beginning_of_a_preface_moves_and_either_protocol_may_follow() {
    let mut pair = Pair::new();
    let mut client = pair.connected(service_fn(echo_as("p")), service_fn(echo_as("s"))).await;
    client.send("P").await;
    pair.settle().await;
    let report = pair.begin();
    assert_eq!(pair.during(report).await.unwrap().of(Kind::Fresh).handed_over, 1);
    client.send("OST / HTTP/1.1\r\nhost: test\r\ncontent-length: 1\r\n\r\nx").await;
    assert_eq!(client.answer().await, kept("s/x"));
}

#[tokio::test(start_paused = true)]
async fn half_a_head_travels() {
    let mut pair = Pair::new();
    let mut client = pair.connected(service_fn(echo_as("p")), service_fn(echo_as("s"))).await;
    assert_eq!(client.get().await, kept("p/"));
    client.send("GET /half HT").await;
    pair.settle().await;
    let report = pair.begin();
    assert_eq!(pair.during(report).await.unwrap().handed_over(), 1);
    client.send("TP/1.1\r\nhost: test\r\n\r\n").await;
    assert_eq!(client.answer().await, kept("s/half"));
}

/// hyper never waits for a head there: the next request is in before the answer to this one is out.
#[tokio::test]
async fn a_deep_pipeline_moves_in_its_middle_and_every_request_is_answered_once_and_in_order() {
    const REQUESTS: usize = 4_000;
    let mut pair = Pair::new();
    let mut client = pair.connected(service_fn(echo_as("p")), service_fn(echo_as("s"))).await;
    // All of them lie there, so that the kernel never says that there is nothing to read.
    let requests = (0..REQUESTS).map(|request| format!("GET /{request} HTTP/1.1\r\nhost: x\r\n\r\n"));
    client.send(&requests.collect::<String>()).await;
    let mut by_p = 0;
    let mut read = |answer: Answer, request: usize| {
        let is_of_p = answer.body.starts_with('p');
        assert!(!is_of_p || by_p == request, "it has come back");
        by_p += usize::from(is_of_p);
        assert_eq!((&answer.body[1..], answer.closes), (&*format!("/{request}"), false));
    };
    for request in 0..10 {
        read(client.answer().await, request);
    }
    let _report = pair.begin();
    for request in 10..REQUESTS {
        read(pair.during(client.answer()).await, request);
    }
    assert!((10..REQUESTS / 2).contains(&by_p), "{by_p}");
}

#[tokio::test(start_paused = true)]
async fn a_body_in_flight_is_not_moved_and_its_connection_is_once_it_is_answered() {
    let chunked = "POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n";
    for (begun, rest) in [(post(4) + "ab", "cd"), (chunked.to_owned(), "2\r\ncd\r\n0\r\n\r\n")] {
        let mut pair = Pair::new();
        let mut client = pair.connected(service_fn(echo_as("p")), service_fn(echo_as("s"))).await;
        client.send(&begun).await;
        pair.settle().await;
        let report = pair.begin();
        pair.settle().await;
        assert!(!report.is_finished());
        client.send(rest).await;
        assert_eq!(pair.during(client.answer()).await, kept("p/abcd"));
        assert_eq!(pair.during(report).await.unwrap().handed_over(), 1);
        assert_eq!(client.get().await, kept("s/"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_an_upload_that_is_under_way_keeps_the_connection_until_the_upload_is_over() {
    let mut pair = Pair::new();
    let (mut calls, handler) = on_command();
    let mut client = pair.connected(service_fn(handler), service_fn(echo_as("s"))).await;
    client.send(&(post(4) + "ab")).await;
    let call = calls.recv().await.unwrap();
    let report = pair.begin();
    call.answer.send("early".into()).unwrap();
    assert_eq!(pair.during(client.answer()).await, kept("early"));
    pair.settle().await;
    assert!(!report.is_finished());
    let reading = tokio::spawn(call.request.into_body().collect());
    client.send("cd").await;
    assert_eq!(pair.during(report).await.unwrap().handed_over(), 1);
    assert_eq!(client.get().await, kept("s/"));
    reading.abort();
}

#[tokio::test(start_paused = true)]
async fn who_awaits_100_continue_is_not_moved_before_its_answer() {
    let mut pair = Pair::new();
    let mut client = pair.connected(service_fn(echo_as("p")), service_fn(echo_as("s"))).await;
    client.send("POST / HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 100);
    let report = pair.begin();
    pair.settle().await;
    assert!(!report.is_finished());
    client.send("ab").await;
    assert_eq!(pair.during(client.answer()).await, kept("p/ab"));
    assert_eq!(pair.during(report).await.unwrap().handed_over(), 1);
    assert_eq!(client.get().await, kept("s/"));
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_stays_from_its_request_on() {
    let mut pair = Pair::new();
    let (answer, answered) = tokio::sync::oneshot::channel::<()>();
    let answered = Arc::new(Mutex::new(Some(answered)));
    let handler = move |request: Request<Incoming>| -> BoxReply {
        let answered = answered.lock().unwrap().take().unwrap();
        tokio::spawn(async move {
            let mut raw = hyper_util::rt::TokioIo::new(::hyper::upgrade::on(request).await.unwrap());
            let mut word = [0; 5];
            raw.read_exact(&mut word).await.unwrap();
            raw.write_all(&word).await.unwrap();
        });
        Box::pin(async move {
            answered.await.unwrap();
            let mut response = reply("")?;
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            Ok(response)
        })
    };
    let mut client = pair.connected(service_fn(handler), service_fn(echo_as("s"))).await;
    client.send("GET / HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n").await;
    pair.settle().await;
    let report = pair.begin();
    pair.settle().await;
    answer.send(()).unwrap();
    assert_eq!(pair.during(client.answer()).await.status, 101);
    client.send("hello").await;
    let mut word = [0; 5];
    pair.during(client.io.read_exact(&mut word)).await.unwrap();
    assert_eq!(&word, b"hello");
    assert_eq!(pair.during(report).await.unwrap().of(Kind::Upgraded).finished, 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_close_or_speaks_http_1_0_stays_and_is_told() {
    let close = "POST / HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: 2\r\n\r\na";
    let old = "POST / HTTP/1.0\r\nhost: test\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\na";
    // In HTTP/1.0 it is told by the want of `keep-alive`.
    for (begun, closes, told) in [(close, true, 0), (old, false, 1)] {
        let mut pair = Pair::new();
        let mut client = pair.connected(service_fn(echo_as("p")), service_fn(echo_as("s"))).await;
        client.send(begun).await;
        pair.settle().await;
        let report = pair.begin();
        client.send("b").await;
        assert_eq!(pair.during(client.answer()).await, Answer { closes, ..kept("p/ab") });
        client.end().await;
        drop(client);
        let report = pair.during(report).await.unwrap();
        assert_eq!((report.handed_over(), report.told()), (0, told));
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_says_never_keeps_its_connection_from_then_on() {
    let mut pair = Pair::new();
    let handler = |request: Request<Incoming>| async move {
        let mut response = reply("p")?;
        if request.uri().path() == "/login" {
            response.extensions_mut().insert(HandOver::Never);
        }
        Ok::<_, Infallible>(response)
    };
    let mut client = pair.connected(service_fn(handler), service_fn(echo_as("s"))).await;
    let mut other = pair.connect().await;
    client.send("GET /login HTTP/1.1\r\nhost: test\r\n\r\n").await;
    assert_eq!((client.answer().await, other.get().await), (kept("p"), kept("p")));
    assert_eq!(client.get().await, kept("p"));
    let report = pair.begin();
    pair.settle().await;
    assert_eq!((client.get().await, other.get().await), (closing("p"), kept("s/")));
    client.end().await;
    drop(client);
    let report = pair.during(report).await.unwrap();
    assert_eq!((report.handed_over(), report.told()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_serve_that_says_never_keeps_its_connections_and_takes_none() {
    let mut pair = Pair::new();
    let serve = pair.p.serve_as("http", pair.listener("p"), service_fn(echo_as("p")));
    tokio::spawn(serve.hand_over(HandOver::Never));
    let mut client = pair.connect().await;
    assert_eq!(client.get().await, kept("p/"));
    let report = pair.begin();
    pair.settle().await;
    assert_eq!(client.get().await, closing("p/"));
    client.end().await;
    drop(client);
    assert_eq!(pair.during(report).await.unwrap().told(), 1);

    let mut pair = Pair::new();
    tokio::spawn(pair.p.serve_as("http", pair.listener("p"), service_fn(echo_as("p"))));
    let serve = pair.s.serve_as("http", pair.listener("s"), service_fn(echo_as("s")));
    tokio::spawn(serve.hand_over(HandOver::Never));
    let mut client = pair.connect().await;
    assert_eq!(client.get().await, kept("p/"));
    let _report = pair.begin();
    pair.settle().await;
    assert_eq!(client.get().await, closing("p/"));
}

#[tokio::test(start_paused = true)]
async fn what_has_shaken_hands_is_drained_though_it_runs_on_a_plain_socket() {
    let mut pair = Pair::new();
    let serve = pair.p.serve_as("http", pair.listener("p"), service_fn(echo_as("p")));
    tokio::spawn(serve.handshake(|io| async { Ok(io) }).hand_over(HandOver::BetweenRequests));
    let mut client = pair.connect().await;
    assert_eq!(client.get().await, kept("p/"));
    let _report = pair.begin();
    pair.settle().await;
    assert_eq!(pair.during(client.get()).await, closing("p/"));
    client.end().await;
}

/// What speaks TLS is no socket to us, though one is beneath it.
#[tokio::test(start_paused = true)]
async fn what_is_no_socket_is_drained() {
    let mut pair = Pair::new();
    let (client, server) = duplex(1024);
    let (drain, exit) = (&pair.p.drain, pair.p.exit.clone());
    let mut settings = crate::serve::settings::Settings::new();
    (settings.exit, settings.socket) = (exit, Some(Name::new("http").unwrap()));
    let ticket = crate::serve::link::Ticket { guard: drain.tracker().guard(), slot: None, family: None };
    let service = IntoService::into_service(service_fn(echo_as("p")));
    let connection = Connection::of_serve(server, service, drain.watch(), ticket, Arc::new(settings));
    tokio::spawn(connection);
    let mut client = Client::new(client);
    assert_eq!(client.get().await, kept("p/"));
    let _report = pair.begin();
    pair.settle().await;
    assert_eq!(client.get().await, closing("p/"));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_declined_is_served_as_before_and_told() {
    let mut pair = Pair::new();
    tokio::spawn(pair.p.serve_as("http", pair.listener("p"), service_fn(echo_as("p"))));
    let (mut client, mut half, mut idle) = (pair.connect().await, pair.connect().await, pair.connect().await);
    assert_eq!((client.get().await, half.get().await), (kept("p/"), kept("p/")));
    half.send("GET /half HT").await;
    pair.settle().await;
    let report = pair.begin();
    pair.settle().await;
    assert_eq!(client.get().await, closing("p/"));
    client.end().await;
    half.send("TP/1.1\r\nhost: test\r\n\r\n").await;
    assert_eq!(half.answer().await, closing("p/half"));
    half.end().await;
    drop((client, half));
    idle.end().await;
    drop(idle);
    let report = pair.during(report).await.unwrap();
    assert_eq!((report.handed_over(), report.told(), report.finished()), (0, 2, 3));
    assert!(SECOND * 5 <= report.took() && report.took() < SECOND * 6, "{report}");
}

#[tokio::test(start_paused = true)]
async fn half_a_head_that_comes_back_has_no_more_time_than_it_had() {
    let mut pair = Pair::new();
    let serve = pair.p.serve_as("http", pair.listener("p"), service_fn(echo_as("p")));
    tokio::spawn(serve.head_deadline(SECOND * 3));
    let mut client = pair.connect().await;
    assert_eq!(client.get().await, kept("p/"));
    client.send("GET /half HT").await;
    sleep(SECOND * 2).await;
    let _report = pair.begin();
    let began = tokio::time::Instant::now();
    pair.during(client.end()).await;
    assert_eq!(began.elapsed().as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_told_or_let_go_while_the_exit_is_expected_to_open() {
    let mut pair = Pair::new();
    let mut client = pair.connected(service_fn(echo_as("p")), service_fn(echo_as("s"))).await;
    let fresh = pair.connect().await;
    assert_eq!(client.get().await, kept("p/"));
    pair.departures.expect();
    let report = pair.end_of_p();
    sleep(SECOND * 10).await;
    assert_eq!(client.get().await, kept("p/"));
    pair.departures.open();
    assert_eq!(pair.during(report).await.unwrap().handed_over(), 2);
    assert_eq!(client.get().await, kept("s/"));
    drop(fresh);
}

#[tokio::test(start_paused = true)]
async fn an_exit_that_closes_leaves_those_who_wait_to_the_drain() {
    let mut pair = Pair::new();
    let mut client = pair.connected(service_fn(echo_as("p")), service_fn(echo_as("s"))).await;
    let mut idle = pair.connect().await;
    assert_eq!((client.get().await, idle.get().await), (kept("p/"), kept("p/")));
    pair.departures.expect();
    let report = pair.end_of_p();
    sleep(SECOND).await;
    pair.departures.close("the successor has ended");
    assert_eq!(client.get().await, closing("p/"));
    idle.end().await;
    drop((client, idle));
    assert_eq!((report.await.unwrap().finished()), 2);
}

#[tokio::test(start_paused = true)]
async fn more_than_there_is_room_for_leave_one_after_the_other() {
    let mut pair = Pair::new();
    let first = pair.connected(service_fn(echo_as("p")), service_fn(echo_as("s"))).await;
    let mut clients = vec![first];
    for _ in 1..200 {
        clients.push(pair.connect().await);
    }
    for client in &mut clients {
        assert_eq!(client.get().await, kept("p/"));
    }
    let report = pair.begin();
    assert_eq!(pair.during(report).await.unwrap().handed_over(), 200);
    for client in &mut clients {
        assert_eq!(client.get().await, kept("s/"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_away_at_the_deadline_is_undecided_and_what_was_taken_just_before_is_not() {
    for is_taken in [false, true] {
        let mut pair = Pair::new();
        let mut client = pair.connected(service_fn(echo_as("p")), service_fn(echo_as("s"))).await;
        assert_eq!(client.get().await, kept("p/"));
        let report = pair.begin();
        let offered = pair.departures.next().await;
        pair.offer(&offered);
        if is_taken {
            sleep(SECOND * 19).await;
            pair.answer();
        } else {
            pair.p.drain.watch().reached(crate::drain::Level::Over).await;
            pair.departures.deadline();
        }
        let report = report.await.unwrap();
        assert_eq!((report.handed_over(), report.cut_by(Why::Undecided)), (is_taken.into(), (!is_taken).into()));
        if !is_taken {
            // The successor may decide later still: it alone does.
            drop(offered);
            pair.answer();
        }
        assert_eq!(client.get().await, kept("s/"));
    }
}

/// A response that says so itself would otherwise be lost among what we say.
#[tokio::test(start_paused = true)]
async fn a_handler_that_says_close_ends_the_connection_here() {
    let mut pair = Pair::new();
    let handler = |_: Request<Incoming>| async {
        let mut response = reply("bye")?;
        response.headers_mut().insert(http::header::CONNECTION, HeaderValue::from_static("close"));
        Ok::<_, Infallible>(response)
    };
    let mut client = pair.connected(service_fn(handler), service_fn(echo_as("s"))).await;
    client.send(&(post(2) + "a")).await;
    pair.settle().await;
    let report = pair.begin();
    client.send("b").await;
    assert_eq!(pair.during(client.answer()).await, closing("bye"));
    client.end().await;
    drop(client);
    assert_eq!(pair.during(report).await.unwrap().handed_over(), 0);
}

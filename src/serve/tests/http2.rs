use tokio::time::{Instant, sleep};

use super::*;
use crate::drain::Policy;

/// An HTTP/2 client that does what the test says and no more: it answers no SETTINGS and no PING by itself.
struct Frames(Client<DuplexStream>);

#[derive(Debug, PartialEq, Eq)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

const DATA: u8 = 0;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;

impl Frames {
    async fn greet(mut client: Client<DuplexStream>) -> Self {
        client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        let mut frames = Self(client);
        frames.send(SETTINGS, 0, 0, b"").await;
        frames
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = vec![len[1], len[2], len[3], kind, flags];
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.0.io.write_all(&frame).await.unwrap();
    }

    /// GET /, by HPACK's static table.
    async fn get(&mut self, stream: u32) {
        self.send(1, 0x4 | END_STREAM, stream, b"\x82\x86\x84\x41\x04test").await;
    }

    async fn frame(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        if self.0.io.read(&mut head[..1]).await.unwrap() == 0 {
            return None;
        }
        self.0.io.read_exact(&mut head[1..]).await.unwrap();
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        self.0.io.read_exact(&mut payload).await.unwrap();
        let stream = u32::from_be_bytes(head[5..].try_into().unwrap());
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    async fn next(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.frame().await.expect("the connection ended");
            if frame.kind == kind {
                return frame;
            }
        }
    }

    /// The body of this stream's answer.
    async fn body(&mut self, stream: u32) -> String {
        let mut body = Vec::new();
        loop {
            let frame = self.next(DATA).await;
            assert_eq!(frame.stream, stream);
            body.extend(frame.payload);
            if frame.flags & END_STREAM != 0 {
                return String::from_utf8(body).unwrap();
            }
        }
    }

    /// The last stream that will be answered.
    async fn goaway(&mut self) -> u32 {
        u32::from_be_bytes(self.next(GOAWAY).await.payload[..4].try_into().unwrap())
    }

    async fn pong(&mut self) {
        let ping = self.next(PING).await;
        self.send(PING, ACK, 0, &ping.payload).await;
    }

    async fn end(&mut self) {
        while self.frame().await.is_some() {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_says_goaway_twice_and_a_stream_opened_in_between_is_answered() {
    let roof = Roof::new();
    let (client, served) = roof.spawn(service_fn(hello));
    let mut client = Frames::greet(client).await;
    client.get(1).await;
    assert_eq!(client.body(1).await, "hello");
    sleep(SECOND).await;
    let report = roof.begin();
    assert_eq!(client.goaway().await, (1 << 31) - 1);
    client.get(3).await;
    assert_eq!(client.body(3).await, "hello");
    // A PING of hyper's own is due after the GOAWAY; it was read with the answer's frames if it came before them.
    client.send(PING, ACK, 0, b"\x0b\x7b\xa2\xf0\x8b\x9b\xfe\x54").await;
    assert_eq!(client.goaway().await, 3);
    client.end().await;
    drop(client);
    served.await.unwrap().unwrap();
    let report = report.await.unwrap();
    assert_eq!((report.of(Kind::Http2).told, report.took(), report.is_clean()), (1, Duration::ZERO, true));
}

#[tokio::test(start_paused = true)]
async fn running_streams_finish() {
    let roof = Roof::new();
    let (mut calls, handler) = on_command();
    let (client, _) = roof.spawn(service_fn(handler));
    let mut client = Frames::greet(client).await;
    client.get(1).await;
    let call = calls.recv().await.unwrap();
    let report = roof.drain(1, 60);
    client.pong().await;
    assert_eq!(client.goaway().await, 1);
    sleep(SECOND * 30).await;
    call.answer.send("late".into()).unwrap();
    assert_eq!(client.body(1).await, "late");
    client.end().await;
    drop(client);
    let report = report.await.unwrap();
    assert_eq!((report.took(), report.of(Kind::Http2).told), (SECOND * 30, 1));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_answers_ping_is_ended_5_seconds_after_it_was_told() {
    let roof = Roof::new();
    let (client, _) = roof.spawn(service_fn(hello));
    let mut client = Frames::greet(client).await;
    client.get(1).await;
    assert_eq!(client.body(1).await, "hello");
    let (began, report) = (Instant::now(), roof.drain(1, 20));
    client.end().await;
    assert_eq!(began.elapsed(), SECOND * 5);
    drop(client);
    let report = report.await.unwrap();
    assert_eq!((report.of(Kind::Http2).told, report.is_clean()), (1, true));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_after_its_preface_is_ended_5_seconds_after_it_was_told() {
    let roof = Roof::new();
    let (mut client, _) = roof.spawn(service_fn(hello));
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    sleep(SECOND).await;
    let (began, report) = (Instant::now(), roof.drain(1, 20));
    Frames(client).end().await;
    assert_eq!(began.elapsed(), SECOND * 5);
    assert_eq!(report.await.unwrap().finished(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_answers_ping_has_its_streams_waited_for() {
    let roof = Roof::new();
    let (mut calls, handler) = on_command();
    let (client, _) = roof.spawn(service_fn(handler));
    let mut client = Frames::greet(client).await;
    client.get(1).await;
    let call = calls.recv().await.unwrap();
    let report = roof.drain(2, 60);
    sleep(SECOND * 10).await;
    call.answer.send("late".into()).unwrap();
    let began = Instant::now();
    assert_eq!(client.body(1).await, "late");
    client.end().await;
    assert_eq!(began.elapsed(), SECOND * 5);
    drop(client);
    assert_eq!(report.await.unwrap().told(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_the_client_gives_up_after_the_grace_is_not_waited_for() {
    let roof = Roof::new();
    let (mut calls, handler) = on_command();
    let (client, _) = roof.spawn(service_fn(handler));
    let mut client = Frames::greet(client).await;
    client.get(1).await;
    let call = calls.recv().await.unwrap();
    let report = roof.drain(2, 60);
    sleep(SECOND * 10).await;
    client.send(RST_STREAM, 0, 1, &8u32.to_be_bytes()).await;
    let began = Instant::now();
    client.end().await;
    assert_eq!(began.elapsed(), SECOND * 5);
    assert!(call.answer.is_closed());
    drop(client);
    assert_eq!(report.await.unwrap().took(), SECOND * 15);
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_streams_are_cut_and_their_handlers_dropped() {
    let roof = Roof::new();
    let (mut calls, handler) = on_command();
    let (client, served) = roof.spawn(service_fn(handler));
    let mut client = Frames::greet(client).await;
    client.get(1).await;
    let call = calls.recv().await.unwrap();
    let report = roof.begin().await.unwrap();
    assert_eq!((report.of(Kind::Http2).cut, report.took()), (1, SECOND * 20));
    assert!(call.answer.is_closed());
    served.await.unwrap().unwrap_err();
    client.end().await;
}

/// A handler that does not even await keeps its task alive, but not the socket.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_connection_is_closed_at_once_whatever_its_streams_do() {
    let roof = Roof::new();
    let (called, mut calls) = mpsc::unbounded_channel();
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    let blocked = Arc::new(Mutex::new(blocked));
    let (client, served) = roof.spawn(service_fn(move |_| {
        let (called, blocked) = (called.clone(), blocked.clone());
        async move {
            called.send(()).unwrap();
            blocked.lock().unwrap().recv().unwrap();
            reply("late")
        }
    }));
    let mut client = Frames::greet(client).await;
    client.get(1).await;
    calls.recv().await.unwrap();
    served.abort();
    client.end().await;
    release.send(()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_told_to_go_at_the_idle_deadline() {
    for answers in [true, false] {
        let roof = Roof::new();
        let (client, server) = duplex(64 * 1024);
        let served = tokio::spawn(roof.connection(server, service_fn(hello)).idle_deadline(SECOND * 75));
        let mut client = Frames::greet(Client::new(client)).await;
        sleep(SECOND * 70).await;
        client.get(1).await;
        assert_eq!(client.body(1).await, "hello");
        let began = Instant::now();
        assert_eq!(client.goaway().await, (1 << 31) - 1);
        assert_eq!(began.elapsed(), SECOND * 75);
        if answers {
            client.pong().await;
        }
        client.end().await;
        assert_eq!(began.elapsed(), SECOND * if answers { 75 } else { 80 });
        drop(client);
        served.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_an_idle_deadline_idles() {
    let (client, served) = Roof::new().spawn(service_fn(hello));
    let mut client = Frames::greet(client).await;
    client.get(1).await;
    assert_eq!(client.body(1).await, "hello");
    sleep(SECOND * 3600).await;
    client.get(3).await;
    assert_eq!(client.body(3).await, "hello");
    drop(client);
    served.await.unwrap().unwrap();
}

#[tokio::test]
async fn hypers_own_settings_reach_each_connection() {
    let roof = Roof::new();
    let (client, server) = duplex(1024);
    let connection = roof.connection(server, service_fn(hello)).http2(|http2| {
        // Panics without a timer.
        http2.max_concurrent_streams(7).keep_alive_interval(SECOND);
    });
    let _served = tokio::spawn(connection);
    let mut client = Frames::greet(Client::new(client)).await;
    let settings = client.next(SETTINGS).await.payload;
    assert!(settings.chunks(6).any(|setting| setting == [0, 3, 0, 0, 0, 7]), "{settings:?}");
}

#[tokio::test]
async fn http1_is_served_beside_it() {
    let (mut client, _) = Roof::new().spawn(service_fn(hello));
    assert_eq!(client.get().await, kept("hello"));
}

/// Heads without a body are in nobody's task, and not data: h2 alone has them.
#[tokio::test(start_paused = true)]
async fn answers_without_a_body_reach_a_client_that_reads_them_late() {
    let roof = Roof::new();
    let (client, server) = duplex(1024);
    let bodiless = |_: Request<Incoming>| async {
        let mut response = reply("")?;
        // Not to be compressed away: twenty of them fill the socket.
        let mut long = http::HeaderValue::from_bytes(&[b'~'; 100]).unwrap();
        long.set_sensitive(true);
        response.headers_mut().insert("x-long", long);
        Ok::<_, Infallible>(response)
    };
    tokio::spawn(roof.connection(server, service_fn(bodiless)));
    let mut client = Frames::greet(Client::new(client)).await;
    for stream in 0..20 {
        client.get(stream * 2 + 1).await;
    }
    sleep(SECOND).await;
    let _report = roof.drain(2, 60);
    sleep(SECOND * 10).await;
    let mut heads = 0;
    while let Ok(Some(frame)) = tokio::time::timeout(SECOND * 30, client.frame()).await {
        heads += usize::from(frame.kind == 1);
    }
    assert_eq!(heads, 20);
}

#[tokio::test(start_paused = true)]
async fn in_the_census_a_connection_is_active_while_a_stream_runs() {
    let roof = Roof::new();
    let state = || {
        let census = roof.drain.tracker().census();
        assert_eq!((census.len(), census[0].kind.as_str(), census[0].count), (1, "http2", 1));
        census[0].state.clone()
    };
    let (mut calls, handler) = on_command();
    let (client, _) = roof.spawn(service_fn(handler));
    let mut client = Frames::greet(client).await;
    client.next(SETTINGS).await;
    assert_eq!(state(), "idle");
    client.get(1).await;
    client.get(3).await;
    let [first, second] = [calls.recv().await.unwrap(), calls.recv().await.unwrap()];
    assert_eq!(state(), "active");
    first.answer.send("one".into()).unwrap();
    assert_eq!(client.body(1).await, "one");
    sleep(SECOND).await;
    assert_eq!(state(), "active");
    second.answer.send("two".into()).unwrap();
    assert_eq!(client.body(3).await, "two");
    sleep(SECOND).await;
    assert_eq!(state(), "idle");
}

/// Says one word for each stream, and then nothing.
struct Endless(bool);

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        match std::mem::replace(&mut self.0, true) {
            false => std::task::Poll::Ready(Some(Ok(http_body::Frame::data("tick".into())))),
            true => std::task::Poll::Pending,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_cuts_its_stream_and_the_others_go_on() {
    let roof = Roof::new();
    let (client, server) = duplex(64 * 1024);
    let asked = Arc::new(std::sync::atomic::AtomicU32::new(0));
    // The first three are endless, each with another policy; the fourth is answered late.
    let service = service_fn(move |_| {
        let number = asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        async move {
            let mut response = Response::new(Endless(false));
            match number {
                0 => {}
                1 => drop(response.extensions_mut().insert(Policy::CloseAfter(SECOND * 3))),
                2 => drop(response.extensions_mut().insert(Policy::Finish)),
                _ => sleep(SECOND * 6).await,
            }
            Ok::<_, Infallible>(response)
        }
    });
    let _served = tokio::spawn(roof.connection(server, service).policy(Policy::CloseNow));
    let mut client = Frames::greet(Client::new(client)).await;
    for stream in [1, 3, 5] {
        client.get(stream).await;
        assert_eq!(client.next(DATA).await.payload, b"tick");
    }
    client.get(7).await;
    sleep(SECOND).await;
    let (began, report) = (Instant::now(), roof.begin());
    for (stream, at) in [(1, 0), (3, 3)] {
        let reset = client.next(RST_STREAM).await;
        assert_eq!((reset.stream, began.elapsed()), (stream, SECOND * at));
    }
    let late = client.next(DATA).await;
    assert_eq!((late.stream, began.elapsed()), (7, SECOND * 5));
    assert!(client.frame().await.is_none(), "the third and the late one have until the deadline");
    assert_eq!(began.elapsed(), SECOND * 20);
    drop(client);
    assert_eq!(report.await.unwrap().of(Kind::Http2).cut, 1);
}

#[tokio::test(start_paused = true)]
async fn goaways_are_spread_over_the_grace() {
    let roof = Roof::new();
    let mut clients = Vec::new();
    for _ in 0..100 {
        let (client, _) = roof.spawn(service_fn(hello));
        let mut client = Frames::greet(client).await;
        client.next(SETTINGS).await;
        clients.push(client);
    }
    let (began, report) = (Instant::now(), roof.drain_by(&times(10, 20)));
    let tasks = clients.into_iter().map(|mut client| {
        tokio::spawn(async move {
            client.next(GOAWAY).await;
            let told = began.elapsed();
            client.pong().await;
            client.end().await;
            told
        })
    });
    let mut tenths = [0; 10];
    for task in tasks.collect::<Vec<_>>() {
        tenths[(task.await.unwrap().saturating_sub(Duration::from_millis(1)).as_secs()) as usize] += 1;
    }
    // A hundred turns from anywhere in the sequence are never more than two from even.
    assert!(tenths.iter().all(|count| (8..=12).contains(count)), "{tenths:?}");
    let report = report.await.unwrap();
    assert_eq!((report.told(), report.is_clean()), (100, true));
}

#[tokio::test(start_paused = true)]
async fn a_lame_duck_says_goaway_and_answers_what_still_comes() {
    let roof = Roof::new();
    let (client, _) = roof.spawn(service_fn(hello));
    let mut client = Frames::greet(client).await;
    client.next(SETTINGS).await;
    let times = times(5, 20).lame_duck(SECOND * 10).at_once();
    roof.drain.begin_lame_duck(Cause::Stopped { by: None }, &times);
    assert_eq!(client.goaway().await, i32::MAX as u32);
    client.get(1).await;
    assert_eq!(client.body(1).await, "hello");
}

/// A client that is sent away before it has asked comes again, to the same lame duck.
#[tokio::test(start_paused = true)]
async fn who_comes_to_a_lame_duck_is_told_with_its_first_stream_or_when_the_drain_begins() {
    let roof = Roof::new();
    let times = times(5, 20).lame_duck(SECOND * 10).at_once();
    roof.drain.begin_lame_duck(Cause::Stopped { by: None }, &times);
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = Frames::greet(roof.spawn(service_fn(hello)).0).await;
        client.next(SETTINGS).await;
        assert!(tokio::time::timeout(SECOND * 3, client.next(GOAWAY)).await.is_err());
        clients.push(client);
    }
    clients[0].get(1).await;
    assert_eq!(clients[0].goaway().await, i32::MAX as u32);
    assert_eq!(clients[0].body(1).await, "hello");
    roof.drain.begin(Cause::Stopped { by: None }, &times);
    let began = Instant::now();
    assert_eq!((clients[1].goaway().await, began.elapsed()), (i32::MAX as u32, Duration::ZERO));
}

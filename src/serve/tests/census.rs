use ::hyper::upgrade;
use http::StatusCode;

use super::*;

impl Roof {
    /// `http1 idle`
    fn open(&self) -> Vec<String> {
        let census = self.drain.tracker().census();
        census.iter().map(|it| format!("{} {} {}", it.count, it.kind, it.state)).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn an_http1_connection_is_fresh_then_active_in_each_request_and_idle_after_it() {
    let roof = Roof::new();
    let (mut calls, handler) = on_command();
    let (mut client, served) = roof.spawn(service_fn(handler));
    tokio::time::sleep(SECOND).await;
    assert_eq!(roof.open(), ["1 fresh idle"]);
    for _ in 0..2 {
        client.send(GET).await;
        let call = calls.recv().await.unwrap();
        tokio::task::yield_now().await;
        assert_eq!(roof.open(), ["1 http1 active"]);
        call.answer.send("late".into()).unwrap();
        assert_eq!(client.answer().await, kept("late"));
        assert_eq!(roof.open(), ["1 http1 idle"]);
    }
    assert_eq!(roof.drain.tracker().census()[0].oldest, SECOND);
    drop(client);
    served.await.unwrap().unwrap();
    assert!(roof.open().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_handler_is_seen_as_active_before_its_first_await() {
    let roof = Roof::new();
    let (seen, mut sees) = mpsc::unbounded_channel();
    let tracker = roof.drain.tracker();
    let handler = move |_: Request<Incoming>| {
        seen.send(tracker.census()[0].state.clone()).unwrap();
        async { reply("hello") }
    };
    let (mut client, _) = roof.spawn(service_fn(handler));
    for _ in 0..2 {
        assert_eq!(client.get().await, kept("hello"));
        assert_eq!(sees.recv().await.unwrap(), "active");
        assert_eq!(roof.open(), ["1 http1 idle"]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_http1_connection_is_active_until_its_answer_is_sent() {
    let roof = Roof::new();
    let (client, server) = duplex(16);
    let _served = tokio::spawn(roof.connection(server, service_fn(hello)));
    let mut client = Client::new(client);
    client.send(GET).await;
    tokio::time::sleep(SECOND).await;
    assert_eq!(roof.open(), ["1 http1 active"]);
    assert_eq!(client.answer().await, kept("hello"));
    tokio::time::sleep(SECOND).await;
    assert_eq!(roof.open(), ["1 http1 idle"]);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_and_an_upgraded_connection_are_active() {
    let roof = Roof::new();
    let tracker = roof.drain.tracker();
    let handshake = tracker.guard_of(Kind::Handshake);
    assert_eq!(roof.open(), ["1 in handshake active"]);
    drop(handshake);
    let (give, mut given) = mpsc::unbounded_channel();
    let handler = move |request: Request<Incoming>| {
        let give = give.clone();
        tokio::spawn(async move { give.send(upgrade::on(request).await.unwrap()) });
        async {
            let mut response = reply("")?;
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            Reply::Ok(response)
        }
    };
    let (mut client, served) = roof.spawn(service_fn(handler));
    client.send("GET / HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 101);
    served.await.unwrap().unwrap();
    assert_eq!(roof.open(), ["1 upgraded active"]);
    drop(given.recv().await.unwrap());
    assert!(roof.open().is_empty());
}

//! What `serve` stands on and hyper does not promise. If one of these fails after an update of hyper, read
//! `head_timer.rs` and `http1.rs` again.

use std::pin::Pin;

use tokio::io::ReadHalf;

use super::*;
use crate::serve::{Handler, clock::Wait};

/// What the connection waits for, once it has gone as far as it can.
async fn settled<T: Io, S: Handler>(connection: &mut Connection<T, S>) -> Wait {
    for _ in 0..8 {
        let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(Pin::new(&mut *connection).poll(cx))).await;
        assert!(polled.is_pending(), "{polled:?}");
        tokio::task::yield_now().await;
    }
    connection.link().waiting().wait
}

#[tokio::test]
async fn hyper_waits_for_a_head_exactly_between_two_requests() {
    let roof = Roof::new();
    let (mut calls, handler) = on_command();
    let (client, server) = duplex(1024);
    let mut client = Client::new(client);
    let mut connection = roof.connection(server, service_fn(handler));

    for _ in 0..3 {
        client.send("GET / HT").await;
        assert_eq!(settled(&mut connection).await, Wait::Head);
        client.send("TP/1.1\r\nhost: test\r\n\r\n").await;
        assert_eq!(settled(&mut connection).await, Wait::Busy, "in the service");
        calls.recv().await.unwrap().answer.send("done".into()).unwrap();
        assert_eq!(settled(&mut connection).await, Wait::Idle);
        assert_eq!(client.answer().await, kept("done"));
        assert_eq!(settled(&mut connection).await, Wait::Idle);

        client.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 4\r\n\r\nab").await;
        assert_eq!(settled(&mut connection).await, Wait::Busy);
        let call = calls.recv().await.unwrap();
        call.answer.send("early".into()).unwrap();
        assert_eq!(settled(&mut connection).await, Wait::Busy, "answered, with half the body to come");
        assert_eq!(client.answer().await, kept("early"));
        client.send("cd").await;
        assert_eq!(settled(&mut connection).await, Wait::Busy, "answered, with the body unread");
        // By frames and not to the end: of an upload that was answered early hyper tells the end only with the next head.
        let reading = tokio::spawn(async move {
            let (mut body, mut read) = (call.request.into_body(), Vec::new());
            while read.len() < 4 {
                read.extend(body.frame().await.unwrap().unwrap().into_data().unwrap());
            }
            read
        });
        assert_eq!(settled(&mut connection).await, Wait::Idle);
        assert_eq!(reading.await.unwrap(), b"abcd");
    }
}

/// hyper's own sign is not enough: an upload that was answered early is read to its end while the answer is blocked, and
/// hyper waits for the next head. To let the connection go then would truncate the answer.
#[tokio::test]
async fn a_connection_with_an_unflushed_response_is_not_between_two_requests() {
    let roof = Roof::new();
    let (client, server) = duplex(256);
    let mut client = Client::new(client);
    let mut connection = roof.connection(
        server,
        service_fn(|request: Request<Incoming>| async {
            tokio::spawn(request.into_body().collect());
            reply("x".repeat(10_000))
        }),
    );
    client.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 4\r\n\r\nab").await;
    settled(&mut connection).await;
    client.send("cd").await;
    assert_eq!(settled(&mut connection).await, Wait::Busy);
    assert!(connection.link().is_unflushed());
    let answering = tokio::spawn(async move { (client.answer().await, client) });
    while !answering.is_finished() {
        settled(&mut connection).await;
    }
    assert_eq!(settled(&mut connection).await, Wait::Idle);
    assert_eq!(answering.await.unwrap().0.body.len(), 10_000);
}

/// A body that is dropped in mid-flight leaves hyper in mid-body for a while: "no request in the service, everything
/// flushed" would be a wrong sign.
#[tokio::test]
async fn hyper_does_not_wait_for_a_head_just_because_the_body_was_dropped() {
    let roof = Roof::new();
    let (mut calls, handler) = on_command();
    let (client, server) = duplex(1024);
    let mut client = Client::new(client);
    let mut connection = roof.connection(server, service_fn(handler));
    client.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 4\r\n\r\nab").await;
    settled(&mut connection).await;
    let call = calls.recv().await.unwrap();
    call.answer.send("early".into()).unwrap();
    settled(&mut connection).await;
    drop(call.request);
    assert_eq!(connection.link().waiting().wait, Wait::Busy);
}

#[tokio::test(start_paused = true)]
async fn a_pipelined_request_behind_an_upload_that_was_answered_early_is_answered() {
    let roof = Roof::new();
    let large = "x".repeat(200_000);
    let service = service_fn({
        let large = large.clone();
        move |request: Request<Incoming>| {
            let large = large.clone();
            async move {
                if request.method() == "GET" {
                    return reply("second");
                }
                tokio::spawn(request.into_body().collect());
                reply(large)
            }
        }
    });
    let (client, server) = duplex(4096);
    let served = tokio::spawn(roof.connection(server, service));
    let (reading, mut writing): (ReadHalf<_>, _) = tokio::io::split(client);
    writing.write_all(b"POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n").await.unwrap();
    tokio::time::sleep(SECOND).await;
    writing.write_all(format!("2\r\ncd\r\n0\r\n\r\n{GET}").as_bytes()).await.unwrap();
    tokio::time::sleep(SECOND).await;
    let mut client = Client::new(tokio::io::join(reading, writing));
    assert_eq!(client.answer().await.body.len(), large.len());
    let second = tokio::time::timeout(SECOND * 10, client.answer()).await;
    assert_eq!(second.expect("hyper stopped for ever"), kept("second"));
    drop(client);
    served.await.unwrap().unwrap();
}

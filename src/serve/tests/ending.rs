use http::header::{CONNECTION, HeaderValue};
use tokio::time::Instant;

use super::*;

/// Answers with 300 kB, unread bodies or not, and closes.
async fn large_and_closing(_: Request<Incoming>) -> Reply {
    let mut response = reply("x".repeat(300_000))?;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(response)
}

/// A client that says all this and 1 MB more, and only then reads.
async fn answer_of<S, M>(service: S, words: &str) -> (Answer, Result<(), Error>)
where
    S: IntoService<M>,
    S::Service: 'static,
{
    let (client, server) = tcp().await;
    let served = tokio::spawn(Roof::new().connection(server, service));
    let mut client = Client::new(client);
    client.send(words).await;
    client.send(&"y".repeat(1_000_000)).await;
    let answer = client.answer().await;
    client.end().await;
    drop(client);
    (answer, served.await.unwrap())
}

#[tokio::test]
async fn an_answer_survives_an_upload_that_nobody_reads() {
    let words = "POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 9000000\r\n\r\n";
    let (answer, _) = answer_of(service_fn(large_and_closing), words).await;
    assert_eq!((answer.status, answer.closes, answer.body.len()), (200, true, 300_000));
}

#[tokio::test]
async fn an_answer_survives_what_is_pipelined_behind_it() {
    let (answer, served) = answer_of(service_fn(large_and_closing), GET).await;
    assert_eq!(answer.body.len(), 300_000);
    served.unwrap();
}

#[tokio::test]
async fn an_answer_survives_an_upgrade_that_was_offered_and_not_taken() {
    let words = "GET / HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    let (answer, served) = answer_of(service_fn(large_and_closing), words).await;
    assert_eq!(answer.body.len(), 300_000);
    served.unwrap();
}

#[tokio::test]
async fn a_bad_request_hears_that_it_is_one() {
    let (answer, served) = answer_of(service_fn(hello), "what?\r\n\r\n").await;
    assert_eq!(answer.status, 400);
    served.unwrap_err();
}

#[tokio::test]
async fn a_service_that_fails_ends_the_connection_without_a_reset() {
    let (client, server) = tcp().await;
    let roof = Roof::new();
    let served = tokio::spawn(roof.connection(server, service_fn(|_| async { Err::<Response<String>, _>("broken") })));
    let mut client = Client::new(client);
    client.send(GET).await;
    client.send(&"y".repeat(1_000_000)).await;
    client.end().await;
    drop(client);
    assert!(served.await.unwrap().unwrap_err().to_string().ends_with(": broken"));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_close_is_waited_for_5_seconds() {
    let (mut client, served) = Roof::new().spawn(service_fn(large_and_closing));
    let began = Instant::now();
    assert_eq!(client.get().await.body.len(), 300_000);
    client.end().await;
    served.await.unwrap().unwrap();
    assert_eq!(began.elapsed(), SECOND * 5);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_only_talks_is_heard_out_for_16_mib() {
    let (mut client, served) = Roof::new().spawn(service_fn(large_and_closing));
    assert_eq!(client.get().await.body.len(), 300_000);
    let mut said = 0;
    while let Ok(n) = client.io.write(&[0; 65536]).await {
        said += n;
    }
    assert!((16 << 20..17 << 20).contains(&said), "{said}");
    served.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_closed_its_side_is_not_waited_for() {
    let (mut client, served) = Roof::new().spawn(service_fn(hello));
    assert_eq!(client.get().await, kept("hello"));
    let began = Instant::now();
    client.io.shutdown().await.unwrap();
    client.end().await;
    served.await.unwrap().unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn a_dropped_connection_is_closed_at_once() {
    let roof = Roof::new();
    let (mut calls, handler) = on_command();
    let (mut client, served) = roof.spawn(service_fn(handler));
    client.send(GET).await;
    calls.recv().await.unwrap();
    served.abort();
    client.end().await;
    assert!(roof.drain.tracker().is_empty());
}

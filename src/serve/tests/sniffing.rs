use tokio::time::sleep;

use super::*;

#[tokio::test]
async fn requests_that_begin_like_the_preface_are_http1() {
    for request in [GET, "POST / HTTP/1.1\r\nhost: test\r\n\r\n", "PRI * HTTP/1.1\r\nhost: test\r\n\r\n"] {
        let (mut client, _) = Roof::new().spawn(service_fn(hello));
        for letter in request.chars() {
            client.send(&letter.to_string()).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(client.answer().await, kept("hello"));
    }
}

#[tokio::test]
async fn what_is_read_while_sniffing_is_all_there() {
    let (mut client, _) = Roof::new().spawn(service_fn(echo));
    let body = "x".repeat(50_000);
    client.send(&format!("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 50000\r\n\r\n{body}{GET}")).await;
    assert_eq!(client.answer().await, kept(&body));
    assert_eq!(client.answer().await, kept(""));
}

#[tokio::test]
async fn a_client_that_leaves_without_a_word_is_no_error() {
    let (client, served) = Roof::new().spawn(service_fn(hello));
    drop(client);
    served.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_client_that_leaves_in_the_preface_is_one() {
    let (mut client, served) = Roof::new().spawn(service_fn(hello));
    client.send("PRI * HT").await;
    drop(client);
    served.await.unwrap().unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn half_a_preface_ends_at_the_head_deadline() {
    let (mut client, served) = Roof::new().spawn(service_fn(hello));
    client.send("PRI * HT").await;
    sleep(SECOND * 29).await;
    client.send("TP").await;
    client.silence(SECOND / 2).await;
    client.end().await;
    drop(client);
    served.await.unwrap().unwrap_err();
}

#[cfg(not(feature = "http2"))]
#[tokio::test]
async fn without_http2_its_preface_is_answered_with_505() {
    let (mut client, served) = Roof::new().spawn(service_fn(hello));
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    assert_eq!(client.answer().await, Answer { status: 505, closes: true, body: String::new() });
    client.end().await;
    drop(client);
    assert!(served.await.unwrap().unwrap_err().to_string().contains("HTTP/2"));
}

use tokio::time::{Instant, sleep};

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn an_idle_connection_outlives_the_head_deadline() {
    let roof = Roof::new();
    let (mut client, _) = roof.spawn(service_fn(hello));
    for _ in 0..3 {
        assert_eq!(client.get().await, kept("hello"));
        client.silence(HOUR).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_word_ends_at_the_head_deadline() {
    let began = Instant::now();
    let (mut client, served) = Roof::new().spawn(service_fn(hello));
    client.end().await;
    assert_eq!(began.elapsed(), SECOND * 30);
    drop(client);
    served.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_first_head_counts_from_the_beginning() {
    let began = Instant::now();
    let (mut client, served) = Roof::new().spawn(service_fn(hello));
    for letter in ["G", "E", "T", " "] {
        sleep(SECOND * 7).await;
        client.send(letter).await;
    }
    client.end().await;
    assert_eq!(began.elapsed(), SECOND * 30);
    drop(client);
    assert_eq!(served.await.unwrap().unwrap_err().to_string(), "no complete request head within 30s");
}

#[tokio::test(start_paused = true)]
async fn half_a_head_ends_at_the_head_deadline_from_its_first_byte() {
    let (mut client, served) = Roof::new().spawn(service_fn(hello));
    assert_eq!(client.get().await, kept("hello"));
    sleep(SECOND * 100).await;
    let began = Instant::now();
    client.send("GET / HT").await;
    sleep(SECOND * 29).await;
    client.send("TP/1.1\r\n").await;
    client.end().await;
    assert_eq!(began.elapsed(), SECOND * 30);
    drop(client);
    served.await.unwrap().unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_head_that_comes_just_in_time_is_served_and_the_next_has_its_own_time() {
    let (mut client, _) = Roof::new().spawn(service_fn(hello));
    for _ in 0..5 {
        let (first, rest) = GET.split_at(9);
        client.send(first).await;
        sleep(SECOND * 29).await;
        client.send(rest).await;
        assert_eq!(client.answer().await, kept("hello"));
    }
}

#[tokio::test(start_paused = true)]
async fn neither_a_slow_body_nor_a_slow_handler_is_a_slow_head() {
    let (mut calls, handler) = on_command();
    let (mut client, _) = Roof::new().spawn(service_fn(handler));
    client.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 4\r\n\r\nab").await;
    let mut call = calls.recv().await.unwrap();
    sleep(HOUR).await;
    client.send("cd").await;
    assert_eq!(call.request.body_mut().collect().await.unwrap().to_bytes(), "abcd");
    sleep(HOUR).await;
    call.answer.send("slow".into()).unwrap();
    assert_eq!(client.answer().await, kept("slow"));
}

#[tokio::test(start_paused = true)]
async fn the_idle_deadline_counts_from_the_last_answer() {
    let roof = Roof::new();
    let (client, server) = duplex(1024);
    let served = tokio::spawn(roof.connection(server, service_fn(hello)).idle_deadline(SECOND * 75));
    let mut client = Client::new(client);
    for _ in 0..3 {
        assert_eq!(client.get().await, kept("hello"));
        sleep(SECOND * 74).await;
    }
    assert_eq!(client.get().await, kept("hello"));
    let began = Instant::now();
    client.end().await;
    assert_eq!(began.elapsed(), SECOND * 75);
    drop(client);
    served.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn deadlines_of_for_ever_are_for_ever() {
    let roof = Roof::new();
    let (client, server) = duplex(1024);
    let connection = roof.connection(server, service_fn(hello));
    let _served = tokio::spawn(connection.head_deadline(Duration::MAX).idle_deadline(Duration::MAX));
    let mut client = Client::new(client);
    client.silence(HOUR).await;
    assert_eq!(client.get().await, kept("hello"));
    client.silence(HOUR).await;
    assert_eq!(client.get().await, kept("hello"));
}

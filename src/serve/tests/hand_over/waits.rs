//! How long a connection has waited for what it waits for, across a handover.

use tokio::time::{Instant, sleep};

use super::*;

#[tokio::test(start_paused = true)]
async fn what_was_at_work_has_all_of_its_idle_time_in_the_successor() {
    let mut pair = Pair::new();
    let (mut calls, handler) = on_command();
    let p = pair.p.serve_as("http", pair.listener("p"), service_fn(handler));
    let s = pair.s.serve_as("http", pair.listener("s"), service_fn(echo_as("s")));
    tokio::spawn(p.idle_deadline(SECOND * 10));
    tokio::spawn(s.idle_deadline(SECOND * 10));
    let mut client = pair.connect().await;
    client.send(GET).await;
    let call = calls.recv().await.unwrap();
    let report = pair.begin();
    pair.during(sleep(SECOND * 9)).await;
    call.answer.send("late".into()).unwrap();
    assert_eq!(client.answer().await, kept("late"));
    let began = Instant::now();
    assert_eq!(pair.during(report).await.unwrap().handed_over(), 1);
    client.end().await;
    assert_eq!(began.elapsed(), SECOND * 10);
}

#[tokio::test(start_paused = true)]
async fn half_a_head_behind_a_long_answer_has_all_of_its_time() {
    let mut pair = Pair::new();
    let (mut calls, handler) = on_command();
    let p = pair.p.serve_as("http", pair.listener("p"), service_fn(handler));
    tokio::spawn(p.idle_deadline(SECOND * 75));
    tokio::spawn(pair.s.serve_as("http", pair.listener("s"), service_fn(echo_as("s"))));
    let mut client = pair.connect().await;
    client.send(GET).await;
    let call = calls.recv().await.unwrap();
    sleep(SECOND * 40).await;
    client.send("GET /half HTTP").await;
    let report = pair.begin();
    pair.during(sleep(SECOND)).await;
    call.answer.send("late".into()).unwrap();
    assert_eq!(client.answer().await, kept("late"));
    assert_eq!(pair.during(report).await.unwrap().handed_over(), 1);
    sleep(SECOND).await;
    client.send("/1.1\r\nhost: test\r\n\r\n").await;
    assert_eq!(client.answer().await, kept("s/half"));
}

/// It has idled for longer than a head may take, and begins one before the successor has looked at it.
#[tokio::test(start_paused = true)]
async fn a_head_that_begins_on_the_way_is_not_as_old_as_the_silence_before_it() {
    let mut pair = Pair::new();
    let mut client = pair.connected(service_fn(echo_as("p")), service_fn(echo_as("s"))).await;
    assert_eq!(client.get().await, kept("p/"));
    let report = pair.begin();
    let offered = pair.departures.next().await;
    sleep(SECOND).await;
    client.send("GET /half HT").await;
    let Message::Offer(mut offers) = offered.message else { panic!() };
    offers[0].waited_milliseconds = 60_000;
    let copy = offered.descriptors[0].try_clone().unwrap();
    pair.arrivals.offered(vec![(offers.remove(0), Some(copy))]);
    pair.answer();
    assert_eq!(report.await.unwrap().handed_over(), 1);
    client.silence(SECOND).await;
    client.send("TP/1.1\r\nhost: test\r\n\r\n").await;
    assert_eq!(client.answer().await, kept("s/half"));
}

//! Connections that come back, and those that are away when their end comes.

use tokio::time::{sleep, timeout};

use super::*;

/// It bears more than is handed over, so it is back in the very poll in which it has left.
#[tokio::test(start_paused = true)]
async fn a_connection_that_comes_back_at_once_hears_its_client() {
    let mut pair = Pair::new();
    let p = pair.p.serve_as("http", pair.listener("p"), service_fn(echo_as("p")));
    tokio::spawn(p.http1(|http1| {
        http1.max_buf_size(8 << 20);
    }));
    let mut client = pair.connect().await;
    let field = "x".repeat(1200 * 1024);
    client.send(&format!("GET /half HTTP/1.1\r\nx: {field}")).await;
    pair.settle().await;
    let _report = pair.begin();
    pair.settle().await;
    client.send("\r\nhost: test\r\n\r\n").await;
    let answer = timeout(SECOND / 10, client.answer()).await.expect("nobody listens");
    assert_eq!(answer, closing("p/half"));
}

/// The successor has ended without having read the offer, and somebody keeps its end of the channel.
#[tokio::test(start_paused = true)]
async fn a_connection_that_has_come_back_ends_for_its_client_whoever_holds_a_copy() {
    let hanging = |_: Request<Incoming>| -> BoxReply { Box::pin(std::future::pending()) };
    for begun in [None, Some(GET), Some("GET / HT")] {
        let mut pair = Pair::new();
        let mut client = pair.connected(service_fn(hanging), service_fn(hello)).await;
        pair.settle().await;
        if begun.is_some() {
            client.send("GET /ha").await;
            pair.settle().await;
        }
        let report = pair.begin();
        let _copy = pair.departures.next().await.descriptors[0].try_clone().unwrap();
        pair.departures.channel_ended();
        if let Some(begun) = begun {
            client.send(&begun["GET /".len()..]).await;
        }
        timeout(SECOND * 30, client.end()).await.expect("the client is shown nothing");
        drop(client);
        report.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_away_at_the_deadline_waits_for_the_last_word() {
    // What nobody else has seen, or knows to be ours, is not undecided.
    for (is_offered, begun, cut) in [(false, "", 0), (true, "", 0), (false, "GET", 1), (true, "GET", 1)] {
        let mut pair = Pair::new();
        let mut client = pair.connected(service_fn(echo_as("p")), service_fn(echo_as("s"))).await;
        assert_eq!(client.get().await, kept("p/"));
        let report = pair.begin();
        let offered = if is_offered { Some(pair.departures.next().await) } else { None };
        sleep(SECOND * 10).await;
        // While it is away, so that nobody but a last look at the kernel knows of it.
        client.send(begun).await;
        pair.p.drain.watch().reached(crate::drain::Level::Over).await;
        tokio::task::yield_now().await;
        if is_offered {
            pair.departures.channel_ended();
        } else {
            pair.departures.deadline();
        }
        let report = report.await.unwrap();
        assert_eq!((report.cut_by(Why::Undecided), report.cut_by(Why::Deadline)), (0, cut), "{report}");
        drop(offered);
        client.end().await;
    }
}

/// Its task was aborted while it was away.
#[tokio::test(start_paused = true)]
async fn a_connection_that_comes_back_to_nobody_ends_for_its_client_whoever_holds_a_copy() {
    for comes_first in [false, true] {
        let mut pair = Pair::new();
        let (client, server) = UnixStream::pair().unwrap();
        let mut client = Client::new(client);
        pair.departures.open();
        let to = crate::wire::Destination::Protocol(Name::new("chat").unwrap());
        let socket = server.into_std().unwrap().into();
        let (read, state, waited) = (Vec::new(), Vec::new(), Duration::ZERO);
        let parcel = crate::handover::Parcel { to, socket, read, state, waited };
        let permit = pair.p.exit.try_room(crate::handover::Lane::Raw).unwrap();
        let leaving = pair.p.exit.leave(permit, parcel);
        let _copy = pair.departures.next().await.descriptors[0].try_clone().unwrap();
        if comes_first {
            pair.departures.channel_ended();
            drop(leaving);
        } else {
            drop(leaving);
            pair.departures.channel_ended();
        }
        timeout(SECOND, client.end()).await.expect("the client is shown nothing");
    }
}

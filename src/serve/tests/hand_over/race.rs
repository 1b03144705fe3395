use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::*;

/// As many as it takes to have hit it: 75 of 20,000 went wrong where "no request in the service, and its body dropped" was
/// the sign. In a build without optimisation fewer, for the time that they take.
const ROUNDS: usize = if cfg!(debug_assertions) { 2_000 } else { 20_000 };

/// What the client sends after the body's drop looks like a request, and is the rest of the body. If the connection moved
/// between the drop and hyper's notice of it, the successor would serve it: a request that nobody has made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_another_thread_drops_just_then_is_never_parsed_as_a_request() {
    static SMUGGLED: AtomicUsize = AtomicUsize::new(0);
    let mut pair = Pair::new();
    let handler = |request: Request<Incoming>| async {
        std::thread::spawn(move || drop(request));
        reply("early")
    };
    let of_s = |request: Request<Incoming>| async move {
        if request.uri().path() == "/smuggled" {
            SMUGGLED.fetch_add(1, Relaxed);
        }
        reply("s")
    };
    tokio::spawn(pair.s.serve_as("http", pair.listener("s"), service_fn(of_s)));
    pair.departures.expect();
    pair.departures.open();
    // The drain has begun before they come: each is taken apart at the first moment.
    pair.p.drain.begin(Cause::Stopped { by: None }, &times(60, 120));
    tokio::spawn(pair.p.serve_as("http", pair.listener("p"), service_fn(handler)));
    let path = pair.place.path().join("p");
    let clients = async {
        for _ in 0..ROUNDS {
            let mut client = Client::new(UnixStream::connect(&path).await.unwrap());
            let smuggled = "GET /smuggled HTTP/1.1\r\nhost: test\r\n\r\n";
            // One write, so that the head is not alone when the connection could still move as a fresh one.
            client.send(&format!("{}{}", post(2 * smuggled.len()), smuggled)).await;
            let early = client.answer().await;
            client.send(smuggled).await;
            // The rest of the body is read and thrown away, or the connection ends for it; then it may move.
            if !early.closes {
                let _ended = client.io.shutdown().await;
                let mut rest = Vec::new();
                let _reset = client.io.read_to_end(&mut rest).await;
            }
        }
    };
    pair.during(clients).await;
    assert_eq!(SMUGGLED.load(Relaxed), 0);
}

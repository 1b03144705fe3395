//! Clients that always have several requests under way.

use super::*;

/// How many the predecessor answers after the drain's begin. Never more than a window of requests lies in the kernel, each
/// whole.
async fn by_p(request: &str) -> usize {
    const WINDOW: usize = 16;
    let takes_its_time = |request: Request<Incoming>| -> BoxReply {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            echo_as("p")(request).await
        })
    };
    let mut pair = Pair::new();
    let mut client = pair.connected(service_fn(takes_its_time), service_fn(echo_as("s"))).await;
    assert_eq!(client.get().await, kept("p/"));
    for _ in 0..WINDOW {
        client.send(request).await;
    }
    for _ in 0..2 * WINDOW {
        client.send(request).await;
        client.answer().await;
    }
    let _report = pair.begin();
    for by_p in 0..50 * WINDOW {
        client.send(request).await;
        let answer = pair.during(client.answer()).await;
        assert_eq!((answer.status, answer.closes), (200, false));
        if answer.body.starts_with('s') {
            return by_p;
        }
    }
    panic!("it never moves")
}

/// hyper reads the next ones while a request is answered, and would ask for nothing between two of them.
#[tokio::test]
async fn a_client_that_keeps_a_window_of_requests_under_way_moves() {
    assert!(by_p(GET).await < 200);
}

#[tokio::test]
async fn so_does_one_whose_requests_have_bodies() {
    assert!(by_p(&(post(4) + "abcd")).await < 200);
}

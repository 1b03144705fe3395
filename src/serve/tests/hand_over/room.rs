//! Who waits for room on the way out, and for whom there is room on the way in.

use tokio::time::{sleep, timeout};

use super::*;

#[tokio::test(start_paused = true)]
async fn one_that_ends_while_it_waits_for_room_leaves_its_turn_to_others() {
    let mut pair = Pair::new();
    let p = pair.p.serve_as("http", pair.listener("p"), service_fn(echo_as("p")));
    tokio::spawn(p.idle_deadline(SECOND));
    let mut idle = Vec::new();
    for _ in 0..48 {
        let mut client = pair.connect().await;
        assert_eq!(client.get().await, kept("p/"));
        idle.push(client);
    }
    sleep(SECOND / 2).await;
    let mut last = pair.connect().await;
    assert_eq!(last.get().await, kept("p/"));
    pair.departures.expect();
    let _report = pair.end_of_p();
    pair.settle().await;
    // They are let go by their idle deadline, and linger until their clients close.
    sleep(Duration::from_millis(700)).await;
    pair.departures.open();
    timeout(SECOND / 10, pair.departures.next()).await.expect("nobody can leave");
}

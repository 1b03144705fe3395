//! Who is sent away when. Time stands still until everybody waits, so each moment is exact.

use tokio::time::{Instant, sleep};

use super::*;

const COUNT: usize = 1_000;

/// How many fall into each tenth of a time.
fn tenths(times: impl IntoIterator<Item = Duration>, from: Duration, of: Duration) -> [usize; 10] {
    let mut tenths = [0; 10];
    for time in times {
        // A timer rings up to a millisecond late.
        let at = time.saturating_sub(from + Duration::from_millis(1));
        tenths[(at.as_millis() * 10 / of.as_millis()) as usize] += 1;
    }
    tenths
}

fn is_even(tenths: [usize; 10]) -> bool {
    tenths.iter().all(|count| (COUNT / 10 - COUNT / 100..=COUNT / 10 + COUNT / 100).contains(count))
}

/// So many that have asked once.
async fn idle(roof: &Roof) -> Vec<Client<DuplexStream>> {
    let mut clients = Vec::new();
    for _ in 0..COUNT {
        let (mut client, _) = roof.spawn(service_fn(hello));
        assert_eq!(client.get().await, kept("hello"));
        clients.push(client);
    }
    clients
}

/// When each of these ends.
async fn times_of(tasks: Vec<JoinHandle<Duration>>) -> Vec<Duration> {
    let mut times = Vec::new();
    for task in tasks {
        times.push(task.await.unwrap());
    }
    times
}

fn end_of(mut client: Client<DuplexStream>, began: Instant) -> JoinHandle<Duration> {
    tokio::spawn(async move {
        client.end().await;
        began.elapsed()
    })
}

#[tokio::test(start_paused = true)]
async fn idle_connections_are_let_go_evenly_from_when_they_were_quiet_to_the_graces_end() {
    let roof = Roof::new();
    let clients = idle(&roof).await;
    sleep(SECOND * 60).await;
    let began = Instant::now();
    let report = roof.drain_by(&times(10, 20));
    let times = times_of(clients.into_iter().map(|client| end_of(client, began)).collect()).await;
    assert!(times.iter().all(|time| *time >= SECOND * 2), "before a fifth of the grace nobody has been quiet");
    let tenths = tenths(times, SECOND * 2, SECOND * 8);
    assert!(is_even(tenths), "{tenths:?}");
    let report = report.await.unwrap();
    assert_eq!((report.finished(), report.is_clean()), (COUNT, true));
    assert!(report.took() <= SECOND * 10 + Duration::from_millis(1), "{report}");
}

#[tokio::test(start_paused = true)]
async fn connections_that_have_never_said_a_word_are_let_go_like_idle_ones() {
    let roof = Roof::new();
    let clients: Vec<_> = (0..COUNT).map(|_| roof.spawn(service_fn(hello)).0).collect();
    sleep(SECOND).await;
    let began = Instant::now();
    let report = roof.drain_by(&times(10, 20));
    let times = times_of(clients.into_iter().map(|client| end_of(client, began)).collect()).await;
    let tenths = tenths(times, SECOND * 2, SECOND * 8);
    assert!(is_even(tenths), "{tenths:?}");
    let report = report.await.unwrap();
    assert_eq!((report.of(Kind::Fresh).finished, report.is_clean()), (COUNT, true));
}

#[tokio::test(start_paused = true)]
async fn at_once_they_are_let_go_together_at_the_graces_end() {
    let roof = Roof::new();
    let clients = idle(&roof).await;
    let began = Instant::now();
    let _report = roof.drain(10, 20);
    let times = times_of(clients.into_iter().map(|client| end_of(client, began)).collect()).await;
    assert!(times.iter().all(|time| *time == SECOND * 10));
}

/// Asks once in a second until it is told, and says when that was.
fn told(mut client: Client<DuplexStream>, offset: Duration) -> JoinHandle<Duration> {
    let began = Instant::now();
    tokio::spawn(async move {
        sleep(offset).await;
        while !client.get().await.closes {
            sleep(SECOND).await;
        }
        client.end().await;
        began.elapsed()
    })
}

#[tokio::test(start_paused = true)]
async fn clients_that_ask_often_are_told_evenly_over_the_grace_and_none_is_let_go_untold() {
    let roof = Roof::new();
    let clients = idle(&roof).await;
    let report = roof.drain_by(&times(10, 20));
    let offset = |n: usize| SECOND * n as u32 / COUNT as u32;
    let asking = clients.into_iter().enumerate().map(|(n, client)| told(client, offset(n))).collect();
    let times = times_of(asking).await;
    // Each hears of it within a second of its turn, so the last hear of it after the grace.
    let times = times.into_iter().map(|time| time.saturating_sub(SECOND / 2).min(SECOND * 10));
    let tenths = tenths(times, Duration::ZERO, SECOND * 10);
    assert!(tenths.iter().all(|count| (90..=110).contains(count)), "{tenths:?}");
    let report = report.await.unwrap();
    assert_eq!((report.told(), report.is_clean()), (COUNT, true));
}

#[tokio::test(start_paused = true)]
async fn the_share_that_is_told_grows_with_the_time() {
    let roof = Roof::new();
    let mut clients = idle(&roof).await.into_iter();
    // A lame duck lets nobody go, so all are there to be asked.
    roof.drain.begin_lame_duck(Cause::Stopped { by: None }, &times(5, 20).lame_duck(SECOND * 10));
    for share in [0, 10, 20, 30, 40, 50, 60, 70, 80, 90] {
        let mut told = 0;
        for client in clients.by_ref().take(100).collect::<Vec<_>>().iter_mut() {
            told += usize::from(client.get().await.closes);
        }
        assert!(told.abs_diff(share) <= 2, "{told} of 100 instead of {share}");
        sleep(SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_late_is_let_go_when_it_has_been_quiet() {
    let roof = Roof::new();
    let clients = idle(&roof).await;
    let (began, report) = (Instant::now(), roof.drain_by(&times(10, 20)));
    sleep(SECOND * 2 - Duration::from_millis(1)).await;
    let mut tasks = Vec::new();
    for mut client in clients {
        if !client.get().await.closes {
            tasks.push(end_of(client, began));
        }
    }
    assert!(tasks.len() > COUNT / 2);
    let times = times_of(tasks).await;
    assert!(times.iter().all(|time| *time >= SECOND * 4 - Duration::from_millis(1)), "{:?}", times.iter().min());
    assert!(report.await.unwrap().is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_is_shortened_lets_go_earlier() {
    let roof = Roof::new();
    let clients = idle(&roof).await;
    let (began, report) = (Instant::now(), roof.drain_by(&times(100, 300)));
    sleep(SECOND).await;
    roof.drain.shorten(&times(5, 20));
    let times = times_of(clients.into_iter().map(|client| end_of(client, began)).collect()).await;
    let tenths = tenths(times, SECOND * 2, SECOND * 4);
    assert!(is_even(tenths), "{tenths:?}");
    assert!(report.await.unwrap().is_clean());
}

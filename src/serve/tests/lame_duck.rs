use tokio::time::sleep;

use super::*;

fn lame_duck(roof: &Roof, seconds: u64) -> Times {
    let times = times(5, 20).lame_duck(Duration::from_secs(seconds)).at_once();
    roof.drain.begin_lame_duck(Cause::Stopped { by: None }, &times);
    times
}

#[tokio::test(start_paused = true)]
async fn a_lame_duck_serves_old_and_new_connections_and_tells_both() {
    let roof = Roof::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let _serving = tokio::spawn(roof.serve(listener, service_fn(hello)));
    let mut old = Client::new(TcpStream::connect(addr).await.unwrap());
    assert_eq!(old.get().await, kept("hello"));
    lame_duck(&roof, 10);
    let mut new = Client::new(TcpStream::connect(addr).await.unwrap());
    for client in [&mut new, &mut old] {
        assert_eq!(client.get().await, closing("hello"));
        client.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lame_duck_lets_no_idle_connection_go_and_cuts_nothing() {
    let roof = Roof::new();
    let (mut calls, handler) = on_command();
    let (mut idle, _) = roof.spawn(service_fn(hello));
    let (mut busy, _) = roof.spawn(service_fn(handler));
    assert_eq!(idle.get().await, kept("hello"));
    busy.send(GET).await;
    let call = calls.recv().await.unwrap();
    let times = lame_duck(&roof, 3600);
    idle.silence(SECOND * 1_000).await;
    busy.silence(SECOND * 1_000).await;
    roof.drain.begin(Cause::Stopped { by: None }, &times);
    let report = tokio::spawn(roof.drain.ended());
    call.answer.send("late".into()).unwrap();
    assert_eq!(busy.answer().await, closing("late"));
    busy.end().await;
    idle.end().await;
    drop((idle, busy));
    let report = report.await.unwrap();
    assert_eq!((report.took(), report.is_clean()), (SECOND * 5, true));
}

#[tokio::test(start_paused = true)]
async fn what_a_lame_duck_has_told_and_is_still_there_counts_as_told() {
    let roof = Roof::new();
    let (mut client, _) = roof.spawn(service_fn(hello));
    let times = lame_duck(&roof, 10);
    client.send(GET).await;
    assert_eq!(client.answer().await, closing("hello"));
    sleep(SECOND).await;
    roof.drain.begin(Cause::Stopped { by: None }, &times);
    drop(client);
    assert_eq!(roof.drain.ended().await.told(), 1);
}

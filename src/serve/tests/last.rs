use tokio::time::{Instant, sleep};

use super::*;
use crate::accept::Ending;

/// A `serve` that is last to close, and an ordinary one, at one roof.
async fn both(roof: &Roof) -> [(std::net::SocketAddr, JoinHandle<io::Result<()>>); 2] {
    let listeners = [TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap()];
    let addrs = listeners.each_ref().map(|listener| listener.local_addr().unwrap());
    let [health, main] = listeners;
    let wiring = Wiring { name: Some(Name::new("health").unwrap()), ..roof.wiring() };
    let health = Serve::new(health, service_fn(hello).into_make_of(), wiring).last_to_close();
    let main = roof.serve(main, service_fn(hello));
    [(addrs[0], tokio::spawn(health)), (addrs[1], tokio::spawn(main))]
}

/// So that inference knows the listener.
trait IntoMakeOf<M>: IntoMake<std::net::SocketAddr, M> + Sized {
    fn into_make_of(self) -> Self::Make {
        self.into_make()
    }
}

impl<S: IntoMake<std::net::SocketAddr, M>, M> IntoMakeOf<M> for S {}

async fn connect(addr: std::net::SocketAddr) -> Client<TcpStream> {
    Client::new(TcpStream::connect(addr).await.unwrap())
}

#[tokio::test]
async fn what_is_last_to_close_answers_old_and_new_clients_until_all_else_is_over() {
    let roof = Roof::new();
    let [(health, serving), (main, other)] = both(&roof).await;
    assert_eq!(*roof.last_names.lock().unwrap(), HashSet::from([Name::new("health").unwrap()]));
    let (mut old, mut client) = (connect(health).await, connect(main).await);
    assert_eq!((old.get().await, client.get().await), (kept("hello"), kept("hello")));
    let times = times(60, 60).lame_duck(SECOND * 60).at_once();
    roof.drain.begin_lame_duck(Cause::Stopped { by: None }, &times);
    assert_eq!((old.get().await, connect(health).await.get().await), (kept("hello"), kept("hello")));
    roof.gate.set(Gate::EndedButForTheLast(Ending::Emptied));
    roof.drain.begin(Cause::Stopped { by: None }, &times);
    let first = tokio::spawn(roof.drain.run());
    assert_eq!((old.get().await, connect(health).await.get().await), (kept("hello"), kept("hello")));
    assert_eq!(client.get().await, closing("hello"));
    client.end().await;
    drop(client);
    first.await.unwrap();
    other.await.unwrap().unwrap();
    assert_eq!((old.get().await, connect(health).await.get().await), (kept("hello"), kept("hello")));
    let mut queued = connect(health).await;
    roof.gate.set(Gate::Ended(Ending::Emptied));
    roof.drain.end_last();
    let report = tokio::spawn(roof.drain.run_last());
    assert_eq!((old.get().await, queued.get().await), (closing("hello"), closing("hello")));
    drop((old, queued));
    let report = report.await.unwrap();
    serving.await.unwrap().unwrap();
    assert_eq!((report.told(), report.cut()), (3, 0));
}

#[tokio::test]
async fn what_was_last_to_close_and_is_gone_is_not_among_the_names() {
    let roof = Roof::new();
    let last = |listener| roof.serve_as("health", listener, service_fn(hello)).last_to_close().last_to_close();
    let listener = async || TcpListener::bind("127.0.0.1:0").await.unwrap();
    let names = || roof.last_names.lock().unwrap().len();
    let unpolled = last(listener().await);
    assert_eq!(names(), 1);
    drop(unpolled);
    assert_eq!(names(), 0);
    let running = tokio::spawn(last(listener().await));
    tokio::task::yield_now().await;
    assert_eq!(names(), 1);
    roof.gate.set(Gate::Ended(Ending::Emptied));
    running.await.unwrap().unwrap();
    assert_eq!(names(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_last_to_close_ends_within_a_second_whatever_its_clients_do() {
    let roof = Roof::new();
    let (watch, tracker) = roof.drain.last();
    let (mut calls, handler) = on_command();
    let spawn = |io, guard| tokio::spawn(Connection::new(io, service_fn(handler).into_service(), watch.clone(), guard));
    let (client, server) = duplex(1024);
    let _served = spawn(server, tracker.guard());
    let mut client = Client::new(client);
    client.send(GET).await;
    let _call = calls.recv().await.unwrap();
    let report = roof.drain(5, 20);
    let began = Instant::now();
    client.end().await;
    assert_eq!((began.elapsed(), report.await.unwrap().of(Kind::Http1).cut), (SECOND, 1));
}

#[tokio::test(start_paused = true)]
async fn what_is_last_to_close_and_idles_is_let_go_soon() {
    let roof = Roof::new();
    let (watch, tracker) = roof.drain.last();
    let (client, server) = duplex(1024);
    let _served = tokio::spawn(Connection::new(server, service_fn(hello).into_service(), watch, tracker.guard()));
    let mut client = Client::new(client);
    assert_eq!(client.get().await, kept("hello"));
    let other = roof.drain.tracker().guard();
    let report = roof.drain(5, 20);
    sleep(SECOND * 10).await;
    assert_eq!(client.get().await, kept("hello"));
    drop(other);
    let began = Instant::now();
    client.end().await;
    assert_eq!(began.elapsed(), Duration::from_millis(200));
    drop(client);
    assert!(report.await.unwrap().is_clean());
}

use ::hyper::upgrade;
use http::StatusCode;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, sleep};

use super::*;

const UPGRADE: &str = "GET / HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";

type Raw = TokioIo<upgrade::Upgraded>;

/// Gives each upgraded connection to the test.
fn upgrading() -> (mpsc::UnboundedReceiver<Raw>, impl Clone + Send + 'static + Fn(Request<Incoming>) -> BoxReply) {
    let (give, given) = mpsc::unbounded_channel();
    let handler = move |request: Request<Incoming>| -> BoxReply {
        let give = give.clone();
        tokio::spawn(async move { give.send(TokioIo::new(upgrade::on(request).await.unwrap())) });
        Box::pin(async {
            let mut response = reply("")?;
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            Ok(response)
        })
    };
    (given, handler)
}

async fn upgraded(roof: &Roof) -> (Client<DuplexStream>, Raw) {
    let (mut given, handler) = upgrading();
    let (mut client, served) = roof.spawn(service_fn(handler));
    client.send(UPGRADE).await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.closes), (101, false));
    served.await.unwrap().unwrap();
    (client, given.recv().await.unwrap())
}

#[tokio::test(start_paused = true)]
async fn an_upgraded_connection_counts_until_its_socket_is_closed() {
    let roof = Roof::new();
    let (mut client, mut raw) = upgraded(&roof).await;
    assert_eq!(roof.drain.tracker().len(), 1);
    let report = roof.drain(1, 20);
    sleep(SECOND * 10).await;
    client.send("hello").await;
    let mut word = [0; 5];
    raw.read_exact(&mut word).await.unwrap();
    raw.write_all(&word).await.unwrap();
    drop(raw);
    client.io.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"hello");
    let report = report.await.unwrap();
    assert_eq!((report.took(), report.of(Kind::Upgraded).finished), (SECOND * 10, 1));
}

#[tokio::test(start_paused = true)]
async fn an_upgraded_connection_is_cut_at_the_deadline() {
    let roof = Roof::new();
    let (_client, raw) = upgraded(&roof).await;
    let (mut reading, mut writing) = tokio::io::split(raw);
    let reading = tokio::spawn(async move { reading.read(&mut [0; 8]).await });
    let writing = tokio::spawn(async move { writing.write_all(&[0; 1_000_000]).await });
    let report = roof.begin();
    assert_eq!(reading.await.unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    assert_eq!(writing.await.unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    let report = report.await.unwrap();
    assert_eq!((report.took(), report.of(Kind::Upgraded).cut), (SECOND * 20, 1));
}

#[tokio::test(start_paused = true)]
async fn during_the_drain_an_upgrade_is_not_told_to_close() {
    let roof = Roof::new();
    let held = roof.drain.tracker().guard();
    let report = roof.begin();
    let (_client, raw) = upgraded(&roof).await;
    drop((raw, held));
    let report = report.await.unwrap();
    assert_eq!((report.of(Kind::Upgraded).finished, report.told()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn after_an_upgrade_closing_one_half_leaves_the_other_open() {
    let roof = Roof::new();
    let (mut client, mut raw) = upgraded(&roof).await;
    let began = Instant::now();
    raw.shutdown().await.unwrap();
    client.end().await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    client.send("still here").await;
    let mut word = [0; 10];
    raw.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"still here");
}

#[tokio::test(start_paused = true)]
async fn what_came_right_behind_the_upgrade_is_not_lost() {
    let roof = Roof::new();
    let (mut given, handler) = upgrading();
    let (mut client, _) = roof.spawn(service_fn(handler));
    client.send(&format!("{UPGRADE}first words")).await;
    let mut word = [0; 11];
    given.recv().await.unwrap().read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"first words");
}

/// As hyper has it: an upgrade that was refused is passed on all the same when the connection ends, if somebody waits.
#[tokio::test(start_paused = true)]
async fn a_connection_that_is_taken_after_a_refused_upgrade_works_and_counts_and_is_cut() {
    let roof = Roof::new();
    let (give, mut given) = mpsc::unbounded_channel();
    let (mut client, served) = roof.spawn(service_fn(move |request: Request<Incoming>| {
        let give = give.clone();
        tokio::spawn(async move { give.send(TokioIo::new(upgrade::on(request).await.unwrap())) });
        async {
            let mut response = reply("no")?;
            response.headers_mut().insert("connection", http::HeaderValue::from_static("close"));
            Ok::<_, Infallible>(response)
        }
    }));
    client.send(UPGRADE).await;
    assert_eq!(client.answer().await, closing("no"));
    let mut raw = given.recv().await.unwrap();
    served.await.unwrap().unwrap();
    let echoing = tokio::spawn(async move {
        let mut word = [0; 5];
        while raw.read_exact(&mut word).await? > 0 {
            raw.write_all(&word).await?;
        }
        Ok::<_, io::Error>(())
    });
    for _ in 0..3 {
        sleep(SECOND).await;
        client.send("hello").await;
        let mut word = [0; 5];
        let read = tokio::time::timeout(SECOND, client.io.read_exact(&mut word)).await;
        assert!(read.is_ok(), "nobody was woken");
    }
    let report = roof.begin().await.unwrap();
    assert_eq!(echoing.await.unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    assert_eq!(report.of(Kind::Upgraded).cut, 1);
}

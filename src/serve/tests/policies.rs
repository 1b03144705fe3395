use ::hyper::upgrade;
use http::StatusCode;
use http_body::Frame;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, sleep};

use super::*;
use crate::drain::Policy;

/// A body that says one word, and then nothing for ever.
#[derive(Default)]
struct Endless {
    has_spoken: bool,
    /// How much it claims to be.
    length: Option<u64>,
}

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match std::mem::replace(&mut self.has_spoken, true) {
            false => std::task::Poll::Ready(Some(Ok(Frame::data("tick".into())))),
            true => std::task::Poll::Pending,
        }
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.length.map_or_else(http_body::SizeHint::default, http_body::SizeHint::with_exact)
    }
}

async fn endless(_: Request<Incoming>) -> Result<Response<Endless>, Infallible> {
    Ok(Response::new(Endless::default()))
}

/// A connection of this policy.
fn spawn<S, M>(roof: &Roof, service: S, policy: Policy) -> (Client<DuplexStream>, JoinHandle<Result<(), Error>>)
where
    S: IntoService<M>,
    S::Service: 'static,
{
    let (client, server) = duplex(64 * 1024);
    (Client::new(client), tokio::spawn(roof.connection(server, service).policy(policy)))
}

impl Client<DuplexStream> {
    /// Asks for an endless answer, and waits until it has begun.
    async fn hear(&mut self) {
        self.send(GET).await;
        while !self.text().contains("tick") {
            assert_ne!(self.io.read_buf(&mut self.read).await.unwrap(), 0, "{}", self.text());
        }
        self.read.clear();
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_unknown_length_ends_when_the_connections_policy_says() {
    for (policy, at) in [
        (Policy::CloseNow, Duration::ZERO),
        (Policy::CloseAfter(SECOND * 3), SECOND * 3),
        (Policy::Finish, SECOND * 20),
        (Policy::CloseAfter(SECOND * 30), SECOND * 20),
    ] {
        let roof = Roof::new();
        let (mut client, served) = spawn(&roof, service_fn(endless), policy);
        client.hear().await;
        client.silence(SECOND * 100).await;
        let (began, report) = (Instant::now(), roof.begin());
        // Without the chunk that would say that it is complete.
        client.end().await;
        assert_eq!(began.elapsed(), at, "{policy:?}");
        drop(client);
        let error = served.await.unwrap().unwrap_err().to_string();
        assert_eq!(error.contains("policy"), at < SECOND * 20, "{error}");
        let report = report.await.unwrap();
        assert_eq!((report.took(), report.of(Kind::Http1).cut), (at, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn the_connections_policy_does_not_concern_what_knows_its_end_or_has_not_begun() {
    let roof = Roof::new();
    let (mut calls, handler) = on_command();
    let (mut asking, _) = spawn(&roof, service_fn(handler), Policy::CloseNow);
    let download =
        service_fn(|_| async { Ok::<_, Infallible>(Response::new(Endless { length: Some(8), ..Endless::default() })) });
    let (mut loading, _) = spawn(&roof, download, Policy::CloseNow);
    asking.send(GET).await;
    let call = calls.recv().await.unwrap();
    loading.hear().await;
    let report = roof.begin();
    asking.silence(SECOND * 10).await;
    loading.silence(SECOND).await;
    call.answer.send("late".into()).unwrap();
    assert_eq!(asking.answer().await, closing("late"));
    drop(asking);
    let report = report.await.unwrap();
    assert_eq!((report.took(), report.cut()), (SECOND * 20, 1), "the download had until the deadline");
}

#[tokio::test(start_paused = true)]
async fn a_responses_own_policy_concerns_it_whatever_it_is_and_no_other() {
    let roof = Roof::new();
    let (mut client, _) = spawn(
        &roof,
        service_fn(|request: Request<Incoming>| async move {
            let length = (request.method() != "GET").then_some(4);
            let mut response = Response::new(Endless { length, ..Endless::default() });
            let policy = if length.is_some() { Policy::CloseNow } else { Policy::CloseAfter(SECOND * 7) };
            response.extensions_mut().insert(policy);
            Ok::<_, Infallible>(response)
        }),
        Policy::Finish,
    );
    client.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(client.answer().await, kept("tick"));
    client.hear().await;
    let (began, report) = (Instant::now(), roof.begin());
    client.end().await;
    assert_eq!(began.elapsed(), SECOND * 7);
    drop(client);
    assert_eq!(report.await.unwrap().cut(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_connections_policy_does_not_concern_an_answer_that_is_given_in_the_drain() {
    for policy in [Policy::CloseNow, Policy::CloseAfter(SECOND)] {
        let roof = Roof::new();
        let (mut client, _) = spawn(&roof, service_fn(endless), policy);
        let (began, report) = (Instant::now(), roof.begin());
        sleep(SECOND * 2).await;
        client.hear().await;
        client.end().await;
        assert_eq!(began.elapsed(), SECOND * 20);
        drop(client);
        assert_eq!(report.await.unwrap().cut_by(Why::Deadline), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_responses_own_policy_concerns_it_in_the_drain_too() {
    let roof = Roof::new();
    let service = service_fn(|_| async {
        let mut response = Response::new(Endless::default());
        response.extensions_mut().insert(Policy::CloseAfter(SECOND));
        Ok::<_, Infallible>(response)
    });
    let (mut client, _) = spawn(&roof, service, Policy::Finish);
    let holding = roof.drain.tracker().guard();
    let report = roof.begin();
    sleep(SECOND * 2).await;
    client.send(GET).await;
    client.io.read_to_end(&mut client.read).await.unwrap();
    drop((client, holding));
    let report = report.await.unwrap();
    assert_eq!((report.took(), report.cut_by(Why::Policy)), (SECOND * 2, 1));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_given_whole_is_not_cut_because_its_client_does_not_close() {
    let roof = Roof::new();
    let service = service_fn(|_| async {
        let mut response = reply("hello")?;
        response.extensions_mut().insert(Policy::CloseNow);
        Reply::Ok(response)
    });
    let (mut client, served) = spawn(&roof, service, Policy::Finish);
    client.send("GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").await;
    assert_eq!(client.answer().await, closing("hello"));
    client.end().await;
    let report = roof.begin();
    sleep(SECOND).await;
    drop(client);
    served.await.unwrap().unwrap();
    let report = report.await.unwrap();
    assert_eq!((report.finished(), report.cut()), (1, 0));
}

/// An HTTP/1.0 client can't tell the end of such an answer from the end of its connection.
#[tokio::test(start_paused = true)]
async fn an_answer_that_ends_by_close_is_reset_when_it_is_cut() {
    let by_deadline = |roof: &Roof| roof.drain.cut();
    let by_policy = |_: &Roof| {};
    for (policy, then) in [(Policy::Finish, by_deadline as fn(&Roof)), (Policy::CloseNow, by_policy)] {
        for (request, version) in [("1.0", http::Version::HTTP_11), ("1.1", http::Version::HTTP_10)] {
            let roof = Roof::new();
            let (client, server) = tcp().await;
            let service = service_fn(move |_| async move {
                let mut response = Response::new(Endless::default());
                *response.version_mut() = version;
                Ok::<_, Infallible>(response)
            });
            let served = tokio::spawn(roof.connection(server, service).policy(policy));
            let mut client = Client::new(client);
            client.send(&format!("GET / HTTP/{request}\r\nhost: test\r\n\r\n")).await;
            while !client.text().ends_with("\r\n\r\ntick") {
                assert_ne!(client.io.read_buf(&mut client.read).await.unwrap(), 0, "{}", client.text());
            }
            let report = roof.begin();
            then(&roof);
            let read = client.io.read(&mut [0; 8]).await;
            assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionReset, "{policy:?}, {request}");
            served.await.unwrap().unwrap_err();
            assert_eq!(report.await.unwrap().cut(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_cut_by_policy_too() {
    let roof = Roof::new();
    let (client, server) = duplex(64);
    let flood = service_fn(|_| async {
        let mut response = reply("x".repeat(1_000_000)).unwrap();
        response.extensions_mut().insert(Policy::CloseAfter(SECOND));
        Ok::<_, Infallible>(response)
    });
    let served = tokio::spawn(roof.connection(server, flood));
    let mut client = Client::new(client);
    client.send(GET).await;
    sleep(SECOND).await;
    let _report = roof.begin();
    sleep(SECOND * 2).await;
    client.io.read_to_end(&mut client.read).await.unwrap();
    assert!(client.read.len() < 1_000, "{}", client.read.len());
    drop(client);
    assert!(served.await.unwrap().unwrap_err().to_string().contains("policy"));
}

const UPGRADE: &str = "GET / HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";

/// Gives each upgraded connection to the test; the answer has this policy.
fn upgrading(
    policy: Option<Policy>,
) -> (
    mpsc::UnboundedReceiver<TokioIo<upgrade::Upgraded>>,
    impl Clone + Send + 'static + Fn(Request<Incoming>) -> BoxReply,
) {
    let (give, given) = mpsc::unbounded_channel();
    let handler = move |request: Request<Incoming>| -> BoxReply {
        let give = give.clone();
        tokio::spawn(async move { give.send(TokioIo::new(upgrade::on(request).await.unwrap())) });
        Box::pin(async move {
            let mut response = reply("")?;
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            if let Some(policy) = policy {
                response.extensions_mut().insert(policy);
            }
            Ok(response)
        })
    };
    (given, handler)
}

#[tokio::test(start_paused = true)]
async fn an_upgraded_connection_ends_when_its_policy_says() {
    for (of_connection, of_response, at) in [
        (Policy::CloseNow, None, Duration::ZERO),
        (Policy::CloseAfter(SECOND * 3), None, SECOND * 3),
        (Policy::CloseNow, Some(Policy::CloseAfter(SECOND * 4)), SECOND * 4),
        (Policy::CloseNow, Some(Policy::Finish), SECOND * 20),
    ] {
        let roof = Roof::new();
        let (mut given, handler) = upgrading(of_response);
        let (mut client, _) = spawn(&roof, service_fn(handler), of_connection);
        client.send(UPGRADE).await;
        assert_eq!(client.answer().await.status, 101);
        let (mut reading, mut writing) = tokio::io::split(given.recv().await.unwrap());
        let reading = tokio::spawn(async move { reading.read(&mut [0; 8]).await });
        let writing = tokio::spawn(async move { writing.write_all(&[0; 1_000_000]).await });
        sleep(SECOND).await;
        let report = roof.begin();
        assert_eq!(reading.await.unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
        assert_eq!(writing.await.unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
        let report = report.await.unwrap();
        assert_eq!((report.took(), report.of(Kind::Upgraded).cut), (at, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_in_the_drain_is_answered_and_then_its_policy_holds() {
    for (of_response, at) in [(None, SECOND * 20), (Some(Policy::CloseNow), Duration::ZERO)] {
        let roof = Roof::new();
        let (mut given, handler) = upgrading(of_response);
        let (mut client, _) = spawn(&roof, service_fn(handler), Policy::CloseNow);
        let (began, report) = (Instant::now(), roof.begin());
        client.send(UPGRADE).await;
        assert_eq!(client.answer().await.status, 101, "{of_response:?}");
        let mut raw = given.recv().await.unwrap();
        assert_eq!(raw.read(&mut [0; 8]).await.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
        assert_eq!(began.elapsed(), at);
        drop(raw);
        assert_eq!(report.await.unwrap().of(Kind::Upgraded).cut, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_serves_policy_is_that_of_its_connections() {
    let roof = Roof::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let _serving = tokio::spawn(roof.serve(listener, service_fn(endless)).policy(Policy::CloseNow));
    let mut client = Client::new(TcpStream::connect(addr).await.unwrap());
    client.send(GET).await;
    while !client.text().contains("tick") {
        client.io.read_buf(&mut client.read).await.unwrap();
    }
    client.read.clear();
    roof.gate.set(Gate::Ended(crate::accept::Ending::Emptied));
    let report = roof.begin();
    client.end().await;
    drop(client);
    let report = report.await.unwrap();
    assert_eq!((report.cut(), report.took() < SECOND), (1, true));
}

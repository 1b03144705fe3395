//! What a server has going that knows no end of its own, and what decides when it ends.

use std::{
    convert::Infallible,
    env,
    net::SocketAddr,
    path::PathBuf,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Extension, Router,
    body::{Body, Bytes},
    extract::{Path, Request},
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::Sleep,
};
use tokio_hotrestart::{
    Graceful, Report, State,
    drain::{EndInput, Kind, Policy, Why},
    hooks::Hook,
};

use super::{
    Fleet,
    server::{app, hand_over, say},
};

/// `HR_POLICY`: of the main listener and of raw connections. `now`, or milliseconds; else they finish.
pub fn policy() -> Policy {
    env::var("HR_POLICY").map_or_else(|_| Policy::default(), |text| parse(&text))
}

fn parse(text: &str) -> Policy {
    match text {
        "finish" => Policy::Finish,
        "now" => Policy::CloseNow,
        after => Policy::CloseAfter(milliseconds(after)),
    }
}

fn milliseconds(text: &str) -> Duration {
    Duration::from_millis(text.parse().expect("milliseconds"))
}

fn path(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from)
}

/// Where generation 0 has said that this listener is.
pub fn address(fleet: &mut Fleet, listener: &str) -> SocketAddr {
    fleet.until(&format!("{listener} generation=0 "))["address"].parse().expect("an address")
}

/// - `HR_RAW`: a listener of raw connections, which echo. `HR_END_INPUT=what_came`, or milliseconds of silence.
/// - `HR_LAST_UNIX=<path>`: another listener that is last to close.
/// - `HR_AT_EXIT=<FIFO>`: an exit hook says `leaving …` and waits there.
/// - `HR_STATES`: each state of this generation is said: `state … is=…`.
pub async fn open(graceful: &Graceful, generation: u64) -> Result<(), tokio_hotrestart::Error> {
    if env::var_os("HR_RAW").is_some() {
        let raw = graceful.listen("raw", "127.0.0.1:0").await?;
        say(format_args!("raw generation={generation} address={}", raw.local_addr().expect("bound")));
        tokio::spawn(echo_raw(graceful.clone(), raw));
    }
    if let Some(path) = path("HR_LAST_UNIX") {
        let admin = graceful.listen_unix("admin", path).await?;
        tokio::spawn(graceful.serve(admin, app(graceful.clone(), generation)).hand_over(hand_over()).last_to_close());
    }
    if let Some(fifo) = path("HR_AT_EXIT") {
        let wait = move || {
            say(format_args!("leaving generation={generation} pid={}", std::process::id()));
            until_released(fifo.clone())
        };
        graceful.hook(Hook::at_exit("test", wait).deadline(Duration::MAX));
    }
    if env::var_os("HR_STATES").is_some() {
        let mut states = graceful.state();
        tokio::spawn(async move {
            while states.changed().await.is_ok() {
                let state = states.borrow_and_update().to_string().replace(' ', "_");
                say(format_args!("state generation={generation} pid={} is={state}", std::process::id()));
            }
        });
    }
    Ok(())
}

async fn until_released(fifo: PathBuf) -> Result<(), Infallible> {
    tokio::task::spawn_blocking(|| std::fs::read(fifo)).await.expect("no panic").expect("a FIFO");
    Ok(())
}

async fn echo_raw(graceful: Graceful, mut listener: TcpListener) {
    while let Some((stream, _)) = graceful.accept(&mut listener).await {
        let mut stream = graceful.tracker().track(stream).policy(policy());
        match env::var("HR_END_INPUT").as_deref() {
            Err(_) => {}
            Ok("what_came") => stream = stream.end_input(EndInput::AfterWhatCame),
            Ok(silence) => stream = stream.end_input(EndInput::WhenIdle(milliseconds(silence))),
        }
        // Of tokio's own: only the connection is counted.
        tokio::spawn(async move {
            let mut bytes = [0; 4096];
            loop {
                match stream.read(&mut bytes).await? {
                    0 => return stream.close().await,
                    count => stream.write_all(&bytes[..count]).await?,
                }
            }
        });
    }
}

/// How those that were cut were cut, where there were any: `cut … why=http1:closed_by_policy:1,…`.
pub fn tell(report: &Report, generation: u64) {
    let kinds = [Kind::Handshake, Kind::Fresh, Kind::Http1, Kind::Http2, Kind::Upgraded, Kind::Task, Kind::Other];
    let reasons = [Why::Deadline, Why::Policy, Why::HalfOpen, Why::LeftBehind, Why::Undecided];
    let each = kinds.into_iter().flat_map(|kind| reasons.map(|why| (kind, why, report.of(kind).cut_by(why))));
    let some = each.filter(|(_, _, count)| *count > 0).map(|(kind, why, count)| format!("{kind}:{why}:{count}"));
    let why = some.collect::<Vec<_>>().join(",").replace(' ', "_");
    if !why.is_empty() {
        say(format_args!("cut generation={generation} pid={} why={why}", std::process::id()));
    }
}

/// - `GET /readyz`: the state, and 503 in one that is not ready.
/// - `GET /sse`: a word every 20 ms, for ever; `GET /sse/{policy}`: with a policy of its own.
/// - `GET /known/{ms}`: an answer that knows its length, and takes that long; `GET /known/{ms}/{policy}`.
/// - `POST /chat`: each piece of the body comes back, before the next.
/// - `POST /early`: is answered when the drain begins, whatever comes. `POST /hand`: at once, and a task takes the body:
///   `handed …`.
/// - `GET /task`: begins a task that blocks a thread until `HR_TASK=<FIFO>` is released; `GET /guard`: one that holds a
///   guard for ever, and that nobody can cut.
/// - `CONNECT`: a tunnel to an echo.
pub fn routes(graceful: &Graceful, generation: u64) -> Router {
    let (state, task, guard, hand) = (graceful.state(), graceful.clone(), graceful.clone(), graceful.clone());
    let readyz = move || {
        let state = *state.borrow();
        let code = match state {
            State::Ready | State::Restarting => StatusCode::OK,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        async move { (code, state.to_string()) }
    };
    let task = move || {
        let fifo = path("HR_TASK").expect("set");
        task.spawn(until_released(fifo));
        async { "begun" }
    };
    let guard = move || {
        let guard = guard.tracker().guard();
        tokio::spawn(async move {
            let _guard = guard;
            std::future::pending::<()>().await;
        });
        async { "held" }
    };
    let hand = move |mut body: Body| {
        hand.spawn(async move {
            let mut bytes = 0;
            // Not until nothing more comes: of an upload that was answered early hyper says so only when it reads the next
            // head, and where the connection ends first, that the upload is incomplete, although it is whole.
            while !http_body::Body::is_end_stream(&body) {
                let frame = body.frame().await.expect("its length is known")?;
                bytes += frame.data_ref().map_or(0, Bytes::len);
            }
            say(format_args!("handed generation={generation} pid={} bytes={bytes}", std::process::id()));
            Ok::<_, axum::Error>(())
        });
        async { "taken" }
    };
    let early = graceful.watch();
    let early = move || {
        let drains = early.draining();
        async move {
            drains.await;
            "taken"
        }
    };
    let own = |Path((ms, policy)): Path<(u64, String)>| async move { (Extension(parse(&policy)), known(ms)) };
    Router::new()
        .route("/readyz", get(readyz))
        .route("/sse", get(|| async { endless() }))
        .route("/sse/{policy}", get(|Path(policy): Path<String>| async move { (Extension(parse(&policy)), endless()) }))
        .route("/known/{ms}", get(|Path(ms): Path<u64>| async move { known(ms) }))
        .route("/known/{ms}/{policy}", get(own))
        .route("/chat", post(|body: Body| async { body }))
        .route("/early", post(early))
        .route("/hand", post(hand))
        .route("/task", get(task))
        .route("/guard", get(guard))
        .fallback(tunnel)
}

fn endless() -> Body {
    let words = futures_util::stream::unfold((), async |()| {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Some((Ok::<_, Infallible>("data: tick\n\n"), ()))
    });
    Body::from_stream(words)
}

async fn tunnel(request: Request) -> Response {
    if request.method() != Method::CONNECT {
        return StatusCode::NOT_FOUND.into_response();
    }
    tokio::spawn(async move {
        let mut stream = TokioIo::new(hyper::upgrade::on(request).await.expect("a tunnel"));
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut bytes).await {
            stream.write_all(&bytes[..count]).await?;
        }
        std::io::Result::Ok(())
    });
    StatusCode::OK.into_response()
}

fn known(milliseconds: u64) -> Body {
    let sleep = tokio::time::sleep(Duration::from_millis(milliseconds));
    Body::new(Known { begin: Some(Bytes::from("known ")), rest: Some(Bytes::from("length")), sleep: Box::pin(sleep) })
}

/// Its beginning is there at once, and the rest when it has slept.
struct Known {
    begin: Option<Bytes>,
    rest: Option<Bytes>,
    sleep: Pin<Box<Sleep>>,
}

impl http_body::Body for Known {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(begin) = self.begin.take() {
            return Poll::Ready(Some(Ok(Frame::data(begin))));
        }
        std::task::ready!(self.sleep.as_mut().poll(cx));
        Poll::Ready(self.rest.take().map(|rest| Ok(Frame::data(rest))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let left = [&self.begin, &self.rest].into_iter().flatten().map(Bytes::len).sum::<usize>();
        SizeHint::with_exact(left as u64)
    }
}

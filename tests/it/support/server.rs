//! The server under test. What it is comes from the environment (`HR_…`), which its successors inherit; what it does
//! it says on stdout, a line each, and stdout is one pipe for all generations.

use std::{
    env, ffi::OsStr, fmt, io::Write, net::SocketAddr, os::unix::ffi::OsStrExt, path::PathBuf, pin::pin, time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::{
        ConnectInfo, DefaultBodyLimit, Path,
        ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code, rejection::WebSocketUpgradeRejection},
    },
    http::HeaderValue,
    response::Response,
    routing::{any, get},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_hotrestart::{
    Builder, Graceful, Listener, Report, Signals,
    drain::{Kind, Times, Watch},
    scrub,
    serve::HandOver,
};
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

use super::{Fifo, clock, doors, hooks, kinds, lock::Lock, long, orders, raw, state, step::Step};

/// One line, written at once, so that lines of two generations never mix.
pub fn say(line: fmt::Arguments<'_>) {
    let line = format!("{line}\n");
    std::io::stdout().lock().write_all(line.as_bytes()).expect("the test reads until the last generation has ended");
}

pub fn main() {
    let threads: usize = number("HR_THREADS").unwrap_or(2);
    let mut runtime = match threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        threads => {
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            runtime.worker_threads(threads);
            runtime
        }
    };
    let code = runtime.enable_all().build().expect("a runtime").block_on(serve());
    // Not by returning: libtest would add its own words to the last line.
    std::process::exit(code);
}

async fn serve() -> i32 {
    let logs = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    let step = Step::of_environment();
    tracing_subscriber::registry()
        .with(logs.with_filter(EnvFilter::try_from_env("HR_LOG").unwrap_or_else(|_| EnvFilter::new("info"))))
        .with(step.clone())
        .init();
    if step.is_some() {
        clock::obey();
    }
    tracing::debug!("begun");
    let graceful = match builder().build().await {
        Ok(graceful) => graceful,
        Err(error) => {
            eprintln!("not started: {error}");
            return 20;
        }
    };
    let generation = graceful.generation();
    step.inspect(|step| step.begin(generation));
    obey(&graceful);
    orders::obey(&graceful);
    hooks::register(&graceful);
    say(format_args!("started generation={generation} pid={}", std::process::id()));
    if text("HR_TWICE").is_some() {
        let second = Graceful::builder().signals(Signals::none()).build().await.expect("it can be had");
        let claimed = second.claim::<TcpListener>("http").expect("a name").is_some();
        let (number, successor) = (second.generation(), second.is_successor());
        say(format_args!("twice generation={generation} is={number} successor={successor} claimed={claimed}"));
    }
    if let Some(place) = env::var_os("HR_CHDIR") {
        env::set_current_dir(place).expect("a directory");
    }
    match live(&graceful, generation).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("generation {generation} failed: {error}");
            // As a careful application does: what it must not accept now, it accepts nowhere.
            graceful.drain().await;
            21
        }
    }
}

async fn live(graceful: &Graceful, generation: u64) -> Result<i32, tokio_hotrestart::Error> {
    state::inherit(graceful)?;
    state::expect(graceful)?;
    let backlog = number("HR_BACKLOG").unwrap_or(4096);
    let http = graceful.listen("http", text("HR_LISTEN").unwrap_or_else(|| "127.0.0.1:0".into()));
    let http = http.backlog(backlog).await?;
    let http_address = http.local_addr().expect("bound");
    let echo = graceful.listen("echo", text("HR_ECHO").unwrap_or_else(|| "127.0.0.1:0".into())).await?;
    let echo_address = echo.local_addr().expect("bound");
    #[cfg(feature = "serve")]
    {
        let serve = graceful.serve(http, app(graceful.clone(), generation)).policy(long::policy());
        let mut serve = serve.hand_over(hand_over());
        if let Some(most) = number("HR_MAX_CONNECTIONS") {
            serve = serve.max_connections(most);
        }
        tokio::spawn(serve);
    }
    if let Some(path) = text("HR_UNIX") {
        let unix = graceful.listen_unix("unix", path).backlog(backlog).await?;
        #[cfg(feature = "serve")]
        tokio::spawn(graceful.serve(unix, app(graceful.clone(), generation)).hand_over(hand_over()));
    }
    tokio::spawn(serve_echo(graceful.clone(), echo));
    #[cfg(feature = "serve")]
    if let Some(address) = text("HR_LAST") {
        let health = graceful.listen("health", address).await?;
        say(format_args!("health generation={generation} address={}", health.local_addr().expect("bound")));
        tokio::spawn(graceful.serve(health, app(graceful.clone(), generation)).hand_over(hand_over()).last_to_close());
    }
    if let Some(address) = text("HR_EXTRA") {
        let extra = graceful.listen("extra", address).await?;
        say(format_args!("extra generation={generation} address={}", extra.local_addr().expect("bound")));
        tokio::spawn(serve_echo(graceful.clone(), extra));
    }
    if let Some(path) = text("HR_UNIX_ECHO") {
        tokio::spawn(serve_echo(graceful.clone(), graceful.listen_unix("unix echo", path).await?));
    }
    doors::open(graceful, generation).await?;
    kinds::open(graceful, generation).await?;
    long::open(graceful, generation).await?;
    raw::open(graceful).await?;
    if let Some(extra) = number::<u64>("HR_EXTEND_MS") {
        graceful.extend_ready_deadline(Duration::from_millis(extra));
    }
    if let Some(fifo) = env::var_os("HR_FIFO") {
        say(format_args!("waiting generation={generation} pid={}", std::process::id()));
        Fifo::wait(fifo).await;
    }
    if let Some(bytes) = number("HR_CHATTER") {
        eprintln!("{}, said generation {generation}", "x".repeat(bytes));
    }
    tokio::time::sleep(Duration::from_millis(number("HR_START_DELAY_MS").unwrap_or(0))).await;
    let lock = Lock::of_environment(graceful);
    if let Some(lock) = lock.as_ref().filter(|_| generation == 0) {
        lock.take().await;
    }
    graceful.ready().await?;
    if let Some(lock) = lock.filter(|_| generation > 0) {
        lock.take().await;
    }
    say(format_args!(
        "ready generation={generation} pid={} http={http_address} echo={echo_address}",
        std::process::id()
    ));
    let cause = graceful.restart_signal().await;
    say(format_args!(
        "ending generation={generation} pid={} cause={}",
        std::process::id(),
        cause.to_string().replace(' ', "_")
    ));
    let report = graceful.drain().await;
    if text("HR_FINAL").is_some() {
        state::tell_count(generation);
    }
    long::tell(&report, generation);
    say(format_args!(
        "done generation={generation} pid={} finished={} told={} raced={} cut={} handed={} code={} clean={} lost={} kinds={} failures={}",
        std::process::id(),
        report.finished(),
        report.told(),
        report.raced(),
        report.cut(),
        report.handed_over(),
        report.exit_code(),
        report.is_clean(),
        report.successor_lost(),
        kinds(&report),
        report.failures().iter().map(ToString::to_string).collect::<Vec<_>>().join(",").replace(' ', "_"),
    ));
    if text("HR_LINGER").is_some() {
        say(format_args!("lingering generation={generation} pid={}", std::process::id()));
        std::future::pending::<()>().await;
    }
    Ok(report.exit_code().into())
}

/// `HR_HAND_OVER=never`: no live connection goes to the successor.
pub fn hand_over() -> HandOver {
    match text("HR_HAND_OVER").as_deref() {
        None => HandOver::default(),
        Some("never") => HandOver::Never,
        Some(other) => panic!("hand over {other}?"),
    }
}

/// `fresh:finished/told/raced/cut,…`: how those of each kind ended, where there were any.
fn kinds(report: &Report) -> String {
    let kinds =
        [Kind::Serve, Kind::Handshake, Kind::Fresh, Kind::Http1, Kind::Http2, Kind::Upgraded, Kind::Task, Kind::Other];
    let of = |kind: Kind| (kind, report.of(kind));
    let some = kinds.into_iter().map(of).filter(|(_, of)| of.finished + of.raced + of.cut > 0);
    let words = some.map(|(kind, of)| format!("{kind}:{}/{}/{}/{}", of.finished, of.told, of.raced, of.cut));
    words.collect::<Vec<_>>().join(",").replace(' ', "_")
}

pub async fn serve_echo<L: Listener>(graceful: Graceful, mut listener: L) {
    while let Some((mut stream, _)) = graceful.accept(&mut listener).await {
        graceful.spawn(async move {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut bytes).await {
                stream.write_all(&bytes[..count]).await?;
            }
            std::io::Result::Ok(())
        });
    }
}

/// The application's own signals. SIGHUP: asks for a restart by the method, and says the answer. SIGUSR1: runs a child
/// that has nothing to do with restarts, and says what descriptors and which of the variables it finds that were meant for
/// the server (`HR_SCRUB`: with `scrub`).
fn obey(graceful: &Graceful) {
    let generation = graceful.generation();
    let mut asked = signal(SignalKind::hangup()).expect("a handler");
    let graceful = graceful.clone();
    tokio::spawn(async move {
        while asked.recv().await.is_some() {
            let outcome = graceful.restart();
            // The drain waits for it, or this process might end with the answer unsaid.
            graceful.spawn(async move {
                let said = match outcome.await {
                    Ok(successor) => format!("replaced by {}", successor.pid()),
                    Err(error) => format!("{:?}: {error}", error.kind()).replace('\n', " "),
                };
                say(format_args!("answer generation={generation} pid={} said={said}", std::process::id()));
            });
        }
    });
    let mut asked = signal(SignalKind::user_defined1()).expect("a handler");
    tokio::spawn(async move {
        while asked.recv().await.is_some() {
            let list =
                "for link in /proc/self/fd/*; do printf '%s:%s,' \"$link\" \"$(readlink \"$link\")\"; done; echo; env";
            let mut shell = tokio::process::Command::new("sh");
            if text("HR_SCRUB").is_some() {
                scrub(shell.as_std_mut());
            }
            let output = shell.args(["-c", list]).output().await.expect("a shell");
            let output = String::from_utf8_lossy(&output.stdout);
            let (holds, variables) = output.split_once('\n').expect("two lists");
            let meant =
                |name: &&str| ["LISTEN_", "NOTIFY_", "WATCHDOG_", "TOKIO_"].iter().any(|it| name.starts_with(it));
            let names = variables.lines().filter_map(|line| Some(line.split_once('=')?.0)).filter(meant);
            let finds = names.collect::<Vec<_>>().join(",");
            say(format_args!("child generation={generation} pid={} holds={holds} finds={finds}", std::process::id()));
        }
    });
}

fn builder() -> Builder {
    let mut builder = Graceful::builder().signals(Signals::new());
    let time = |name| number(name).map(Duration::from_millis);
    if let Some(time) = time("HR_READY_DEADLINE_MS") {
        builder = builder.ready_deadline(time);
    }
    builder = builder.probation(time("HR_PROBATION_MS").unwrap_or(Duration::from_millis(50)));
    let mut on_restart = Times::for_restart().grace(time("HR_GRACE_MS").unwrap_or(Duration::from_millis(300)));
    if let Some(time) = time("HR_RESTART_DEADLINE_MS") {
        on_restart = on_restart.deadline(time);
    }
    let mut on_stop = Times::for_stop().grace(time("HR_GRACE_MS").unwrap_or(Duration::from_millis(300)));
    if let Some(time) = time("HR_STOP_DEADLINE_MS") {
        on_stop = on_stop.deadline(time);
    }
    if let Some(time) = time("HR_LAME_DUCK_MS") {
        on_stop = on_stop.lame_duck(time);
    }
    if text("HR_AT_ONCE").is_some() {
        (on_restart, on_stop) = (on_restart.at_once(), on_stop.at_once());
    }
    if let Some(path) = env::var_os("HR_PID_FILE") {
        builder = builder.pid_file(PathBuf::from(path));
    }
    if let Some(path) = env::var_os("HR_CONTROL") {
        builder = builder.control(path).control_users(number::<u32>("HR_CONTROL_USER"));
    }
    builder = builder.descriptor_store(text("HR_STORE").is_some()).restart_as_pid_1(text("HR_AS_PID_1").is_some());
    let alive = time("HR_FOREIGN_ALIVE_MS");
    if alive.is_some() || text("HR_FOREIGN").is_some() {
        builder = builder.foreign_successor(alive);
    }
    if let Some(program) = env::var_os("HR_PROGRAM") {
        builder = builder.program(program);
    }
    if let Some(most) = number("HR_MAX_DRAINING") {
        builder = builder.max_draining(most);
    }
    if let Some(arguments) = env::var_os("HR_ARGS") {
        builder = builder.args(arguments.as_bytes().split(|byte| *byte == b'\n').map(OsStr::from_bytes));
    }
    builder.on_restart(on_restart).on_stop(on_stop)
}

fn text(name: &str) -> Option<String> {
    env::var(name).ok()
}

fn number<T: std::str::FromStr<Err: fmt::Debug>>(name: &str) -> Option<T> {
    text(name).map(|text| text.parse().expect("a number"))
}

/// As `examples/axum.rs` and the `load` crate have it: `GET /`, `POST /` (echo), `GET /slow/{ms}`, `GET /stream/{ms}`,
/// `GET /ws` (echo, closed at a drain). Besides: `GET /ws/stay` (not closed), `GET /large/{bytes}`, and `GET /restart`
/// (asks for one and answers with its outcome). And where a door knows it, `GET /peer`, the client's address.
pub fn app(graceful: Graceful, generation: u64) -> Router {
    let number = HeaderValue::from(generation);
    let watch = graceful.watch();
    let long = long::routes(&graceful, generation);
    let restart = move || {
        let graceful = graceful.clone();
        async move {
            match graceful.restart().await {
                Ok(successor) => format!("replaced by {}", successor.pid()),
                Err(error) => format!("{:?}: {error}", error.kind()),
            }
        }
    };
    Router::new()
        .route("/", get(|| async { "hello world" }).post(|body: Bytes| async { body }))
        .route("/slow/{ms}", get(slow))
        .route("/stream/{ms}", get(stream))
        .route("/large/{bytes}", get(|Path(bytes): Path<usize>| async move { large(bytes) }))
        .route("/ws", any(move |upgrade| websocket(upgrade, watch.clone())))
        .route("/ws/stay", any(|upgrade| websocket(upgrade, Watch::never())))
        .route("/restart", get(restart))
        .route("/peer", get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() }))
        .merge(long)
        .layer(DefaultBodyLimit::disable())
        .layer(axum::middleware::map_response(move |mut response: Response| {
            state::count();
            response.headers_mut().insert("x-generation", number.clone());
            std::future::ready(response)
        }))
}

/// So many bytes, none like its neighbours: what is missing or twice in an answer shows.
pub fn large(bytes: usize) -> Vec<u8> {
    let mut large = (0..=250).collect::<Vec<u8>>().repeat(bytes / 251 + 1);
    large.truncate(bytes);
    large
}

async fn slow(Path(milliseconds): Path<u64>) -> String {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    format!("slept {milliseconds} ms")
}

/// A line every 50 ms.
async fn stream(Path(milliseconds): Path<u64>) -> axum::body::Body {
    let lines = futures_util::stream::unfold(0, move |number| async move {
        if number == milliseconds.div_ceil(50) {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        Some((Ok::<_, std::io::Error>(format!("chunk {number}\n")), number + 1))
    });
    axum::body::Body::from_stream(lines)
}

async fn websocket(upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>, watch: Watch) -> Response {
    match upgrade {
        Err(rejection) => axum::response::IntoResponse::into_response(rejection),
        Ok(upgrade) => upgrade.on_upgrade(|socket| echo(socket, watch)),
    }
}

/// Echoes messages until the client leaves, or until the drain, and then says so.
async fn echo(mut socket: WebSocket, watch: Watch) {
    let mut draining = pin!(watch.draining());
    loop {
        tokio::select! {
            received = socket.recv() => match received {
                Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                    if socket.send(message).await.is_err() {
                        return;
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
            _ = &mut draining => break,
        }
    }
    let goodbye = CloseFrame { code: close_code::RESTART, reason: "this generation ends".into() };
    if socket.send(Message::Close(Some(goodbye))).await.is_ok() {
        while let Some(Ok(_)) = socket.recv().await {}
    }
}

//! The server that is restarted: this program, run once more.

use std::{
    convert::Infallible,
    fmt,
    io::Write,
    net::{Ipv4Addr, SocketAddr},
    os::fd::AsFd,
    path::PathBuf,
    pin::pin,
    process::ExitCode,
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{
        Path, State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket, close_code},
    },
    http::HeaderValue,
    middleware::map_response,
    response::Response,
    routing::get,
};
use clap::Args;
use futures_util::{StreamExt, stream};
use nix::sys::stat::fstat;
use tokio::{
    net::UdpSocket,
    signal::unix::{SignalKind, signal},
    time::sleep,
};
use tokio_hotrestart::{
    Graceful,
    drain::{Times, Watch},
};

use super::{fault::Fault, lines, process::Process};

/// When a successor that is not ready is given up: on a busy machine a start alone takes seconds.
pub(super) const READY_DEADLINE: Duration = Duration::from_secs(5);
/// For how long a confirmed one could be taken back: a bad one dies within it, also where it gets the processor late.
pub(super) const PROBATION: Duration = Duration::from_millis(800);
/// How long a replaced generation may take.
pub(super) const DRAIN_DEADLINE: Duration = Duration::from_secs(20);

/// How a generation is started.
#[derive(Clone, Debug, Args)]
pub(super) struct Be {
    /// Be a server, whose files lie there
    #[arg(long = "be", hide = true, value_name = "DIR")]
    pub(super) place: Option<PathBuf>,
    /// Where it listens: HTTP, lines and datagrams
    #[arg(long, hide = true, value_delimiter = ',')]
    pub(super) ports: Vec<u16>,
    /// How many threads it has
    #[arg(long, hide = true, default_value_t = 1)]
    pub(super) threads: usize,
    /// How it is bad
    #[arg(long, hide = true)]
    pub(super) fault: Option<Fault>,
}

/// One line, written at once, so that lines of two generations never mix.
fn say(line: fmt::Arguments<'_>) {
    let line = format!("{line}\n");
    std::io::stdout().lock().write_all(line.as_bytes()).expect("the soak reads until the last generation has ended");
}

/// Is a generation.
pub(super) fn serve(be: &Be, place: &std::path::Path) -> anyhow::Result<ExitCode> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    if let Some(fault) = be.fault {
        fault.at_start()?;
    }
    let mut runtime = match be.threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    runtime.worker_threads(be.threads).enable_all().build()?.block_on(live(be, place))
}

async fn live(be: &Be, place: &std::path::Path) -> anyhow::Result<ExitCode> {
    let graceful = Graceful::builder()
        .control(place.join("control"))
        .pid_file(place.join("pid"))
        .program(place.join("program"))
        .ready_deadline(READY_DEADLINE)
        .probation(PROBATION)
        .on_restart(Times::for_restart().deadline(DRAIN_DEADLINE))
        .on_stop(Times::for_stop().deadline(Duration::from_secs(12)))
        .build()
        .await?;
    let (generation, me) = (graceful.generation(), Process::me().says());
    tell_states(&graceful);
    obey(&graceful);
    let [http, lines, datagrams] = be.ports[..] else { anyhow::bail!("three ports") };
    let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let http = graceful.listen("http", address(http)).await?;
    let unix = graceful.listen_unix("unix", place.join("unix")).await?;
    let lines = graceful.listen("lines", address(lines)).await?;
    let datagrams = graceful.bind::<UdpSocket, _>("datagrams", address(datagrams)).await?;
    let inodes = [inode(&http)?, inode(&unix)?, inode(&lines)?, inode(&datagrams)?];
    if let Some(fault) = be.fault {
        fault.before_ready(&graceful).await?;
    }
    if be.fault.is_none() {
        let app = app(&graceful);
        tokio::spawn(graceful.serve(http, app.clone()));
        tokio::spawn(graceful.serve(unix, app));
        lines::serve(&graceful, lines)?;
        graceful.spawn(echo_datagrams(graceful.clone(), datagrams));
    }
    graceful.ready().await?;
    let [http, unix, lines, datagrams] = inodes;
    say(format_args!("ready generation={generation} process={me} inodes={http},{unix},{lines},{datagrams}"));
    if let Some(fault) = be.fault {
        fault.after_ready().await?;
    }
    graceful.restart_signal().await;
    let report = graceful.drain().await;
    say(format_args!(
        "done generation={generation} process={me} handed={} raced={} cut={} lost={}",
        report.handed_over(),
        report.raced(),
        report.cut(),
        report.successor_lost(),
    ));
    tracing::info!("{report}");
    Ok(ExitCode::from(report.exit_code()))
}

/// A socket is the same one where its inode is.
fn inode(socket: &impl AsFd) -> nix::Result<u64> {
    Ok(fstat(socket)?.st_ino)
}

fn tell_states(graceful: &Graceful) {
    let (generation, me, mut state) = (graceful.generation(), Process::me().says(), graceful.state());
    tokio::spawn(async move {
        while state.changed().await.is_ok() {
            let now = *state.borrow_and_update();
            say(format_args!("state generation={generation} process={me} is={}", now.to_string().replace(' ', "-")));
        }
    });
}

/// SIGHUP: asks for a restart by the method, and says the answer.
fn obey(graceful: &Graceful) {
    let (generation, me) = (graceful.generation(), Process::me().says());
    let mut asked = signal(SignalKind::hangup()).expect("a handler");
    let graceful = graceful.clone();
    tokio::spawn(async move {
        while asked.recv().await.is_some() {
            let (outcome, me) = (graceful.restart(), me.clone());
            // The drain waits for it, or this process might end with the answer unsaid.
            graceful.spawn(async move {
                let kind = match outcome.await {
                    Ok(successor) => format!("replaced-by-{}", successor.pid()),
                    Err(error) => format!("{:?}", error.kind()),
                };
                say(format_args!("answer generation={generation} process={me} kind={kind}"));
            });
        }
    });
}

async fn echo_datagrams(graceful: Graceful, socket: UdpSocket) {
    let mut buffer = [0; 64];
    while let Some((length, peer)) = graceful.receive(&socket, &mut buffer).await {
        if let Err(error) = socket.send_to(&buffer[..length], peer).await {
            tracing::info!(%error, "a datagram is not answered");
        }
    }
}

/// The paths that the `load` crate asks for, and a large answer for those who read slowly.
fn app(graceful: &Graceful) -> Router {
    let generation = HeaderValue::from(graceful.generation());
    let mark = move |mut response: Response| {
        response.headers_mut().insert("x-generation", generation.clone());
        std::future::ready(response)
    };
    Router::new()
        .route("/", get(|| async { "hello world" }).post(|body: Body| async { body }))
        .route("/slow/{ms}", get(slow))
        .route("/stream/{ms}", get(stream_lines))
        .route("/large/{bytes}", get(|Path(bytes): Path<usize>| async move { vec![b'x'; bytes] }))
        .route("/ws", get(websocket))
        .layer(map_response(mark))
        .with_state(graceful.watch())
}

async fn slow(Path(ms): Path<u64>) -> String {
    sleep(Duration::from_millis(ms)).await;
    format!("slept {ms} ms")
}

/// A line every 50 ms.
async fn stream_lines(Path(ms): Path<u64>) -> Body {
    let lines = stream::iter(0..ms.div_ceil(50)).then(|number| async move {
        sleep(Duration::from_millis(50)).await;
        Ok::<_, Infallible>(format!("chunk {number}\n"))
    });
    Body::from_stream(lines)
}

async fn websocket(upgrade: WebSocketUpgrade, State(watch): State<Watch>) -> Response {
    upgrade.on_upgrade(|socket| echo(socket, watch))
}

/// Echoes messages until the client leaves, or until this generation drains.
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
    let goodbye = CloseFrame { code: close_code::RESTART, reason: "replaced".into() };
    if socket.send(Message::Close(Some(goodbye))).await.is_ok() {
        while let Some(Ok(_)) = socket.recv().await {}
    }
}

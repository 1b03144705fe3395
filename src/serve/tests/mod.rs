//! One file per claim's subject; what they share is here: a generation's end, a connection, a client that counts bytes.

mod census;
mod deadlines;
mod downcast;
mod draining;
mod ending;
mod hand_over;
#[cfg(feature = "http2")]
mod http2;
mod hyper_facts;
mod lame_duck;
mod last;
mod policies;
mod services;
mod serving;
mod sniffing;
mod spread;
mod upgrades;

use std::{
    collections::HashSet,
    convert::Infallible,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use ::hyper::body::Bytes;
use ::hyper::{body::Incoming, service::service_fn};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::JoinHandle,
};

use super::{Connection, IntoMake, IntoService, Io, Serve, Wiring};
use crate::{
    Cause, Error, Listener, Report,
    accept::{Gate, Gatekeeper},
    drain::{Drain, Kind, Times, Why},
    handover::{Entrances, Exit},
    name::Name,
};

const SECOND: Duration = Duration::from_secs(1);
const GET: &str = "GET / HTTP/1.1\r\nhost: test\r\n\r\n";

/// What the roof does, as far as `serve` sees it.
struct Roof {
    drain: Drain,
    gate: Gatekeeper,
    failed: mpsc::UnboundedReceiver<Error>,
    tell_failed: mpsc::UnboundedSender<Error>,
    last_names: Arc<Mutex<HashSet<Name>>>,
    exit: Exit,
    entrances: Entrances,
}

impl Roof {
    fn new() -> Self {
        let (tell_failed, failed) = mpsc::unbounded_channel();
        let (drain, gate) = (Drain::new(), Gatekeeper::new(Gate::Open));
        let (exit, entrances) = (Exit::closed(), Entrances::default());
        Self { drain, gate, failed, tell_failed, last_names: Arc::default(), exit, entrances }
    }

    fn connection<T: Io, S: IntoService<M>, M>(&self, io: T, service: S) -> Connection<T, S::Service> {
        Connection::new(io, service.into_service(), self.drain.watch(), self.drain.tracker().guard())
    }

    fn serve<L: Listener, S: IntoMake<L::Addr, M>, M>(&self, listener: L, service: S) -> Serve<L, S::Make> {
        Serve::new(listener, service.into_make(), self.wiring())
    }

    fn serve_as<L, S, M>(&self, name: &str, listener: L, service: S) -> Serve<L, S::Make>
    where
        L: Listener,
        S: IntoMake<L::Addr, M>,
    {
        Serve::new(listener, service.into_make(), Wiring { name: Some(Name::new(name).unwrap()), ..self.wiring() })
    }

    fn wiring(&self) -> Wiring {
        Wiring {
            watch: self.drain.watch(),
            tracker: self.drain.tracker(),
            gate: self.gate.at_gate(),
            name: None,
            failed: self.tell_failed.clone(),
            last: self.drain.last(),
            last_names: self.last_names.clone(),
            exit: self.exit.clone(),
            entrances: self.entrances.clone(),
        }
    }

    /// Begins the drain, of all at once, and drives it.
    fn drain(&self, grace: u64, deadline: u64) -> JoinHandle<Report> {
        self.drain_by(&times(grace, deadline).at_once())
    }

    /// One after the other.
    fn drain_by(&self, times: &Times) -> JoinHandle<Report> {
        self.drain.begin(Cause::Stopped { by: None }, times);
        tokio::spawn(self.drain.ended())
    }

    fn begin(&self) -> JoinHandle<Report> {
        self.drain(5, 20)
    }

    /// A spawned connection over memory, and its client.
    fn spawn<S, M>(&self, service: S) -> (Client<DuplexStream>, JoinHandle<Result<(), Error>>)
    where
        S: IntoService<M>,
        S::Service: 'static,
    {
        let (client, server) = duplex(64 * 1024);
        (Client::new(client), tokio::spawn(self.connection(server, service)))
    }
}

fn times(grace: u64, deadline: u64) -> Times {
    Times::for_stop().grace(Duration::from_secs(grace)).deadline(Duration::from_secs(deadline))
}

/// A client that sees exactly what is on the wire.
struct Client<T> {
    io: T,
    read: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    closes: bool,
    body: String,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Client<T> {
    fn new(io: T) -> Self {
        Self { io, read: Vec::new() }
    }

    async fn send(&mut self, text: &str) {
        self.io.write_all(text.as_bytes()).await.unwrap();
    }

    /// The next response, by its content-length.
    async fn answer(&mut self) -> Answer {
        let head_len = loop {
            if let Some(at) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            assert_ne!(self.io.read_buf(&mut self.read).await.unwrap(), 0, "ended before a head: {:?}", self.text());
        };
        let head = String::from_utf8(self.read.drain(..head_len).collect()).unwrap().to_lowercase();
        let field =
            |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned());
        let body_len = field("content-length:").map_or(0, |len| len.parse().unwrap());
        while self.read.len() < body_len {
            assert_ne!(self.io.read_buf(&mut self.read).await.unwrap(), 0, "ended in a body");
        }
        let body = String::from_utf8(self.read.drain(..body_len).collect()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, closes: field("connection:").is_some_and(|value| value == "close"), body }
    }

    async fn get(&mut self) -> Answer {
        self.send(GET).await;
        self.answer().await
    }

    /// The server's end, with nothing before it.
    async fn end(&mut self) {
        let read = self.io.read_to_end(&mut self.read).await;
        assert_eq!((read.map_err(|error| error.kind()), self.text()), (Ok(0), String::new()));
    }

    /// Nothing comes within this time, not even the end.
    async fn silence(&mut self, time: Duration) {
        let read = tokio::time::timeout(time, self.io.read_buf(&mut self.read)).await;
        assert!(read.is_err(), "{read:?}: {:?}", self.text());
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.read).into_owned()
    }
}

fn kept(body: &str) -> Answer {
    Answer { status: 200, closes: false, body: body.to_owned() }
}

fn closing(body: &str) -> Answer {
    Answer { closes: true, ..kept(body) }
}

type Reply = Result<Response<Full<Bytes>>, Infallible>;

fn reply(body: impl Into<Bytes>) -> Reply {
    Ok(Response::new(Full::new(body.into())))
}

/// Answers everything with `hello`, and reads no body.
async fn hello(_: Request<Incoming>) -> Reply {
    reply("hello")
}

/// Answers with what it was sent.
async fn echo(request: Request<Incoming>) -> Reply {
    reply(request.into_body().collect().await.unwrap().to_bytes())
}

/// A handler that says when it is called, and answers when it is told.
fn on_command() -> (mpsc::UnboundedReceiver<Command>, impl Clone + Send + 'static + Fn(Request<Incoming>) -> BoxReply) {
    let (called, calls) = mpsc::unbounded_channel();
    let handler = move |request: Request<Incoming>| -> BoxReply {
        let (answer, answered) = tokio::sync::oneshot::channel();
        called.send(Command { request, answer }).unwrap();
        Box::pin(async move { reply(answered.await.unwrap_or_default()) })
    };
    (calls, handler)
}

type BoxReply = std::pin::Pin<Box<dyn Future<Output = Reply> + Send>>;

struct Command {
    request: Request<Incoming>,
    answer: tokio::sync::oneshot::Sender<String>,
}

/// Both ends of a real connection.
async fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (client, accepted) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (client.unwrap(), accepted.unwrap().0)
}

/// A body of one byte that ends when it is told to.
struct Late(Option<tokio::sync::oneshot::Receiver<()>>, bool);

impl Late {
    fn new(when: tokio::sync::oneshot::Receiver<()>) -> Self {
        Self(Some(when), false)
    }

    fn now() -> Self {
        Self(None, false)
    }
}

impl http_body::Body for Late {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        if let Some(when) = &mut self.0 {
            std::task::ready!(std::pin::Pin::new(when).poll(cx)).unwrap();
            self.0 = None;
        }
        let is_done = std::mem::replace(&mut self.1, true);
        std::task::Poll::Ready((!is_done).then(|| Ok(http_body::Frame::data("!".into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.1
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(u64::from(!self.1))
    }
}

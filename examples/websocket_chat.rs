//! A chat whose rooms and connections survive restarts: nobody is disconnected, no message is lost or heard twice, and all
//! hear what is said in a room in the same order.
//!
//! The rooms are in one process at a time. A room is a log of what was said, and each member knows how far it has heard; there
//! are no queues that could be on their way. So a restart moves two things:
//!
//! 1. *Freeze.* The rooms leave as the final state, when a successor serves. From then on nobody here can say anything.
//! 2. Each member's socket is handed over, with how far it has heard, and the bytes of its next messages that were read and
//!    not yet said.
//! 3. *Thaw.* The successor has the rooms before it has the first member, and who comes anew waits for them too.
//!
//! Only whole WebSocket messages are read: so what has begun to come stays in a buffer that can be handed over, and is not in
//! the middle of tungstenite. Where the successor does not take a member (it is another program, say), that one is closed here,
//! with code 1012 ("service restart"); at a stop with 1001 ("going away").
//!
//! ```text
//! cargo run --release --example websocket_chat
//! websocat ws://127.0.0.1:8080/chat/kitchen/ann
//! kill -USR2 <pid>    # replaces it
//! kill -TERM <pid>    # stops it
//! ```

#![expect(clippy::print_stdout, reason = "a program speaks to whoever started it")]

use std::{
    collections::{BTreeMap, VecDeque},
    error::Error,
    io, mem,
    net::SocketAddr,
    pin::{Pin, pin},
    process::ExitCode,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    Router,
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use clap::Parser;
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::OnUpgrade;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::watch,
    time::timeout,
};
use tokio_hotrestart::{
    Cause, Graceful, Tracked,
    raw::{Arrival, NotHandedOver},
    serve,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message,
        handshake::derive_accept_key,
        protocol::{CloseFrame, Role, frame::coding::CloseCode},
    },
};

/// A chat that replaces itself: SIGUSR2 restarts, SIGTERM stops.
#[derive(Debug, Parser)]
struct Args {
    /// Where to listen. Port 0 picks a free one, which all later generations keep
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
}

/// Under which name rooms and members go to the successor.
const CHAT: &str = "chat";

/// What the bytes of both mean. A program that means something else by them says another number.
const VERSION: u32 = 1;

/// How much of what was said a room remembers. Who comes anew hears it, and who falls behind by more misses the rest.
const REMEMBERED: usize = 1_000;

/// Longer messages are not for talking.
const LONGEST_MESSAGE: usize = 16 * 1024;

/// How long a client that was told goodbye may take to close.
const UNTIL_CLOSED: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let args = Args::parse();
    tracing_subscriber::fmt().with_writer(io::stderr).init();

    let graceful = Graceful::new().await?; // picks up what a predecessor passes
    let listener = graceful.listen("http", args.listen).await?; // inherited, or bound
    let address = listener.local_addr()?;
    let mut inherited = graceful.inherited(CHAT)?; // before `ready`: what nobody asks for goes back
    let chat = Chat { graceful: graceful.clone(), rooms: Arc::new(watch::Sender::new(None)) };
    let frozen = chat.clone();
    graceful.pass_final_state(CHAT, VERSION, move || {
        let chat = frozen.clone();
        async move { serde_json::to_vec(&chat.freeze().await) }
    })?;
    let app = Router::new().route("/chat/{room}/{name}", get(join)).with_state(chat.clone());
    tokio::spawn(graceful.serve(listener, app)); // accepts once this generation is confirmed

    graceful.ready().await?; // confirmed: the predecessor lets go
    println!("ready generation={} pid={} http={address}", graceful.generation(), std::process::id());

    let rooms = chat.inherited_rooms().await;
    let mut expected = rooms.members();
    chat.thaw(rooms);
    // Each member counts by itself. This task does not: the drain need not wait until the predecessor has none left.
    tokio::spawn(async move {
        while let Some(arrival) = inherited.next().await {
            if let Some(member) = chat.arrive(arrival) {
                let place = expected.iter().position(|other| *other == member);
                place.map(|place| expected.swap_remove(place));
            }
        }
        // Whose connection has ended on the way is not here any more.
        chat.with(|rooms| expected.iter().for_each(|(room, name)| rooms.leave(room, name)));
    });

    graceful.restart_signal().await; // a successor serves, or this is a stop
    let report = graceful.drain().await;
    println!("{report}");
    Ok(ExitCode::from(report.exit_code()))
}

// ---- the rooms

/// All that is said, where it is this process's.
#[derive(Clone)]
struct Chat {
    graceful: Graceful,
    /// `None`: they are with the predecessor still, or with the successor already.
    rooms: Arc<watch::Sender<Option<Rooms>>>,
}

/// By their names.
#[derive(Default, Serialize, Deserialize)]
struct Rooms(BTreeMap<String, Room>);

#[derive(Default, Serialize, Deserialize)]
struct Room {
    /// The number of the oldest that is remembered.
    first: u64,
    said: VecDeque<String>,
    /// One for each connection.
    members: Vec<String>,
    /// Whoever listens is told when something was said; and when the room leaves, because this ends with it.
    #[serde(skip)]
    news: watch::Sender<()>,
}

impl Chat {
    /// What was said until the predecessor froze; nothing where there was none.
    async fn inherited_rooms(&self) -> Rooms {
        let Some(state) = self.graceful.final_state(CHAT).await else { return Rooms::default() };
        if state.version() != VERSION {
            tracing::error!(version = state.version(), "the rooms are of another version, and are lost");
            return Rooms::default();
        }
        serde_json::from_slice(state.bytes()).unwrap_or_else(|error| {
            tracing::error!(%error, "the rooms can't be read, and are lost");
            Rooms::default()
        })
    }

    fn thaw(&self, rooms: Rooms) {
        self.rooms.send_replace(Some(rooms));
    }

    /// Takes the rooms, when they have come. A restart may follow another closely.
    async fn freeze(&self) -> Rooms {
        loop {
            self.are_here().await;
            if let Some(rooms) = self.rooms.send_replace(None) {
                return rooms;
            }
        }
    }

    async fn are_here(&self) {
        // The sender lives as long as the chat, so this is no error.
        let _ = self.rooms.subscribe().wait_for(Option::is_some).await;
    }

    /// `None` where the rooms are elsewhere.
    fn with<R>(&self, act: impl FnOnce(&mut Rooms) -> R) -> Option<R> {
        let mut done = None;
        self.rooms.send_if_modified(|rooms| {
            done = rooms.as_mut().map(act);
            false // nobody waits for what is said in them
        });
        done
    }
}

impl Rooms {
    fn members(&self) -> Vec<(String, String)> {
        let of = |(name, room): (&String, &Room)| {
            let name = name.clone();
            room.members.iter().map(|member| (name.clone(), member.clone())).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(of).collect()
    }

    /// A new member hears what is remembered; one that has come from the predecessor goes on.
    fn enter(&mut self, seat: &mut Seat) -> watch::Receiver<()> {
        let room = self.0.entry(seat.room.clone()).or_default();
        let is_known = room.members.contains(&seat.name);
        if !(is_known && seat.next.is_some()) {
            room.members.push(seat.name.clone());
        }
        if seat.next.is_none() && !is_known {
            room.say(format!("* {} has come", seat.name));
        }
        seat.next.get_or_insert(room.first);
        room.news.subscribe()
    }

    fn leave(&mut self, name: &str, member: &str) {
        let Some(room) = self.0.get_mut(name) else { return };
        if let Some(place) = room.members.iter().position(|other| other == member) {
            room.members.swap_remove(place);
        }
        if room.members.is_empty() {
            self.0.remove(name);
        } else if !room.members.iter().any(|other| other == member) {
            room.say(format!("* {member} has gone"));
        }
    }

    fn say(&mut self, seat: &Seat, text: &str) {
        if let Some(room) = self.0.get_mut(&seat.room) {
            room.say(format!("{}: {text}", seat.name));
        }
    }

    /// What this member has not heard. It has, from now on.
    fn news(&self, seat: &mut Seat) -> Vec<String> {
        let (Some(room), Some(next)) = (self.0.get(&seat.room), &mut seat.next) else { return Vec::new() };
        let heard = usize::try_from(next.saturating_sub(room.first)).unwrap_or(usize::MAX);
        *next = room.first + room.said.len() as u64;
        room.said.iter().skip(heard).cloned().collect()
    }
}

impl Room {
    fn say(&mut self, what: String) {
        if self.said.len() == REMEMBERED {
            self.said.pop_front();
            self.first += 1;
        }
        self.said.push_back(what);
        self.news.send_replace(());
    }
}

// ---- the members

/// A member, but for its socket. So it travels.
#[derive(Serialize, Deserialize)]
struct Seat {
    room: String,
    name: String,
    /// The number of what it hears next; `None` before it has entered.
    next: Option<u64>,
    /// What it has sent, and what the rooms have left before.
    unsaid: Option<String>,
    /// What was read of its next messages.
    unread: Vec<u8>,
}

type Socket = WebSocketStream<WholeMessages>;

/// Why a member does not go on here.
enum End {
    /// It has left.
    Left,
    /// This generation ends.
    Over(Cause),
}

/// The WebSocket handshake, by hand: axum's gives its socket to nobody.
async fn join(State(chat): State<Chat>, Path((room, name)): Path<(String, String)>, mut request: Request) -> Response {
    let Some(accept) = accepts(request.headers()) else {
        return (StatusCode::BAD_REQUEST, "this is for WebSockets\n").into_response();
    };
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        if let Err(error) = chat.enter(upgrade, room, name).await {
            tracing::info!(%error, "a member could not enter");
        }
    });
    let headers =
        [(header::CONNECTION, "upgrade"), (header::UPGRADE, "websocket"), (header::SEC_WEBSOCKET_ACCEPT, &accept)];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

fn accepts(headers: &HeaderMap) -> Option<String> {
    let is =
        |name, value: &str| headers.get(name).is_some_and(|is| is.as_bytes().eq_ignore_ascii_case(value.as_bytes()));
    let is_asked = is(header::UPGRADE, "websocket") && is(header::SEC_WEBSOCKET_VERSION, "13");
    headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| is_asked).map(|key| derive_accept_key(key.as_bytes()))
}

impl Chat {
    async fn enter(self, upgrade: OnUpgrade, room: String, name: String) -> Result<(), hyper::Error> {
        match serve::downcast::<TcpStream>(upgrade.await?) {
            Ok((stream, unread)) => self.attend(stream, Seat { room, name, next: None, unsaid: None, unread }).await,
            Err(_) => unreachable!("this server's HTTP/1 connections are over TCP, and HTTP/2 has no such upgrade"),
        }
        Ok(())
    }

    /// A member that comes from the predecessor; its room and its name.
    fn arrive(&self, arrival: Arrival) -> Option<(String, String)> {
        let (stream, state) = arrival.into_tcp().ok()?; // there is no other listener
        match serde_json::from_slice::<Seat>(&state) {
            Ok(seat) => {
                let member = (seat.room.clone(), seat.name.clone());
                tokio::spawn(self.clone().attend(stream, seat));
                Some(member)
            }
            Err(error) => {
                tracing::error!(%error, "a member can't be read, and is lost");
                None
            }
        }
    }

    /// Serves a member, as long as it is this process's.
    async fn attend(self, stream: Tracked<TcpStream>, mut seat: Seat) {
        let mut socket = open(stream, mem::take(&mut seat.unread)).await;
        match self.talk(&mut socket, &mut seat).await {
            Ok(End::Over(cause)) if cause.is_replaced() => self.hand_over(socket, seat, cause).await,
            Ok(End::Over(cause)) => goodbye(socket, CloseCode::Away, cause).await,
            Ok(End::Left) => self.leave(&seat),
            Err(error) => {
                tracing::info!(%error, "a member is lost");
                self.leave(&seat);
            }
        }
    }

    fn leave(&self, seat: &Seat) {
        // If the rooms are with the successor, that one finds out: it does not get this member.
        self.with(|rooms| rooms.leave(&seat.room, &seat.name));
    }

    async fn talk(&self, socket: &mut Socket, seat: &mut Seat) -> Result<End, tungstenite::Error> {
        let watch = self.graceful.watch();
        let mut draining = pin!(watch.draining());
        let mut news = tokio::select! {
            biased;
            cause = &mut draining => return Ok(End::Over(cause)),
            news = self.room(seat) => news,
        };
        loop {
            if let Some(text) = seat.unsaid.take() {
                let who = |rooms: &Rooms| rooms.0.get(&seat.room).map_or(String::new(), |room| room.members.join(", "));
                match text.as_str() {
                    "/who" => match self.with(|rooms| who(rooms)) {
                        Some(members) => socket.send(Message::text(format!("* here: {members}"))).await?,
                        None => seat.unsaid = Some(text),
                    },
                    _ if self.with(|rooms| rooms.say(seat, &text)).is_some() => {}
                    _ => seat.unsaid = Some(text),
                }
            }
            // Gone are the rooms because a successor serves, and then the drain has begun, or does so now.
            let Some(heard) = self.with(|rooms| rooms.news(seat)) else { return Ok(End::Over(draining.await)) };
            for text in heard {
                socket.send(Message::text(text)).await?;
            }
            tokio::select! {
                biased; // nothing is read any more that could as well be read by the successor
                cause = &mut draining => return Ok(End::Over(cause)),
                _ = news.changed() => {} // an end of the news is found out above
                message = socket.next() => match message.transpose()? {
                    Some(Message::Text(text)) => seat.unsaid = Some(text.to_string()),
                    Some(Message::Close(_)) | None => return Ok(End::Left),
                    Some(_) => {} // tungstenite answers pings
                },
            }
        }
    }

    /// Enters the room, when the rooms are here.
    async fn room(&self, seat: &mut Seat) -> watch::Receiver<()> {
        loop {
            self.are_here().await;
            if let Some(news) = self.with(|rooms| rooms.enter(seat)) {
                return news;
            }
        }
    }

    async fn hand_over(&self, mut socket: Socket, mut seat: Seat, cause: Cause) {
        // An answer to a ping may not have gone out.
        if let Err(error) = socket.flush().await {
            return tracing::info!(%error, "a member is lost");
        }
        let (stream, unread) = socket.into_inner().into_parts();
        seat.unread = unread;
        let state = serde_json::to_vec(&seat).expect("strings and numbers are JSON");
        match self.graceful.hand_over(stream, CHAT, state).await {
            Ok(()) => {}
            Err(NotHandedOver::Back { stream, why, .. }) => {
                tracing::warn!(%why, "a member is sent away");
                goodbye(open(stream, seat.unread).await, CloseCode::Restart, cause).await;
            }
            Err(lost) => tracing::warn!(%lost, "a member is lost"),
        }
    }
}

async fn open(stream: Tracked<TcpStream>, unread: Vec<u8>) -> Socket {
    WebSocketStream::from_raw_socket(WholeMessages { stream, unread, granted: 0 }, Role::Server, None).await
}

async fn goodbye(mut socket: Socket, code: CloseCode, cause: Cause) {
    let frame = CloseFrame { code, reason: cause.to_string().into() };
    if socket.send(Message::Close(Some(frame))).await.is_ok() {
        // Until the client has closed, too: an end before that could reset the connection, and take the goodbye from it.
        let closed = async { while let Some(Ok(_)) = socket.next().await {} };
        if timeout(UNTIL_CLOSED, closed).await.is_err() {
            tracing::info!("a client was told goodbye, and does not close");
        }
    }
}

// ---- the bytes

/// The socket as tungstenite sees it: one whole message at a time, and nothing before it is whole.
///
/// tungstenite keeps what it has read of a message that is not, and gives it to nobody. What is kept here can be handed over.
struct WholeMessages {
    stream: Tracked<TcpStream>,
    /// What has come and was not read from here.
    unread: Vec<u8>,
    /// So much of that is the rest of a whole message which is being read.
    granted: usize,
}

impl WholeMessages {
    fn into_parts(self) -> (Tracked<TcpStream>, Vec<u8>) {
        debug_assert_eq!(self.granted, 0, "a message is read at once");
        (self.stream, self.unread)
    }
}

/// How long the first message is, if it is whole. A message is a control frame, or a data frame and what continues it.
fn first_message(bytes: &[u8]) -> Option<usize> {
    let (mut end, mut continues) = (0_usize, false);
    loop {
        let frame = &bytes[end..];
        let [kind, length] = *frame.first_chunk()?;
        let (is_final, is_control, mask) = (kind & 0x80 != 0, kind & 0x08 != 0, if length & 0x80 != 0 { 4 } else { 0 });
        let (head, length) = match length & 0x7f {
            126 => (4, u16::from_be_bytes(*frame[2..].first_chunk()?).into()),
            127 => (10, usize::try_from(u64::from_be_bytes(*frame[2..].first_chunk()?)).ok()?),
            short => (2, usize::from(short)),
        };
        end = length.checked_add(end + head + mask)?;
        if end > bytes.len() {
            return None;
        }
        continues = if is_control { continues } else { !is_final };
        if !continues {
            return Some(end);
        }
    }
}

impl AsyncRead for WholeMessages {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.granted == 0 {
            let first = first_message(&this.unread);
            // A whole one as well: whether more than that has come before the last byte is a matter of how the bytes arrive.
            if first.unwrap_or(this.unread.len()) > LONGEST_MESSAGE {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "a message that is too long")));
            }
            if let Some(length) = first {
                this.granted = length;
            } else {
                let mut bytes = [0; 4096];
                let mut read = ReadBuf::new(&mut bytes);
                ready!(Pin::new(&mut this.stream).poll_read(cx, &mut read))?;
                if read.filled().is_empty() {
                    return Poll::Ready(Ok(())); // the client's end
                }
                this.unread.extend_from_slice(read.filled());
            }
        }
        let length = this.granted.min(buf.remaining());
        buf.put_slice(&this.unread[..length]);
        this.unread.drain(..length);
        this.granted -= length;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WholeMessages {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

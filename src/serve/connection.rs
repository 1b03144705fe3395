use std::{
    fmt, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::server::conn::http1;

#[cfg(not(feature = "http2"))]
use super::farewell::NO_HTTP2;
#[cfg(feature = "http2")]
use super::http2::Http2;
use super::{
    Handler, Io,
    clock::{Clock, Wait},
    due::Due,
    farewell::{Farewell, failed},
    herald::Herald,
    http1::Http1,
    leaving::Left,
    link::{Link, Ticket},
    phase::Phase,
    settings::Settings,
    sniff::{Protocol, Sniffer},
    socket,
    transport::Transport,
};
#[cfg(not(feature = "http2"))]
use crate::ErrorKind;
use crate::{
    Error, Guard,
    drain::{Follower, Kind, Level, Policy, Watch},
    handover::Room,
};

/// One connection that knows of the drain: a future that ends with it.
///
/// Made by `Graceful::serve_connection`, for an accept loop of your own; [`Serve`](super::Serve) makes its own. It is
/// counted from there, and after an upgrade until its socket is closed.
///
/// # Errors
///
/// [`ErrorKind::Connection`](crate::ErrorKind::Connection): what hyper says, a head that did not come in time, or the drain's deadline.
///
/// # Cancel safety
///
/// Dropped, the connection is closed at once.
///
/// # Examples
///
/// ```
/// use std::convert::Infallible;
/// use http::{Request, Response};
/// use hyper::{body::Incoming, service::service_fn};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// use tokio_hotrestart::Graceful;
///
/// async fn hello(_: Request<Incoming>) -> Result<Response<String>, Infallible> {
///     Ok(Response::new("hello".into()))
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let graceful = Graceful::detached();
/// let (mut client, server) = tokio::io::duplex(1024);
/// let connection = tokio::spawn(graceful.serve_connection(server, service_fn(hello)));
///
/// client.write_all(b"GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").await?;
/// let mut answer = String::new();
/// client.read_to_string(&mut answer).await?;
/// assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nhello"));
/// drop(client);
/// connection.await??;
/// # Ok(())
/// # }
/// ```
#[must_use = "spawn it or await it"]
pub struct Connection<T: Io, S: Handler> {
    pub(super) phase: Phase<T, S>,
    /// How far the drain was when we last looked.
    pub(super) level: Level,
    follower: Follower,
    pub(super) clock: Clock,
    /// Its place among those that wait until there is room for them on the way to the successor.
    pub(super) room: Option<Box<Room>>,
    pub(super) link: Arc<Link>,
}

impl<T: Io, S: Handler> Connection<T, S> {
    /// One connection by itself.
    pub(crate) fn new(io: T, service: S, watch: Watch, guard: Guard) -> Self {
        guard.set_kind(Kind::Fresh);
        Self::of_serve(io, service, watch, Ticket { guard, slot: None, family: None }, Arc::new(Settings::new()))
    }

    /// One of many, with everything that they share.
    pub(super) fn of_serve(io: T, service: S, watch: Watch, ticket: Ticket, settings: Arc<Settings>) -> Self {
        Self::at(Phase::Sniffing(Sniffer::new(io), service), Arc::new(Link::new(watch, settings, ticket)))
    }

    pub(super) fn at(phase: Phase<T, S>, link: Arc<Link>) -> Self {
        if !socket::is_socket::<T>() {
            link.stay();
        }
        let (follower, level) = (link.watch.follow(), link.watch.level());
        Self { phase, level, follower, clock: Clock::new(), room: None, link }
    }

    /// Counts as this guard does, which was there before the connection: from before a handshake, say.
    ///
    /// # Panics
    ///
    /// Once HTTP has begun on it.
    pub fn guard(mut self, guard: Guard) -> Self {
        guard.set_kind(Kind::Fresh);
        *Arc::get_mut(&mut self.link).expect("`guard` comes before the first poll").guard_mut() = guard;
        self
    }

    /// hyper's own settings for HTTP/1, all of them. Its timer, `header_read_timeout` and `pipeline_flush` are ours and
    /// set after this; see [`head_deadline`](Self::head_deadline).
    ///
    /// Settings come before the first poll; later ones may have no effect.
    pub fn http1(mut self, set: impl FnOnce(&mut http1::Builder)) -> Self {
        set(&mut self.settings().http1);
        self
    }

    /// hyper's own settings for HTTP/2, all of them.
    #[cfg(feature = "http2")]
    pub fn http2<F>(mut self, set: F) -> Self
    where
        F: Fn(&mut hyper::server::conn::http2::Builder<super::Executor>) + Send + Sync + 'static,
    {
        self.settings().http2.push(Box::new(set));
        self
    }

    /// From the first byte of a request head to its last; for the first head from now (30 s). Not while it idles.
    pub fn head_deadline(mut self, after: Duration) -> Self {
        self.settings().head_deadline = after;
        self
    }

    /// How long it may idle between two requests (no limit).
    pub fn idle_deadline(mut self, after: impl Into<Option<Duration>>) -> Self {
        self.settings().idle_deadline = after.into();
        self
    }

    /// What a drain does with it when it is long: upgraded, or an answer of unknown length, that has begun before
    /// ([`Finish`](Policy::Finish)). A response that bears a [`Policy`] among its extensions has that one.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.settings().policy = policy;
        self
    }

    fn settings(&mut self) -> &mut Settings {
        let link = Arc::get_mut(&mut self.link);
        link.and_then(|link| Arc::get_mut(&mut link.settings)).expect("settings come before the first poll")
    }
}

impl<T: Io, S: Handler> Future for Connection<T, S> {
    type Output = Result<(), Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let is_new_task = !this.follower.has_waker_of(cx);
        this.level = this.follower.poll_level(cx);
        this.link.set_dry(false);
        if this.level == Level::Over {
            // Of one that is away the roof hears the last word at the deadline, and only what comes back is cut.
            ready!(this.poll_away(cx))?;
            return Poll::Ready(this.cut());
        }
        let mut has_withheld = false;
        loop {
            let leaves = !has_withheld && this.may_leave();
            if leaves {
                this.begin_leaving(cx);
            } else {
                // One that ends would keep its turn from the others.
                this.room = None;
            }
            if let Poll::Ready(result) = this.poll_phase(cx) {
                this.phase = Phase::Ended;
                // After an upgrade the link lives on.
                drop(this.link.end_leaving());
                // What came home unended is closed now, and not only when the caller drops us.
                this.link.leave_home();
                return Poll::Ready(result);
            }
            if leaves {
                match this.leave(cx)? {
                    Left::Yes => continue,
                    Left::No => {}
                    Left::Withheld => {
                        has_withheld = true;
                        continue;
                    }
                }
            }
            if has_withheld && this.is_between_requests() {
                // Nobody has asked for room.
                cx.waker().wake_by_ref();
            }
            let due = this.due();
            if !this.clock.poll_due(cx, is_new_task, due.map(|(at, _)| at)) {
                return Poll::Pending;
            }
            match due {
                #[cfg(feature = "http2")]
                Some((_, Due::Tell)) => this.tell(),
                Some((_, Due::Close)) => this.close()?,
                _ => this.let_go(),
            }
        }
    }
}

impl<T: Io, S: Handler> Connection<T, S> {
    /// Goes as far as it can. Ready: the connection has ended.
    fn poll_phase(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        #[cfg(feature = "http2")]
        let is_timed = self.is_timed();
        loop {
            let result = match &mut self.phase {
                Phase::Sniffing(sniffer, _) => {
                    let protocol = ready!(sniffer.poll(cx)).map_err(|error| failed("read from", &error))?;
                    self.begin(protocol);
                    continue;
                }
                Phase::Http1(http1) => ready!(http1.poll(cx, &self.link)),
                #[cfg(feature = "http2")]
                Phase::Http2(http2) => ready!(http2.poll(cx, is_timed)),
                Phase::Away(..) => {
                    ready!(self.poll_away(cx))?;
                    match self.phase {
                        Phase::Ended => return Poll::Ready(Ok(())),
                        _ => continue,
                    }
                }
                Phase::Ending(farewell) => return farewell.poll(cx),
                Phase::Ended => return Poll::Ready(Ok(())),
            };
            // hyper is done, in one way or another, and its part is dropped here. What it has not ended comes home.
            let was_passed_on = match mem::replace(&mut self.phase, Phase::Ended) {
                Phase::Http1(http1) => http1.was_passed_on(),
                _ => false,
            };
            let result = match result {
                // For hyper a connection that has changed hands is a new one, which owes it a request.
                Err(error) if error.is_incomplete_message() && self.link.waiting().wait == Wait::Idle => Ok(()),
                result => result.map_err(|error| failed("serve", &error)),
            };
            let Some(io) = self.link.take_home() else {
                if was_passed_on {
                    self.link.upgrade();
                }
                return Poll::Ready(result);
            };
            self.phase = Phase::Ending(Farewell::new(self.transport(io), result));
        }
    }

    pub(super) fn begin(&mut self, protocol: Protocol) {
        let Phase::Sniffing(sniffer, service) = mem::replace(&mut self.phase, Phase::Ended) else { return };
        let mut transport = self.transport(sniffer.into_io());
        self.phase = match protocol {
            Protocol::Nothing => Phase::Ended,
            Protocol::Http1(read) => {
                self.link.guard().set_kind(Kind::Http1);
                transport.rewind(read);
                self.phase_http1(transport, Herald::new(service, self.link.clone()))
            }
            #[cfg(feature = "http2")]
            Protocol::Http2(read) => {
                self.link.guard().set_kind(Kind::Http2);
                transport.rewind(read);
                let herald = Herald::new(service, self.link.clone());
                Phase::Http2(Box::new(Http2::new(transport, herald, &self.link, self.level)))
            }
            #[cfg(not(feature = "http2"))]
            Protocol::Http2(_) => {
                self.link.settings.say_that_http2_is_off();
                let result = Err(Error::new(ErrorKind::Connection, "a client speaks HTTP/2, which is off"));
                Phase::Ending(Farewell::new(transport, result).saying(NO_HTTP2))
            }
        };
    }

    #[cfg(feature = "http2")]
    fn tell(&mut self) {
        if let Phase::Http2(http2) = &mut self.phase {
            http2.tell(&self.link);
        }
    }

    pub(super) fn phase_http1(&self, transport: Transport<T>, herald: Herald<S>) -> Phase<T, S> {
        Phase::Http1(Http1::new(transport, herald, &self.link.settings, &self.link))
    }

    pub(super) fn transport(&self, io: T) -> Transport<T> {
        Transport::new(io, self.link.clone())
    }
}

impl<T: Io, S: Handler> Drop for Connection<T, S> {
    fn drop(&mut self) {
        // Before its parts are dropped: nobody is left to end in three steps what they would send home.
        self.link.leave_home();
    }
}

/// Nothing in it is ever pinned; hyper's parts pin what they must in boxes of their own.
impl<T: Io, S: Handler> Unpin for Connection<T, S> {}

impl<T: Io, S: Handler> fmt::Debug for Connection<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("link", &self.link).finish_non_exhaustive()
    }
}

#[cfg(test)]
impl<T: Io, S: Handler> Connection<T, S> {
    pub(super) fn link(&self) -> &Arc<Link> {
        &self.link
    }
}

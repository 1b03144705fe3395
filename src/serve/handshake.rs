use std::{
    fmt,
    future::{Ready, poll_fn},
    io,
    task::Poll,
    time::Duration,
};

use tokio::time::Instant;

use super::Io;
use crate::{
    Error, ErrorKind, Guard,
    drain::{Alarm, Level, Outcome, Watch, Why, later},
};

/// What happens on a connection before HTTP: nothing ([`Plain`]), or a closure of
/// [`Serve::handshake`](super::Serve::handshake). Not for others to implement.
pub trait Handshake<T>: Send + 'static {
    /// What HTTP runs on.
    type Io: Io;

    #[doc(hidden)]
    type Future: Future<Output = io::Result<Self::Io>> + Send + 'static;

    #[doc(hidden)]
    fn start(&self, io: T) -> Start<Self::Io, Self::Future>;

    /// Of a connection that came by handover, and has begun long ago. Given back: none can.
    #[doc(hidden)]
    fn adopt(&self, io: T) -> Result<Self::Io, T> {
        Err(io)
    }
}

/// No handshake: HTTP on the accepted connection as it is.
#[derive(Clone, Copy, Debug)]
pub struct Plain(());

impl Plain {
    pub(super) const fn new() -> Self {
        Self(())
    }
}

impl<T: Io> Handshake<T> for Plain {
    type Io = T;
    type Future = Ready<io::Result<T>>;

    fn start(&self, io: T) -> Start<T, Self::Future> {
        Start::Done(io)
    }

    fn adopt(&self, io: T) -> Result<T, T> {
        Ok(io)
    }
}

impl<T, F, R, U> Handshake<T> for F
where
    F: Fn(T) -> R + Send + 'static,
    R: Future<Output = io::Result<U>> + Send + 'static,
    U: Io,
{
    type Io = U;
    type Future = R;

    fn start(&self, io: T) -> Start<U, R> {
        Start::Running(self(io))
    }
}

/// What is there at once, or takes a future. The difference is a task's size: with nothing to wait for, the task of a
/// connection is the connection and nothing else.
#[doc(hidden)]
#[allow(clippy::exhaustive_enums, reason = "not public API")]
pub enum Start<T, F> {
    Done(T),
    Running(F),
}

impl<T, F> fmt::Debug for Start<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done(_) => "Done",
            Self::Running(_) => "Running",
        })
    }
}

/// Waits for what must be there before HTTP: what HTTP runs on, and what answers.
///
/// By the head deadline, from now; and once half-open connections have had their time in a drain, by that time.
pub(super) async fn prepare<T, S>(
    io: Start<T, impl Future<Output = io::Result<T>>>,
    service: Start<S, impl Future<Output = S>>,
    watch: &Watch,
    guard: &Guard,
    head_deadline: Duration,
) -> Result<(T, S), Error> {
    let began = Instant::now();
    let ready = async {
        let service = match service {
            Start::Done(service) => service,
            Start::Running(making) => making.await,
        };
        let io = match io {
            Start::Done(io) => io,
            Start::Running(handshake) => {
                handshake.await.map_err(|error| Error::new(ErrorKind::Connection, format!("shake hands: {error}")))?
            }
        };
        Ok((io, service))
    };
    let (mut follower, mut alarm) = (watch.follow(), Alarm::default());
    // Asked anew with each poll, for a drain may be shortened.
    let too_late = poll_fn(|cx| {
        let level = follower.poll_level(cx);
        let limit = watch.half_open_from(level).map_or(head_deadline, |limit| limit.min(head_deadline));
        let is_over = level == Level::Over || alarm.poll(later(began, limit), cx);
        if is_over { Poll::Ready(()) } else { Poll::Pending }
    });
    tokio::select! {
        biased;
        ready = ready => ready,
        () = too_late => {
            guard.set_outcome(Outcome::Cut(Why::HalfOpen));
            let after = began.elapsed();
            Err(Error::new(ErrorKind::Connection, format!("no handshake within {after:?}")))
        }
    }
}

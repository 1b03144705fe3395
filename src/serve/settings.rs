#[cfg(not(feature = "http2"))]
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fmt, time::Duration};

use hyper::server::conn::http1;

use crate::{
    Error, Guard,
    drain::{Kind, Policy},
    handover::Exit,
    name::Name,
};

/// How connections are served: one for all of a `serve`.
pub(super) struct Settings {
    pub(super) http1: http1::Builder,
    /// Run for each connection, because hyper's builder owns the executor, and that is the connection's own.
    #[cfg(feature = "http2")]
    pub(super) http2: Vec<Box<SetHttp2>>,
    pub(super) head_deadline: Duration,
    pub(super) idle_deadline: Option<Duration>,
    pub(super) policy: Policy,
    /// By which connections leave for the successor; one that is closed where they stay.
    pub(super) exit: Exit,
    /// The name of the socket that they come from, for the log, and for the successor that they move to.
    pub(super) socket: Option<Name>,
    #[cfg(not(feature = "http2"))]
    has_said_that_http2_is_off: AtomicBool,
}

#[cfg(feature = "http2")]
pub(super) type SetHttp2 = dyn Fn(&mut hyper::server::conn::http2::Builder<super::Executor>) + Send + Sync;

const HEAD_DEADLINE: Duration = Duration::from_secs(30);

impl Settings {
    pub(super) fn new() -> Self {
        Self {
            http1: http1::Builder::new(),
            #[cfg(feature = "http2")]
            http2: Vec::new(),
            head_deadline: HEAD_DEADLINE,
            idle_deadline: None,
            policy: Policy::default(),
            exit: Exit::closed(),
            socket: None,
            #[cfg(not(feature = "http2"))]
            has_said_that_http2_is_off: AtomicBool::new(false),
        }
    }

    /// Clients hang up and send rubbish all the time: nothing to alarm anybody. One that was upgraded goes on, in whatever
    /// task its handler has given it to.
    pub(super) fn say_ended(&self, guard: &Guard, ended: Result<(), &Error>) {
        let (socket, kind) = (self.socket.as_ref().map(Name::as_str), guard.kind());
        match ended {
            Ok(()) if kind == Kind::Upgraded => {
                crate::log::debug!(socket, %kind, "HTTP ended, and the connection goes on")
            }
            Ok(()) => crate::log::debug!(socket, %kind, "a connection ended"),
            Err(error) => crate::log::debug!(socket, %kind, %error, "a connection ended"),
        }
    }

    /// Said once: a client that wants HTTP/2 comes back.
    #[cfg(not(feature = "http2"))]
    pub(super) fn say_that_http2_is_off(&self) {
        if !self.has_said_that_http2_is_off.swap(true, Ordering::Relaxed) {
            crate::log::warn!(
                "a client speaks HTTP/2, which is off: it was answered with 505. \
                 The feature `http2` of tokio-hotrestart turns it on"
            );
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("head_deadline", &self.head_deadline)
            .field("idle_deadline", &self.idle_deadline)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

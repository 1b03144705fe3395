//! Which signals restart and stop, and the one inbox in which they arrive.

use std::{
    future::poll_fn,
    task::{Context, Poll},
};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{Error, ErrorKind, phase::Event};

/// Which signals ask for what. SIGHUP is nobody's here: it stays the application's.
///
/// # Examples
///
/// ```
/// use tokio::signal::unix::SignalKind;
/// use tokio_hotrestart::Signals;
///
/// let by_usr1 = Signals::new().restart(SignalKind::user_defined1());
/// let no_restart = Signals::new().restart(None);
/// let only_methods = Signals::none();
/// # let _ = (by_usr1, no_restart, only_methods);
/// ```
#[derive(Clone, Debug)]
pub struct Signals {
    restart: Option<SignalKind>,
    stop: Vec<SignalKind>,
}

impl Default for Signals {
    fn default() -> Self {
        Self::new()
    }
}

impl Signals {
    /// SIGUSR2 restarts; SIGTERM, SIGINT and SIGQUIT stop.
    pub fn new() -> Self {
        let stop = vec![SignalKind::terminate(), SignalKind::interrupt(), SignalKind::quit()];
        Self { restart: Some(SignalKind::user_defined2()), stop }
    }

    /// None: the application calls the methods.
    pub fn none() -> Self {
        Self { restart: None, stop: Vec::new() }
    }

    /// The signal that restarts, or `None`.
    pub fn restart(mut self, kind: impl Into<Option<SignalKind>>) -> Self {
        self.restart = kind.into();
        self
    }

    /// The signals that stop, in place of those so far.
    pub fn stop(mut self, kinds: impl IntoIterator<Item = SignalKind>) -> Self {
        self.stop = kinds.into_iter().collect();
        self
    }

    /// Registers all of them now: a signal that comes before its handler kills.
    pub(crate) fn register(&self) -> Result<Inbox, Error> {
        let open = |kind: SignalKind| {
            let what = || format!("register signal {}", kind.as_raw_value());
            signal(kind).map(|signal| (kind, signal)).map_err(|error| Error::io(ErrorKind::Signal, what(), error))
        };
        let restart = self.restart.map(open).transpose()?;
        let stop = self.stop.iter().copied().map(open).collect::<Result<_, _>>()?;
        Ok(Inbox { restart, stop })
    }
}

/// What has been registered.
#[derive(Debug)]
pub(crate) struct Inbox {
    restart: Option<(SignalKind, Signal)>,
    stop: Vec<(SignalKind, Signal)>,
}

impl Inbox {
    /// The next signal. Cancel safe. A stop goes before a restart that came at the same time.
    pub(crate) async fn next(&mut self) -> Event {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        for (kind, signal) in &mut self.stop {
            if signal.poll_recv(cx).is_ready() {
                return Poll::Ready(Event::StopAsked(Some(*kind)));
            }
        }
        match &mut self.restart {
            Some((_, signal)) => signal.poll_recv(cx).map(|_| Event::RestartSignalled),
            None => Poll::Pending,
        }
    }
}

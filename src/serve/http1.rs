use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper::{
    body::Bytes,
    server::conn::http1::{Parts, UpgradeableConnection},
};
use hyper_util::rt::TokioIo;

use super::{Handler, Io, head_timer::HeadTimer, herald::Herald, link::Link, settings::Settings, transport::Transport};

/// hyper's part of an HTTP/1 connection.
pub(super) struct Http1<T: Io, S: Handler>(UpgradeableConnection<TokioIo<Transport<T>>, Herald<S>>);

/// hyper wants one before it asks for a timer; which one does not matter, see `HeadTimer`.
const ANY: Duration = Duration::from_secs(30);

impl<T: Io, S: Handler> Http1<T, S> {
    pub(super) fn new(transport: Transport<T>, herald: Herald<S>, settings: &Settings, link: &Arc<Link>) -> Self {
        let mut builder = settings.http1.clone();
        // After the user's own settings, because the sign of being between two requests stands on these three.
        builder.timer(HeadTimer::new(link.clone())).header_read_timeout(ANY).pipeline_flush(false);
        Self(builder.serve_connection(TokioIo::new(transport), herald).with_upgrades())
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>, link: &Link) -> Poll<hyper::Result<()>> {
        loop {
            let was_blocked = link.is_unflushed();
            let polled = Pin::new(&mut self.0).poll(cx);
            // hyper 1.5 to 1.12 can stop here for ever: an upload is answered early with a large response, its body is
            // read by another task, the client reads slowly, and a second request is behind it. That one is parsed
            // while the response is blocked, so its service cannot be polled; when the flush gets through, hyper
            // returns without polling it, and waits for nothing. So: polled once more when a flush got through.
            if polled.is_pending() && was_blocked && !link.is_unflushed() {
                continue;
            }
            return polled;
        }
    }

    /// Whether hyper has given the transport to whoever waits for an upgrade: after a 101, but also when the connection
    /// ended after one that was refused.
    pub(super) fn was_passed_on(self) -> bool {
        self.0.into_parts().is_none()
    }

    /// Takes an unfinished connection apart: its transport, what hyper has read and not used, and the service. `None`
    /// after an upgrade.
    pub(super) fn into_parts(self) -> Option<(Transport<T>, Bytes, Herald<S>)> {
        let Parts { io, read_buf, service, .. } = self.0.into_parts()?;
        Some((io.into_inner(), read_buf, service))
    }
}

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use hyper::rt::{Sleep, Timer};

use super::link::Link;

/// A timer that measures nothing: hyper's use of it says when HTTP/1 is between two requests.
///
/// hyper makes its head-read sleep exactly when it begins to wait for a request head (the previous request and
/// response are both complete and drained), and drops it when it has parsed one. Nothing else tells: a body may be
/// dropped in another thread before hyper has noticed, and then hyper is still in mid-body.
///
/// That a head was parsed we hear from `Herald`: hyper calls the service in the same poll. (A sleep that told by being
/// dropped would have to know its connection, and cost an allocation for each request.)
///
/// The sleep never fires. hyper's own timeout runs on an idle connection just as on half a head, and would close it
/// after 30 s with a bare FIN; our deadlines are in `Clock`, told apart.
pub(super) struct HeadTimer {
    link: Arc<Link>,
    /// hyper asks for the time once per request, to compute a deadline that nobody looks at: it gets this one.
    made: Instant,
}

impl HeadTimer {
    pub(super) fn new(link: Arc<Link>) -> Self {
        Self { link, made: Instant::now() }
    }
}

impl Timer for HeadTimer {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.made)
    }

    fn sleep_until(&self, _: Instant) -> Pin<Box<dyn Sleep>> {
        self.link.awaits_head();
        Box::pin(Never)
    }

    fn now(&self) -> Instant {
        self.made
    }

    fn reset(&self, _: &mut Pin<Box<dyn Sleep>>, _: Instant) {
        // Not the default, which replaces the sleep: the old one's drop would come after the new one's making, and say
        // that the wait is over when it begins.
        self.link.awaits_head();
    }
}

/// Of no size, so that the box which hyper wants for each request is no allocation.
struct Never;

impl Sleep for Never {}

impl Future for Never {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

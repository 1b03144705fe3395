//! tracing's macros, and the one span that there is, with the loop kept out of harm.
//!
//! A subscriber is the application's code, and it may panic: tracing-subscriber's own answers a closed standard error
//! with `eprintln!`, which does. In the one loop that would leave a process that accepts nobody, never drains, and can't
//! be stopped but by SIGKILL. What a log line does must not decide about a restart.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
};

use tracing::span::{self, Span};

macro_rules! debug_ {
    ($($event:tt)*) => { $crate::log::unharmed(|| ::tracing::debug!($($event)*)) };
}

macro_rules! info_ {
    ($($event:tt)*) => { $crate::log::unharmed(|| ::tracing::info!($($event)*)) };
}

// Not `warn`, which is an attribute as well.
macro_rules! warn_ {
    ($($event:tt)*) => { $crate::log::unharmed(|| ::tracing::warn!($($event)*)) };
}

macro_rules! error_ {
    ($($event:tt)*) => { $crate::log::unharmed(|| ::tracing::error!($($event)*)) };
}

pub(crate) use {debug_ as debug, error_ as error, info_ as info, warn_ as warn};

/// What the loop of a generation does, and all that comes of it: each event in it bears `generation` and `pid`.
///
/// There is none around a connection: as large as a span is, it would be a third of what an idle one costs, and each
/// request would enter and leave it. What a connection was is in the event at its end.
pub(crate) fn generation(number: u64) -> Quiet {
    // As an error, so that an error has it also where nothing else is to be logged.
    let span = || tracing::error_span!(target: "tokio_hotrestart", "generation", generation = number, pid = std::process::id());
    Quiet(catch_unwind(span).ok())
}

/// The span that this is done in, for a task that comes of it.
pub(crate) fn here() -> Quiet {
    Quiet(catch_unwind(Span::current).ok())
}

/// A span whose beginning, entering, leaving and end do no harm, whatever the subscriber does.
pub(crate) struct Quiet(Option<Span>);

impl Quiet {
    /// In the span whenever it is polled.
    pub(crate) async fn around<F: Future>(self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|cx| {
            let _entered = self.enter();
            future.as_mut().poll(cx)
        })
        .await
    }

    fn enter(&self) -> Entered<'_> {
        Entered(catch_unwind(AssertUnwindSafe(|| self.0.as_ref().map(Span::enter))).ok().flatten())
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let span = self.0.take();
        unharmed(|| drop(span));
    }
}

struct Entered<'a>(Option<span::Entered<'a>>);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let entered = self.0.take();
        unharmed(|| drop(entered));
    }
}

/// A panic was told by the panic hook; there is nobody else to tell.
pub(crate) fn unharmed(log: impl FnOnce()) {
    drop(catch_unwind(AssertUnwindSafe(log)));
}

#[cfg(test)]
pub(crate) mod capture;
#[cfg(test)]
mod documented;

#[cfg(test)]
mod tests {
    use std::{panic::resume_unwind, time::Duration};

    use tokio::time::sleep;
    use tracing::{Event, Metadata, Subscriber, span};

    use super::{
        capture::{Captured, subscribe},
        generation,
    };
    use crate::Graceful;

    struct Panics;

    impl Subscriber for Panics {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

        fn event(&self, _: &Event<'_>) {
            panic!("failed printing to stderr");
        }

        fn enter(&self, _: &span::Id) {
            panic!("failed entering");
        }

        fn exit(&self, _: &span::Id) {
            panic!("failed leaving");
        }

        fn try_close(&self, _: span::Id) -> bool {
            panic!("failed closing");
        }
    }

    /// Lets one be entered, so that leaving it is asked for.
    struct PanicsLater;

    impl Subscriber for PanicsLater {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
        fn event(&self, _: &Event<'_>) {}
        fn enter(&self, _: &span::Id) {}

        fn exit(&self, _: &span::Id) {
            panic!("failed leaving");
        }

        fn try_close(&self, _: span::Id) -> bool {
            panic!("failed closing");
        }
    }

    #[tokio::test]
    async fn a_subscriber_that_panics_does_not_keep_a_generation_from_ending() {
        let _panics = subscribe(Panics);
        let graceful = Graceful::detached();
        graceful.ready().await.unwrap();
        graceful.stop();
        assert!(graceful.drain().await.is_clean());
    }

    #[tokio::test]
    async fn a_subscriber_that_panics_when_a_span_is_left_harms_neither_what_is_in_it_nor_its_panic() {
        let _panics = subscribe(PanicsLater);
        assert_eq!(generation(3).around(async { 7 }).await, 7);
        // Left while it unwinds: a second panic that got out there would end the process.
        let panics = tokio::spawn(generation(3).around(async { resume_unwind(Box::new("mine")) }));
        let panic = panics.await.unwrap_err().into_panic();
        assert_eq!(panic.downcast_ref(), Some(&"mine"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_main_events_of_a_life_have_these_names_and_fields() {
        let captured = Captured::new();
        let graceful = Graceful::detached();
        graceful.ready().await.unwrap();
        let guard = graceful.tracker().guard();
        graceful.stop();
        let drained = tokio::spawn(graceful.drain());
        sleep(Duration::from_secs(7)).await;
        drop(guard);
        drained.await.unwrap();
        let said = captured.said("info");
        let (pid, own) = (std::process::id().to_string(), ["generation", "message", "pid"]);
        let fields = |more: &[&'static str]| {
            let mut all = [&own[..], more].concat();
            all.sort_unstable();
            all
        };
        assert_eq!(
            said.iter().map(|line| (line.message(), line.fields())).collect::<Vec<_>>(),
            [
                ("starting", fields(&[])),
                ("ready", fields(&[])),
                ("draining", fields(&["cause"])),
                ("still draining", fields(&["remaining", "waits_for"])),
                ("drained", fields(&["report"])),
            ]
        );
        assert!(said.iter().all(|line| line.of("generation") == "0" && line.of("pid") == pid));
        assert_eq!((said[2].of("cause"), said[3].of("waits_for")), ("stopped", "1 guard"));
        assert!(captured.said("debug").iter().any(|line| line.message() == "event" && line.has("phase")));
    }
}

//! tracing's macros, with the loop kept out of harm.
//!
//! A subscriber is the application's code, and it may panic: tracing-subscriber's own answers a closed standard error
//! with `eprintln!`, which does. In the one loop that would leave a process that accepts nobody, never drains, and can't
//! be stopped but by SIGKILL. What a log line does must not decide about a restart.

use std::panic::{AssertUnwindSafe, catch_unwind};

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

/// A panic was told by the panic hook; there is nobody else to tell.
pub(crate) fn unharmed(log: impl FnOnce()) {
    drop(catch_unwind(AssertUnwindSafe(log)));
}

#[cfg(test)]
mod tests {
    use tracing::{Event, Metadata, Subscriber, span};

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

        fn enter(&self, _: &span::Id) {}
        fn exit(&self, _: &span::Id) {}
    }

    #[tokio::test]
    async fn a_subscriber_that_panics_does_not_keep_a_generation_from_ending() {
        let _panics = tracing::subscriber::set_default(Panics);
        let graceful = crate::Graceful::detached();
        graceful.ready().await.unwrap();
        graceful.stop();
        assert!(graceful.drain().await.is_clean());
    }
}

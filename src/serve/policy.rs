use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use http::Response;
use http_body::Body;

use crate::drain::{Policy, Watch};

/// What becomes of a response in a drain: what its handler says; else, of one that knows no end of its own, what is set
/// for the connection.
///
/// But not of one that is given when the drain has begun. That policy ends what would never end; this client has asked
/// in the grace, in which it is served as ever, and with `CloseNow` would get the first bytes of each answer and no more.
pub(super) fn policy_of<B: Body>(
    response: &Response<B>,
    upgrades: bool,
    of_connection: Policy,
    watch: &Watch,
) -> Policy {
    match response.extensions().get() {
        Some(policy) => *policy,
        None if of_connection == Policy::Finish || watch.is_draining() => Policy::Finish,
        None if upgrades || response.body().size_hint().exact().is_none() => of_connection,
        None => Policy::Finish,
    }
}

/// In eight bytes, for each connection has one: nanoseconds after the drain's beginning.
#[derive(Debug)]
pub(super) struct AtomicPolicy(AtomicU64);

const FINISH: u64 = u64::MAX;

impl AtomicPolicy {
    pub(super) fn new(policy: Policy) -> Self {
        Self(AtomicU64::new(nanos(policy)))
    }

    #[inline]
    pub(super) fn get(&self) -> Policy {
        match self.0.load(Relaxed) {
            FINISH => Policy::Finish,
            0 => Policy::CloseNow,
            nanos => Policy::CloseAfter(Duration::from_nanos(nanos)),
        }
    }

    /// Nothing was said: one store, for it is done with each request.
    #[inline]
    pub(super) fn forget(&self) {
        self.0.store(FINISH, Relaxed);
    }

    pub(super) fn set(&self, policy: Policy) {
        self.0.store(nanos(policy), Relaxed);
    }
}

/// 584 years are as good as no end.
fn nanos(policy: Policy) -> u64 {
    match policy {
        Policy::Finish => FINISH,
        Policy::CloseNow => 0,
        Policy::CloseAfter(time) => u64::try_from(time.as_nanos()).unwrap_or(FINISH),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::Pin,
        task::{Context, Poll},
    };

    use http_body::Frame;
    use http_body_util::Full;
    use hyper::body::Bytes;

    use super::*;

    #[test]
    fn a_policy_survives_its_eight_bytes() {
        for policy in [Policy::Finish, Policy::CloseNow, Policy::CloseAfter(Duration::from_millis(1))] {
            assert_eq!(AtomicPolicy::new(policy).get(), policy);
        }
        assert_eq!(AtomicPolicy::new(Policy::CloseAfter(Duration::MAX)).get(), Policy::Finish);
    }

    #[test]
    fn the_connections_policy_is_for_what_knows_no_end_and_the_responses_own_for_whatever_it_is() {
        let (after, watch) = (Policy::CloseAfter(Duration::from_secs(1)), &Watch::never());
        let mut known = Response::new(Full::new(Bytes::from("hello")));
        assert_eq!(policy_of(&known, false, Policy::CloseNow, watch), Policy::Finish);
        assert_eq!(policy_of(&known, true, Policy::CloseNow, watch), Policy::CloseNow);
        let mut unknown = Response::new(Endless);
        assert_eq!(policy_of(&unknown, false, Policy::CloseNow, watch), Policy::CloseNow);
        assert_eq!(policy_of(&unknown, false, Policy::Finish, watch), Policy::Finish);
        unknown.extensions_mut().insert(after);
        assert_eq!(policy_of(&unknown, false, Policy::CloseNow, watch), after);
        known.extensions_mut().insert(after);
        assert_eq!(policy_of(&known, false, Policy::Finish, watch), after);
    }

    struct Endless;

    impl Body for Endless {
        type Data = Bytes;
        type Error = ();

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ()>>> {
            Poll::Pending
        }
    }
}

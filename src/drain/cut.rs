use std::{
    fmt, io,
    task::{Context, Poll},
};

use tokio::time::Instant;

use super::{Alarm, Follower, Guard, Level, Outcome, Policy, Watch, Why};

/// Fails what is done with a connection, from the deadline on, or from when its policy says.
///
/// Two sides, because reading and writing may wait in two tasks; each follows the drain from when it first has to wait.
pub(crate) struct Cut {
    watch: Watch,
    policy: Policy,
    reading: Side,
    writing: Side,
}

#[derive(Default)]
struct Side {
    follower: Option<Follower>,
    /// Only once it drains.
    alarm: Alarm,
}

impl Cut {
    pub(crate) fn new(watch: Watch, policy: Policy) -> Self {
        Self { watch, policy, reading: Side::default(), writing: Side::default() }
    }

    pub(crate) fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    pub(super) fn watch(&self) -> &Watch {
        &self.watch
    }

    pub(crate) fn poll_read<R>(
        &mut self,
        cx: &mut Context<'_>,
        guard: &Guard,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        self.reading.poll(&self.watch, self.policy, cx, guard, poll)
    }

    pub(crate) fn poll_write<R>(
        &mut self,
        cx: &mut Context<'_>,
        guard: &Guard,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        self.writing.poll(&self.watch, self.policy, cx, guard, poll)
    }
}

impl Side {
    fn poll<R>(
        &mut self,
        watch: &Watch,
        policy: Policy,
        cx: &mut Context<'_>,
        guard: &Guard,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        let mut reason = reason_at(watch.level(), watch, policy);
        if reason.is_none() {
            let ready = poll(cx);
            if ready.is_ready() {
                return ready;
            }
            reason = self.poll_reason(watch, policy, cx);
        }
        let Some(reason) = reason else { return Poll::Pending };
        guard.set_outcome(Outcome::Cut(reason));
        Poll::Ready(Err(aborted(reason)))
    }

    /// The task is woken when there is one.
    fn poll_reason(&mut self, watch: &Watch, policy: Policy, cx: &mut Context<'_>) -> Option<Why> {
        let level = self.follower.get_or_insert_with(|| watch.follow()).poll_level(cx);
        if level < Level::Draining || level == Level::Over {
            return reason_at(level, watch, policy);
        }
        let at = watch.close_at(policy)?;
        self.alarm.poll(at, cx).then_some(Why::Policy)
    }
}

/// Why nothing more can be done with a connection, if so.
fn reason_at(level: Level, watch: &Watch, policy: Policy) -> Option<Why> {
    match level {
        Level::Serving | Level::LameDuck => None,
        Level::Over => Some(Why::Deadline),
        _ => watch.close_at(policy).is_some_and(|at| at <= Instant::now()).then_some(Why::Policy),
    }
}

fn aborted(why: Why) -> io::Error {
    let what = match why {
        Why::Policy => "closed by its policy in the drain",
        _ => "cut at the drain's deadline",
    };
    io::Error::new(io::ErrorKind::ConnectionAborted, what)
}

impl fmt::Debug for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cut").field(&self.watch).field(&self.policy).finish()
    }
}

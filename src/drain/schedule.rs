use std::time::Duration;

use tokio::time::Instant;

use super::{Level, Policy, Times, Turn};

/// Who is told, let go and cut when. Pure: it never looks at the clock.
///
/// Invariants: the drain begins once; each time only comes nearer; nobody is let go before it is told.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Schedule {
    /// `None`: nothing ends.
    telling: Option<Telling>,
    /// `None`: the drain has not begun.
    began: Option<Instant>,
    /// The drain's. Also before it has begun, where it was hastened.
    limits: Option<Limits>,
}

/// The first is told at `from`, the last by `until`.
#[derive(Clone, Copy, Debug)]
struct Telling {
    from: Instant,
    until: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    /// How long what is half open may stay so.
    half_open: Duration,
    half_open_over: Instant,
    /// How long one has to idle before it may be let go.
    quiet: Duration,
    /// When the first is let go.
    let_go_from: Instant,
    grace_over: Instant,
    deadline: Instant,
    /// What was cut at the deadline had time to notice.
    end: Instant,
}

/// A task that is aborted ends when it next awaits, a connection that is cut when its owner next looks at it.
const TIME_TO_NOTICE: Duration = Duration::from_secs(1);

impl Schedule {
    /// Whether it is the first.
    pub(super) fn begin_lame_duck(&mut self, now: Instant, times: &Times) -> bool {
        let is_first = self.telling.is_none();
        if is_first {
            self.telling = Some(Telling::new(now, times.until_told(times.until_drain())));
        }
        is_first
    }

    /// Whether it is the first.
    pub(super) fn begin(&mut self, now: Instant, times: &Times) -> bool {
        let is_first = self.began.is_none();
        if is_first {
            self.began = Some(now);
            self.telling = Some(match self.telling {
                // Accepting has ended, so whoever is sent away now comes to another process: there is nothing to wait for.
                Some(telling) => Telling { until: telling.until.min(now), ..telling },
                None => Telling::new(now, times.until_told(times.grace_within_deadline())),
            });
            self.hasten_limits(Limits::new(now, times));
        }
        is_first
    }

    /// From now on at most these times. Nothing, where nothing ends.
    pub(super) fn hasten(&mut self, now: Instant, to: &Times) {
        let Some(telling) = &mut self.telling else { return };
        let window = if self.began.is_some() { to.grace_within_deadline() } else { to.until_drain() };
        telling.until = telling.until.min(later(now, to.until_told(window)));
        self.hasten_limits(Limits::new(now, to));
    }

    pub(super) fn began(&self) -> Option<Instant> {
        self.began
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        Some(self.drain()?.1.deadline)
    }

    pub(super) fn end(&self) -> Option<Instant> {
        Some(self.drain()?.1.end)
    }

    /// The drain's level at this time, and when to look again.
    pub(super) fn at(&self, now: Instant) -> Option<(Level, Instant)> {
        let (_, limits) = self.drain()?;
        Some(match now {
            now if now < limits.half_open_over => (Level::Draining, limits.half_open_over),
            now if now < limits.grace_over => (Level::HalfOpenOver, limits.grace_over),
            now if now < limits.deadline => (Level::GraceOver, limits.deadline),
            _ => (Level::Over, limits.end),
        })
    }

    /// From when on a client is told.
    pub(super) fn tell_at(&self, turn: Turn) -> Option<Instant> {
        let Telling { from, until } = self.telling?;
        Some(from + turn.of(until.saturating_duration_since(from)))
    }

    /// When a connection that idles is let go. `idle_since`: `None` where that was before the beginning.
    pub(super) fn let_go_at(&self, turn: Turn, idle_since: Option<Instant>) -> Option<Instant> {
        let (_, Limits { quiet, let_go_from, grace_over, .. }) = self.drain()?;
        let at = let_go_from + turn.of(grace_over.saturating_duration_since(let_go_from));
        Some(idle_since.map_or(at, |since| at.max(later(since, quiet))))
    }

    /// How long what is half open may stay so.
    pub(super) fn half_open(&self) -> Option<Duration> {
        Some(self.drain()?.1.half_open)
    }

    /// How long one has to idle before it may be let go.
    pub(super) fn quiet(&self) -> Option<Duration> {
        Some(self.drain()?.1.quiet)
    }

    /// When something long is cut; `None` where that is not before the deadline.
    pub(super) fn close_at(&self, policy: Policy) -> Option<Instant> {
        let (began, limits) = self.drain()?;
        let at = match policy {
            Policy::Finish => return None,
            Policy::CloseNow => began,
            Policy::CloseAfter(time) => later(began, time),
        };
        (at < limits.deadline).then_some(at)
    }

    fn drain(&self) -> Option<(Instant, Limits)> {
        self.began.zip(self.limits)
    }

    fn hasten_limits(&mut self, to: Limits) {
        self.limits = Some(self.limits.map_or(to, |limits| limits.nearer(to)));
    }
}

impl Telling {
    fn new(from: Instant, window: Duration) -> Self {
        Self { from, until: later(from, window) }
    }
}

impl Limits {
    fn new(now: Instant, times: &Times) -> Self {
        let deadline = later(now, times.until_deadline());
        Self {
            half_open: times.half_open(),
            half_open_over: later(now, times.half_open()),
            quiet: times.quiet(),
            let_go_from: later(now, times.quiet()),
            grace_over: later(now, times.grace_within_deadline()),
            deadline,
            end: later(deadline, TIME_TO_NOTICE),
        }
    }

    /// Of each the nearer.
    fn nearer(self, to: Self) -> Self {
        Self {
            half_open: self.half_open.min(to.half_open),
            half_open_over: self.half_open_over.min(to.half_open_over),
            quiet: self.quiet.min(to.quiet),
            let_go_from: self.let_go_from.min(to.let_go_from),
            grace_over: self.grace_over.min(to.grace_over),
            deadline: self.deadline.min(to.deadline),
            end: self.end.min(to.end),
        }
    }
}

/// `Duration::MAX` is how people write "never", and `Instant + Duration::MAX` panics.
pub(crate) fn later(now: Instant, after: Duration) -> Instant {
    const A_CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    now + after.min(A_CENTURY)
}

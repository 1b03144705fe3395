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
    /// When it began, and its limits; `None`: it has not.
    drain: Option<(Instant, Limits)>,
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
    /// By when every handler that asked for a moment of its own has had it.
    turns_over: Instant,
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
        let is_first = self.drain.is_none();
        if is_first {
            self.drain = Some((now, Limits::new(now, times)));
            self.telling = Some(match self.telling {
                // Accepting has ended, so whoever is sent away now comes to another process: there is nothing to wait for.
                Some(telling) => Telling { until: telling.until.min(now), ..telling },
                None => Telling::new(now, times.until_told(times.grace_within_deadline())),
            });
        }
        is_first
    }

    /// From now on at most these times. Whether there is a drain that can be hastened.
    pub(super) fn hasten(&mut self, now: Instant, to: &Times) -> bool {
        let (Some(telling), Some((_, limits))) = (&mut self.telling, &mut self.drain) else { return false };
        telling.until = telling.until.min(later(now, to.until_told(to.grace_within_deadline())));
        *limits = limits.nearer(Limits::new(now, to));
        true
    }

    pub(super) fn began(&self) -> Option<Instant> {
        Some(self.drain?.0)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        Some(self.drain?.1.deadline)
    }

    pub(super) fn end(&self) -> Option<Instant> {
        Some(self.drain?.1.end)
    }

    /// The drain's level at this time, and when to look again.
    pub(super) fn at(&self, now: Instant) -> Option<(Level, Instant)> {
        let (_, limits) = self.drain?;
        Some(match now {
            now if now < limits.half_open_over => (Level::Draining, limits.half_open_over),
            now if now < limits.grace_over => (Level::HalfOpenOver, limits.grace_over),
            now if now < limits.deadline => (Level::GraceOver, limits.deadline),
            _ => (Level::Over, limits.end),
        })
    }

    /// Until when those are waited for that could go over to a successor: whoever is left then has a grace to be told and let
    /// go in, or at least half of the time.
    pub(super) fn last_call(&self) -> Option<Instant> {
        let (began, limits) = self.drain?;
        let [all, grace] = [limits.deadline, limits.grace_over].map(|at| at.saturating_duration_since(began));
        Some(began + all.saturating_sub(grace).max(all / 2))
    }

    /// From when on a client is told.
    pub(super) fn tell_at(&self, turn: Turn) -> Option<Instant> {
        let Telling { from, until } = self.telling?;
        Some(from + turn.of(until.saturating_duration_since(from)))
    }

    /// When a connection that idles is let go. `idle_since`: `None` where that was before the beginning.
    pub(super) fn let_go_at(&self, turn: Turn, idle_since: Option<Instant>) -> Option<Instant> {
        let (_, Limits { quiet, let_go_from, grace_over, .. }) = self.drain?;
        let at = let_go_from + turn.of(grace_over.saturating_duration_since(let_go_from));
        Some(idle_since.map_or(at, |since| at.max(later(since, quiet))))
    }

    /// When a handler that waits for its turn says goodbye; `None` before the drain. Other than telling, it is never in a
    /// lame duck: whoever is sent away then may come back to this very process.
    pub(super) fn in_turn_at(&self, turn: Turn) -> Option<Instant> {
        let (began, limits) = self.drain?;
        Some(began + turn.of(limits.turns_over.saturating_duration_since(began)))
    }

    /// How long what is half open may stay so.
    pub(super) fn half_open(&self) -> Option<Duration> {
        Some(self.drain?.1.half_open)
    }

    /// When something long is cut; `None` where that is not before the deadline.
    pub(super) fn close_at(&self, policy: Policy) -> Option<Instant> {
        let (began, limits) = self.drain?;
        let at = match policy {
            Policy::Finish => return None,
            Policy::CloseNow => began,
            Policy::CloseAfter(time) => later(began, time),
        };
        (at < limits.deadline).then_some(at)
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
            turns_over: later(now, times.until_told(times.grace_within_deadline())),
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
            turns_over: self.turns_over.min(to.turns_over),
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

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn times() -> Times {
        Times::for_stop().grace(SECOND * 10).deadline(SECOND * 20)
    }

    /// A schedule whose drain begins now.
    fn begun(times: &Times) -> (Instant, Schedule) {
        let (now, mut schedule) = (Instant::now(), Schedule::default());
        assert!(schedule.begin(now, times));
        (now, schedule)
    }

    #[test]
    fn nothing_is_told_or_let_go_or_cut_before_it_begins() {
        let schedule = Schedule::default();
        assert_eq!((schedule.tell_at(Turn::FIRST), schedule.let_go_at(Turn::FIRST, None)), (None, None));
        assert_eq!((schedule.close_at(Policy::CloseNow), schedule.half_open()), (None, None));
        assert!(schedule.at(Instant::now()).is_none());
    }

    #[test]
    fn telling_is_spread_over_the_grace_and_letting_go_over_what_is_left_when_the_first_has_been_quiet() {
        let (now, schedule) = begun(&times());
        for (turn, told, let_go) in [(Turn::FIRST, 0, 2), (Turn::MIDDLE, 5, 6)] {
            assert_eq!(schedule.tell_at(turn), Some(now + SECOND * told));
            assert_eq!(schedule.let_go_at(turn, None), Some(now + SECOND * let_go));
        }
    }

    #[test]
    fn nobody_is_let_go_who_has_not_been_quiet_for_a_fifth_of_the_grace() {
        let (now, schedule) = begun(&times());
        let let_go = |since| schedule.let_go_at(Turn::MIDDLE, Some(now + since)).unwrap() - now;
        assert_eq!([SECOND, SECOND * 4, SECOND * 5, SECOND * 9].map(let_go), [6, 6, 7, 11].map(|at| SECOND * at));
    }

    #[test]
    fn whoever_is_let_go_was_to_be_told_before() {
        let (_, schedule) = begun(&times());
        let turns = super::super::turn::Turns::new();
        for turn in (0..1_000).map(|_| turns.next()) {
            assert!(schedule.tell_at(turn) < schedule.let_go_at(turn, None));
        }
    }

    #[test]
    fn at_once_everybody_is_told_and_let_go_after_a_whole_quiet_grace() {
        let (now, schedule) = begun(&times().at_once());
        for turn in [Turn::FIRST, Turn::MIDDLE] {
            assert_eq!(schedule.tell_at(turn), Some(now));
            assert_eq!(schedule.let_go_at(turn, None), Some(now + SECOND * 10));
            assert_eq!(schedule.let_go_at(turn, Some(now + SECOND * 9)), Some(now + SECOND * 19));
        }
    }

    #[test]
    fn a_lame_duck_tells_over_its_own_time_and_lets_nobody_go() {
        let (now, mut schedule) = (Instant::now(), Schedule::default());
        let times = times().lame_duck(SECOND * 4);
        assert!(schedule.begin_lame_duck(now, &times) && !schedule.begin_lame_duck(now + SECOND, &times));
        assert_eq!(schedule.tell_at(Turn::MIDDLE), Some(now + SECOND * 2));
        assert_eq!((schedule.let_go_at(Turn::FIRST, None), schedule.close_at(Policy::CloseNow)), (None, None));
        assert!(schedule.at(now + SECOND * 60).is_none());
        // Its drain begins early: then all are told, and its times count from there.
        assert!(schedule.begin(now + SECOND, &times) && !schedule.begin(now, &times));
        assert_eq!(schedule.tell_at(Turn::MIDDLE), Some(now + SECOND / 2));
        assert_eq!(schedule.let_go_at(Turn::FIRST, None), Some(now + SECOND * 3));
        assert_eq!(schedule.deadline(), Some(now + SECOND * 21));
    }

    #[test]
    fn a_policy_counts_from_the_drains_beginning_and_not_beyond_its_deadline() {
        let (now, schedule) = begun(&times());
        assert_eq!(schedule.close_at(Policy::Finish), None);
        assert_eq!(schedule.close_at(Policy::CloseNow), Some(now));
        assert_eq!(schedule.close_at(Policy::CloseAfter(SECOND * 3)), Some(now + SECOND * 3));
        assert_eq!(schedule.close_at(Policy::CloseAfter(SECOND * 20)), None);
        assert_eq!(schedule.close_at(Policy::CloseAfter(Duration::MAX)), None);
    }

    #[test]
    fn what_is_hastened_only_comes_nearer() {
        let (now, mut schedule) = begun(&times());
        let shorter = Times::for_stop().grace(SECOND * 5).deadline(SECOND * 8);
        assert!(schedule.hasten(now + SECOND, &shorter));
        assert!(schedule.hasten(now + SECOND * 2, &Times::for_restart().grace(SECOND * 60)));
        assert_eq!(schedule.tell_at(Turn::MIDDLE), Some(now + SECOND * 3));
        // The first is let go a second after that, and the last when the shorter grace ends.
        assert_eq!(schedule.let_go_at(Turn::MIDDLE, None), Some(now + SECOND * 4));
        assert_eq!(schedule.let_go_at(Turn::MIDDLE, Some(now + SECOND * 5)), Some(now + SECOND * 6));
        assert_eq!((schedule.deadline(), schedule.end()), (Some(now + SECOND * 9), Some(now + SECOND * 10)));
    }

    #[test]
    fn who_can_not_go_over_has_a_grace_or_half_the_time_to_be_told_and_let_go_in() {
        let (now, mut schedule) = begun(&Times::for_stop().grace(SECOND * 5).deadline(SECOND * 20));
        assert_eq!(schedule.last_call(), Some(now + SECOND * 15));
        schedule.hasten(now + SECOND, &Times::for_stop().grace(SECOND * 5).deadline(SECOND * 5));
        assert_eq!(schedule.last_call(), Some(now + SECOND * 3));
    }

    #[test]
    fn times_of_for_ever_are_for_ever() {
        let (now, mut schedule) = (Instant::now(), Schedule::default());
        let times = Times::for_stop().lame_duck(Duration::MAX).grace(Duration::MAX).deadline(Duration::MAX);
        schedule.begin_lame_duck(now, &times);
        assert!(schedule.tell_at(Turn::MIDDLE) > Some(now + SECOND * 1_000_000_000));
        schedule.begin(now, &times);
        assert!(schedule.let_go_at(Turn::FIRST, Some(now)) > Some(now + SECOND * 500_000_000));
        assert_eq!(schedule.at(now + SECOND * 1_000_000_000).unwrap().0, Level::HalfOpenOver);
    }
}

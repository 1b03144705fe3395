//! What a load counted.

use std::{
    collections::BTreeMap,
    fmt, iter,
    ops::{Add, AddAssign},
    time::{Duration, Instant},
};

use tokio::time;

use crate::{Latency, Outcome, Timeline, failure::Failure};

/// What a load counted. Tallies add up; `Display` is a small table.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    outcomes: [u64; Outcome::ALL.len()],
    reconnects: Reconnects,
    generations: BTreeMap<u64, Generation>,
    outside: Latency,
    in_restarts: Latency,
    timeline: Timeline,
    failures: Vec<String>,
}

/// What one generation answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation {
    /// How many requests.
    pub answered: u64,
    /// When its first answer was whole.
    pub first: Instant,
}

#[derive(Clone, Copy, Debug, Default)]
struct Reconnects {
    told: u64,
    untold: u64,
}

/// How a connection of a client ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parting {
    /// The server said that it would: `connection: close`, GOAWAY, a close frame.
    Told,
    Untold,
}

/// In or outside the time of a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Outside,
    InRestart,
}

impl Tally {
    /// So many failures are kept in words: the first ones tell most, and a server that is down makes many.
    const WORDS: usize = 8;

    /// How many requests ended so.
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize]
    }

    /// How many requests were answered as expected.
    pub fn answered(&self) -> u64 {
        self.count(Outcome::Answered)
    }

    /// How many requests were lost.
    pub fn lost(&self) -> u64 {
        Outcome::ALL.into_iter().filter(|outcome| outcome.is_loss()).map(|outcome| self.count(outcome)).sum()
    }

    /// Answered or lost. What the protocol allowed to send again is no request of its own.
    pub fn requests(&self) -> u64 {
        self.answered() + self.lost()
    }

    /// Connections opened beyond each client's first (where a client does not mean to open one for each request).
    pub fn reconnects(&self) -> u64 {
        self.told() + self.untold()
    }

    /// Reconnects after the server had said that it would end the connection.
    pub fn told(&self) -> u64 {
        self.reconnects.told
    }

    /// Reconnects after a connection had ended without a word.
    pub fn untold(&self) -> u64 {
        self.reconnects.untold
    }

    /// Who answered, by `x-generation`. A WebSocket's messages count for the generation that shook hands.
    pub fn generations(&self) -> &BTreeMap<u64, Generation> {
        &self.generations
    }

    /// The latency of answers that no restart touched.
    pub fn outside(&self) -> &Latency {
        &self.outside
    }

    /// The latency of answers in the time of a restart.
    pub fn in_restarts(&self) -> &Latency {
        &self.in_restarts
    }

    /// What ended when.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// The first few failures in words.
    pub fn failures(&self) -> &[String] {
        &self.failures
    }

    /// That of a load which begins now.
    pub(crate) fn starting(now: time::Instant) -> Self {
        Self { timeline: Timeline::new(now), ..Self::default() }
    }

    pub(crate) fn record_answer(&mut self, now: time::Instant, generation: Option<u64>, phase: Phase, took: Duration) {
        self.outcomes[Outcome::Answered as usize] += 1;
        match phase {
            Phase::Outside => self.outside.record(took),
            Phase::InRestart => self.in_restarts.record(took),
        }
        self.timeline.answered(now, took);
        if let Some(generation) = generation {
            let new = || Generation { answered: 0, first: now.into_std() };
            self.generations.entry(generation).or_insert_with(new).answered += 1;
        }
    }

    pub(crate) fn record_failure(&mut self, now: time::Instant, failure: &Failure) {
        self.outcomes[failure.outcome as usize] += 1;
        if !failure.outcome.is_loss() {
            return;
        }
        self.timeline.lost(now);
        if self.failures.len() < Self::WORDS {
            self.failures.push(failure.to_string());
        }
    }

    pub(crate) fn record_reconnect(&mut self, now: time::Instant, after: Parting) {
        self.timeline.reconnected(now);
        match after {
            Parting::Told => self.reconnects.told += 1,
            Parting::Untold => self.reconnects.untold += 1,
        }
    }
}

impl AddAssign<&Self> for Tally {
    fn add_assign(&mut self, other: &Self) {
        for (mine, theirs) in self.outcomes.iter_mut().zip(other.outcomes) {
            *mine += theirs;
        }
        self.reconnects.told += other.reconnects.told;
        self.reconnects.untold += other.reconnects.untold;
        for (&number, theirs) in &other.generations {
            let new = Generation { answered: 0, first: theirs.first };
            let mine = self.generations.entry(number).or_insert(new);
            mine.answered += theirs.answered;
            mine.first = mine.first.min(theirs.first);
        }
        self.outside += &other.outside;
        self.in_restarts += &other.in_restarts;
        self.timeline += &other.timeline;
        let room = Self::WORDS.saturating_sub(self.failures.len());
        self.failures.extend(other.failures.iter().take(room).cloned());
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        *self += &other;
    }
}

impl Add for Tally {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self += &other;
        self
    }
}

impl iter::Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), Add::add)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "requests     {:>12}", self.requests())?;
        writeln!(f, "lost         {:>12}", self.lost())?;
        let noteworthy = |outcome: &Outcome| *outcome != Outcome::Answered && self.count(*outcome) > 0;
        for outcome in Outcome::ALL.into_iter().filter(noteworthy) {
            writeln!(f, "             {:>12} {}", self.count(outcome), outcome.name())?;
        }
        writeln!(f, "reconnects   {:>12} ({} told, {} untold)", self.reconnects(), self.told(), self.untold())?;
        for (number, generation) in &self.generations {
            writeln!(f, "generation {number:<3}{:>11} answered", generation.answered)?;
        }
        writeln!(f, "outside          {}", self.outside)?;
        write!(f, "in restarts      {}", self.in_restarts)?;
        self.failures.iter().try_for_each(|failure| write!(f, "\n  {failure}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(generation: u64, outcome: Outcome) -> Tally {
        let now = time::Instant::now();
        let mut tally = Tally::starting(now);
        tally.record_answer(now, Some(generation), Phase::Outside, Duration::from_millis(1));
        tally.record_failure(now, &Failure::new(outcome, "because"));
        tally.record_reconnect(now, Parting::Told);
        tally
    }

    #[test]
    fn tallies_add_up() {
        let all: Tally =
            [sample(0, Outcome::Raced), sample(1, Outcome::Raced), sample(1, Outcome::Cut)].into_iter().sum();
        assert_eq!((all.answered(), all.lost(), all.requests()), (3, 3, 6));
        assert_eq!((all.count(Outcome::Raced), all.count(Outcome::Cut)), (2, 1));
        assert_eq!((all.told(), all.untold(), all.reconnects()), (3, 0, 3));
        assert_eq!((all.generations()[&0].answered, all.generations()[&1].answered), (1, 2));
        assert_eq!((all.outside().count(), all.in_restarts().count()), (3, 0));
        assert_eq!(all.failures(), ["raced: because", "raced: because", "cut: because"]);
        let slots = all.timeline().slots();
        assert_eq!(slots.iter().map(|slot| slot.answered + slot.lost + slot.reconnects).sum::<u32>(), 9);
    }

    #[test]
    fn what_the_protocol_allows_to_send_again_is_no_loss() {
        let tally = sample(0, Outcome::UnansweredAfterClose) + sample(0, Outcome::H2Unprocessed);
        assert_eq!((tally.lost(), tally.requests()), (0, 2));
        assert_eq!(tally.timeline().slots().iter().map(|slot| slot.lost).sum::<u32>(), 0);
    }

    #[test]
    fn the_table_names_every_bucket_that_is_not_empty() {
        let table = (sample(0, Outcome::Raced) + sample(0, Outcome::H2Unprocessed)).to_string();
        assert!(table.contains("1 raced") && table.contains("1 unprocessed by HTTP/2"), "{table}");
        assert!(!table.contains("refused"), "{table}");
    }
}

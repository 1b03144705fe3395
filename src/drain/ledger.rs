use std::sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering};

use super::{
    Kind, Outcome, Tally, Why,
    account::{Account, Stage},
    census::Census,
    flights::Flights,
};

/// What is open, and how what has ended since the drain began did so.
///
/// Its lock is taken when a connection comes or goes, and by whoever asks; never by a request.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pages: Mutex<Pages>,
    flights: Flights,
}

#[derive(Debug, Default)]
struct Pages {
    /// In no order: into the place of one that goes moves the last.
    open: Vec<Arc<Account>>,
    /// How many of these are in each stage.
    stages: [usize; 2],
    ended: [[usize; Outcome::COUNT]; Kind::COUNT],
}

impl Ledger {
    pub(super) fn enter(&self, account: Arc<Account>) {
        let mut pages = self.pages();
        account.place.store(pages.open.len(), Ordering::Relaxed);
        pages.stages[account.stage() as usize] += 1;
        pages.open.push(account);
    }

    /// `is_noted`: the report is to say how it ended. Whether it was the last of its stage.
    pub(super) fn leave(&self, account: &Account, is_noted: bool) -> bool {
        let mut pages = self.pages();
        if is_noted {
            pages.ended[account.kind() as usize][account.outcome().place()] += 1;
        }
        let place = account.place.load(Ordering::Relaxed);
        pages.open.swap_remove(place);
        if let Some(moved) = pages.open.get(place) {
            moved.place.store(place, Ordering::Relaxed);
        }
        let left = &mut pages.stages[account.stage() as usize];
        *left -= 1;
        *left == 0
    }

    /// Requests, which have no account.
    pub(super) fn flights(&self) -> &Flights {
        &self.flights
    }

    /// One of them has ended, and the report is to say how.
    pub(super) fn note_flight(&self, outcome: Outcome) {
        self.pages().ended[Kind::Request as usize][outcome.place()] += 1;
    }

    pub(super) fn len(&self) -> usize {
        self.pages().open.len() + self.flights.len()
    }

    pub(super) fn is_empty_of(&self, stage: Stage) -> bool {
        let is_empty = || self.pages().stages[stage as usize] == 0;
        match stage {
            Stage::First => self.flights.are_none_while(is_empty),
            Stage::Last => is_empty(),
        }
    }

    pub(super) fn census(&self) -> Census {
        let mut census = Census::new();
        self.pages().open.iter().for_each(|account| census.add(account));
        census.add_requests(self.flights.len());
        census
    }

    /// By kind, with those that are still open counted as left behind.
    pub(super) fn tallies(&self) -> [Tally; Kind::COUNT] {
        let pages = self.pages();
        let mut tallies = pages.ended.map(|ended| {
            let mut tally = Tally::default();
            ended.into_iter().enumerate().for_each(|(place, count)| tally.count(Outcome::at(place), count));
            tally
        });
        let left_behind = Outcome::Cut(Why::LeftBehind);
        pages.open.iter().for_each(|account| tallies[account.kind() as usize].count(left_behind, 1));
        tallies[Kind::Request as usize].count(left_behind, self.flights.len());
        tallies
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        // Nothing panics under this lock but an allocation that fails, and then nothing has been changed.
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

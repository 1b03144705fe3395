//! What has come of a trial.

use crate::support::Outcomes;

#[derive(Debug)]
pub struct Seen {
    /// `replaced`, or the kind of error. `None`: nobody was left to answer.
    pub answer: Option<String>,
    /// The generation that answers whoever comes.
    pub serves: Option<u64>,
    pub clients: Outcomes,
    /// What the predecessor ended with. Within: `None` is a signal.
    pub code: Option<Option<i32>>,
    /// What it said last: whether its successor was lost, and how many connections were cut.
    pub done: Option<(bool, u64)>,
    /// What it said then of those who were to leave it.
    pub moved: Option<Moved>,
    /// What whoever serves has beside what a server has that was just started.
    pub left: Option<String>,
    /// How many clients a restart afterwards has lost. `None`: nobody serves.
    pub lost_again: Option<u64>,
    pub log: String,
}

#[derive(Debug)]
pub struct Moved {
    pub handed: u64,
    pub told: u64,
}

impl Seen {
    pub fn has_logged(&self, generation: u64, text: &str) -> bool {
        has_logged(&self.log, generation, text)
    }
}

pub fn has_logged(log: &str, generation: u64, text: &str) -> bool {
    let span = format!("{{generation={generation} ");
    log.lines().any(|line| line.contains(&span) && line.contains(text))
}

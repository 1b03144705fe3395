//! What a cell of the table promises, and whether what was seen keeps it.

use std::fmt;

use super::{
    seen::Seen,
    step::{Cell, Side, Step},
};
use crate::support::{Clients, Outcomes, echo, fault::Fault};

const EACH: u64 = Clients::EACH as u64;
const LINES: u64 = echo::Load::CLIENTS as u64;

/// The letters of the table, which says what each means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Replaced,
    Back(String),
    BackWithCuts(String),
    Alone,
    Nobody,
    Lost,
    Late,
    Told,
    Unnoticed,
}

impl Outcome {
    /// `B Killed`.
    pub fn of(words: &str) -> Self {
        let (letter, kind) = words.split_once(' ').unwrap_or((words, ""));
        let kind = kind.trim_matches('`').to_owned();
        let outcome = match letter {
            "A" => Self::Replaced,
            "B" => Self::Back(kind.clone()),
            "C" => Self::BackWithCuts(kind.clone()),
            "D" => Self::Alone,
            "E" => Self::Nobody,
            "F" => Self::Lost,
            "G" => Self::Late,
            "H" => Self::Told,
            "I" => Self::Unnoticed,
            _ => panic!("the table knows no {words:?}"),
        };
        let has_kind = matches!(outcome, Self::Back(_) | Self::BackWithCuts(_));
        assert_eq!(has_kind, !kind.is_empty(), "{words:?}");
        outcome
    }

    /// Whether the successor's end or silence comes while it is on probation: then the probation must not be over before that is
    /// seen, however slow the machine.
    pub fn is_in_probation(&self) -> bool {
        matches!(self, Self::Back(kind) | Self::BackWithCuts(kind) if kind == "Probation")
    }

    /// What is not as promised.
    pub fn breaches(&self, seen: &Seen, cell: Cell) -> Vec<String> {
        let mut breaches = Breaches(Vec::new());
        breaches.expect("who serves", &self.serves(), &seen.serves);
        self.check_answer(seen, cell.step.side(), &mut breaches);
        self.check_clients(&seen.clients, cell, &mut breaches);
        if cell.step.is_of_declining() {
            self.check_declined(seen, &mut breaches);
        }
        self.check_predecessor(seen, cell, &mut breaches);
        for (generation, said) in self.logged() {
            if !seen.has_logged(*generation, said) {
                breaches.0.push(format!("generation {generation} has not logged: {said}"));
            }
        }
        if let Some(left) = &seen.left {
            breaches.0.push(format!("left: {left}"));
        }
        breaches.expect("a restart afterwards loses", &self.serves().map(|_| 0), &seen.lost_again);
        breaches.0
    }

    fn serves(&self) -> Option<u64> {
        match self {
            Self::Back(_) | Self::BackWithCuts(_) => Some(0),
            Self::Nobody | Self::Lost => None,
            Self::Replaced | Self::Alone | Self::Late | Self::Told | Self::Unnoticed => Some(1),
        }
    }

    fn check_answer(&self, seen: &Seen, struck: Side, breaches: &mut Breaches) {
        let answer = seen.answer.as_deref();
        match self {
            Self::Back(kind) | Self::BackWithCuts(kind) => {
                breaches.expect("the answer", &Some(kind.as_str()), &answer);
            }
            // The deadline has come at once when it went on: it may have ended before the asker's task had its turn.
            Self::Late if struck == Side::Predecessor && answer.is_none() => {}
            Self::Replaced | Self::Told | Self::Late | Self::Lost => {
                breaches.expect("the answer", &Some("replaced"), &answer);
            }
            Self::Nobody => breaches.expect("the answer", &None, &answer),
            // Who was to say it is gone, and may have said it before.
            Self::Alone | Self::Unnoticed => {
                if !matches!(answer, None | Some("replaced")) {
                    breaches.0.push(format!("the answer: {answer:?}"));
                }
            }
        }
    }

    fn check_clients(&self, clients: &Outcomes, cell: Cell, breaches: &mut Breaches) {
        let Outcomes { lines, kept, fresh } = clients;
        let lost = [lines.cut as u64, fresh.lost(), kept.lost()];
        let reconnects = [kept.told(), kept.untold()];
        // Each client is on one connection at a time, and so loses one at most with a generation.
        let (mut most_lost, most_reconnects) = match self {
            Self::Replaced | Self::Back(_) | Self::Unnoticed => ([0; 3], [0; 2]),
            Self::Told => ([0; 3], [EACH, 0]),
            Self::BackWithCuts(_) => ([LINES, EACH, 0], [0; 2]),
            Self::Alone | Self::Late => ([LINES, EACH, EACH], [EACH, EACH]),
            // In the end nobody is served, however often it is tried.
            Self::Nobody | Self::Lost => return,
        };
        if cell.ages_who_has_connected() {
            most_lost[1] = EACH;
        }
        breaches.at_most("lost (lines, fresh, kept)", &most_lost, &lost);
        breaches.at_most("reconnects (told, untold)", &most_reconnects, &reconnects);
        breaches.expect("refused", &0, &lines.refused);
    }

    /// Nobody has moved, and the predecessor has served on each of those whom it could.
    fn check_declined(&self, seen: &Seen, breaches: &mut Breaches) {
        if let Some(moved) = &seen.moved {
            breaches.expect("handed over", &0, &moved.handed);
            // Where the successor dies, too: what it had not declined yet comes back all the same.
            let serves_on = matches!(self, Self::Told | Self::Lost);
            if serves_on && moved.told < EACH {
                breaches.0.push(format!("told by the predecessor: {}, and {EACH} kept theirs alive", moved.told));
            }
        }
        if matches!(self, Self::Told) {
            breaches.expect("who reconnects because it was told", &EACH, &seen.clients.kept.told());
        }
    }

    fn check_predecessor(&self, seen: &Seen, cell: Cell, breaches: &mut Breaches) {
        let (code, done) = (seen.code, seen.done);
        match self {
            Self::Replaced | Self::Told => {
                breaches.expect("the predecessor ends with", &Some(Some(0)), &code);
                breaches.expect("successor lost, connections cut", &Some((false, 0)), &done);
            }
            Self::Late => {
                breaches.expect("the predecessor ends with", &Some(Some(0)), &code);
                breaches.expect("successor lost", &Some(false), &done.map(|done| done.0));
                // One of each client: of those with lines, on kept-alive connections, and on fresh ones.
                breaches.at_most("connections cut", &[LINES + 2 * EACH], &[done.map_or(0, |done| done.1)]);
            }
            Self::Back(_) | Self::BackWithCuts(_) => breaches.expect("the predecessor lives on", &None, &code),
            Self::Alone | Self::Nobody | Self::Unnoticed => {
                if !matches!(code, Some(None | Some(7))) {
                    breaches.0.push(format!("the predecessor ends by what befalls it: {code:?}"));
                }
            }
            Self::Lost => match done {
                Some((false, 0)) if cell.outlives_its_successor() => {
                    breaches.0.push("the predecessor does not notice that nobody else serves".to_owned());
                }
                Some((lost, 0)) => breaches.expect("the predecessor ends with", &Some(Some(i32::from(lost))), &code),
                _ => breaches.0.push(format!("the predecessor finishes: {done:?}")),
            },
        }
        if matches!(seen.done, Some((true, _)))
            && !seen.has_logged(0, "the successor died while this generation drains")
        {
            breaches.0.push("not logged: the successor died".to_owned());
        }
    }

    /// By which generation.
    fn logged(&self) -> &'static [(u64, &'static str)] {
        match self {
            Self::Replaced | Self::Told | Self::Late => {
                &[(0, "the successor is ready and serves, on probation"), (0, ": drained ")]
            }
            Self::Back(_) | Self::BackWithCuts(_) => &[(0, "the restart failed")],
            Self::Lost => &[(0, ": drained ")],
            Self::Alone | Self::Unnoticed => &[(1, ": ready")],
            Self::Nobody => &[],
        }
    }
}

impl Cell {
    /// Whether an hour passes for a generation that accepts: who has connected and not asked yet has had its time then.
    fn ages_who_has_connected(self) -> bool {
        match (self.fault, self.step.side()) {
            // It passes for the other generation too, which comes to its deadlines.
            (Fault::Stop, _) => true,
            (Fault::Ahead, Side::Predecessor) => self.step <= Step::LetsGo,
            (Fault::Ahead, Side::Successor) => self.step >= Step::Serves,
            _ => false,
        }
    }

    /// Whether the predecessor has something left for certain when its successor dies, which has not said of any
    /// connection yet what becomes of it: so it is there to notice that.
    fn outlives_its_successor(self) -> bool {
        let is_undecided = (Step::LetGoHeard..=Step::SaysTaken).contains(&self.step)
            || matches!(self.step, Step::Declines | Step::SaysDeclined);
        is_undecided && matches!(self.fault, Fault::Kill | Fault::Exit | Fault::Heap)
    }
}

struct Breaches(Vec<String>);

impl Breaches {
    fn expect<T: fmt::Debug + PartialEq>(&mut self, what: &str, promised: &T, seen: &T) {
        if promised != seen {
            self.0.push(format!("{what}: {seen:?}, and not {promised:?}"));
        }
    }

    fn at_most<const N: usize>(&mut self, what: &str, most: &[u64; N], seen: &[u64; N]) {
        if seen.iter().zip(most).any(|(seen, most)| seen > most) {
            self.0.push(format!("{what}: {seen:?}, and at most {most:?}"));
        }
    }
}

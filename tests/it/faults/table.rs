//! `src/faults.md`, which users read, as the tests read it.

use std::collections::BTreeMap;

use super::{
    outcome::Outcome,
    step::{Cell, Side, Step},
};
use crate::support::fault::Fault;

const TEXT: &str = include_str!("../../../src/faults.md");

/// What each cell promises, in any of these ways. None at all: it can't be, and a footnote says why.
#[derive(Debug)]
pub struct Table(BTreeMap<Cell, Vec<Outcome>>);

impl Table {
    pub fn read() -> Self {
        let mut cells = BTreeMap::new();
        for (side, heading) in [(Side::Predecessor, "## To the predecessor"), (Side::Successor, "## To the successor")]
        {
            let part = TEXT.split(heading).nth(1).expect("a part for each side");
            let part = part.split("\n## ").next().expect("it ends");
            let mut rows = part.lines().filter(|line| line.starts_with('|')).map(columns);
            let head = rows.next().expect("a head");
            let faults: Vec<_> = head[1..].iter().map(|word| Fault::of(word.trim_matches('`'))).collect();
            assert_eq!(faults, Fault::ALL, "{heading}: a column for each");
            for row in rows.skip(1) {
                let (_, name) = row[0].split_once(' ').expect("its number, and its name");
                let is_it = |step: &&Step| step.side() == side && step.name() == name;
                let step = *Step::ALL.iter().find(is_it).unwrap_or_else(|| panic!("{heading}: what is {name:?}?"));
                assert_eq!(row.len(), head.len(), "{name}");
                for (fault, words) in faults.iter().zip(&row[1..]) {
                    let twice = cells.insert(Cell { step, fault: *fault }, outcomes(words));
                    assert!(twice.is_none(), "{name} stands there twice");
                }
            }
        }
        Self(cells)
    }

    pub fn of(&self, cell: Cell) -> &[Outcome] {
        self.0.get(&cell).unwrap_or_else(|| panic!("the table has no word for {cell}"))
    }

    pub fn cells(&self) -> impl Iterator<Item = Cell> {
        self.0.keys().copied()
    }
}

fn columns(line: &str) -> Vec<&str> {
    line.trim_matches('|').split('|').map(str::trim).collect()
}

/// `A / B Killed`, or a dash with the number of a footnote.
fn outcomes(words: &str) -> Vec<Outcome> {
    if let Some(note) = words.strip_prefix('–') {
        assert!(!note.is_empty() && TEXT.contains(&format!("\n{note} ")), "no footnote says why there is no {words:?}");
        return Vec::new();
    }
    words.split(" / ").map(Outcome::of).collect()
}

#[test]
fn every_step_meets_every_fault() {
    let table = Table::read();
    let all = Step::ALL.iter().flat_map(|step| Fault::ALL.map(|fault| Cell { step: *step, fault }));
    let mut all: Vec<_> = all.collect();
    all.sort();
    assert!(table.cells().eq(all));
}

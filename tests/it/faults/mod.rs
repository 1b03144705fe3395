//! What befalls either generation, at each step of a restart under load: `src/faults.md` says what comes of it, and each cell of
//! its tables is tried here.

mod outcome;
mod seen;
mod step;
mod table;
mod trial;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Mutex,
    thread,
};

use crate::support::fault::Fault;
use step::{Cell, Side};
use table::Table;
use trial::{Probation, Trial};

/// How many cells of a column are tried at a time: mostly they wait.
const AT_A_TIME: usize = 3;

/// One column of the table.
#[track_caller]
fn check(side: Side, fault: Fault) {
    let table = Table::read();
    let column = table.cells().filter(|cell| cell.step.side() == side && cell.fault == fault);
    let (cells, impossible): (Vec<_>, Vec<_>) = column.partition(|cell| !table.of(*cell).is_empty());
    let (all, queue, failures) = (cells.len(), Mutex::new(cells.into_iter()), Mutex::new(Vec::new()));
    let next = || queue.lock().expect("no panic").next();
    let work = || {
        while let Some(cell) = next() {
            let tried = catch_unwind(AssertUnwindSafe(|| keeps(&table, cell)));
            if tried.is_err() {
                failures.lock().expect("no panic").push(cell.to_string());
            }
        }
    };
    thread::scope(|scope| (0..AT_A_TIME).for_each(|_| drop(scope.spawn(work))));
    let failures = failures.into_inner().expect("no panic");
    let passed = all - failures.len();
    println!("{side:?}, {}: {passed} of {all} cells passed, {} can't be", fault.word(), impossible.len());
    assert!(failures.is_empty(), "what the table promises is not so: {failures:#?}");
}

#[track_caller]
fn keeps(table: &Table, cell: Cell) {
    let promised = table.of(cell);
    let in_probation = promised.iter().filter(|outcome| outcome.is_in_probation()).count();
    let probation = match cell.step.side() {
        Side::Successor if in_probation == promised.len() => Probation::Endless,
        Side::Successor if in_probation > 0 => Probation::Long,
        _ => Probation::Short,
    };
    let seen = Trial::run(cell, probation);
    let breaches: Vec<_> = promised.iter().map(|outcome| (outcome, outcome.breaches(&seen, cell))).collect();
    let kept = breaches.iter().any(|(_, breaches)| breaches.is_empty());
    assert!(kept, "{cell}: {breaches:#?}\n{seen:#?}\nlog:\n{}", seen.log);
}

macro_rules! each {
    ($($name:ident: $side:ident $fault:ident;)*) => {
        $(#[test] fn $name() { super::check(super::Side::$side, super::Fault::$fault); })*

        #[test]
        fn and_no_column_is_left_out() {
            let tried = [$((super::Side::$side, super::Fault::$fault)),*];
            let all = [super::Side::Predecessor, super::Side::Successor];
            let all = all.into_iter().flat_map(|side| super::Fault::ALL.map(|fault| (side, fault)));
            let table = super::Table::read();
            let can_be = |column: &(super::Side, super::Fault)| {
                let is_of_it = |cell: &super::Cell| (cell.step.side(), cell.fault) == *column;
                table.cells().filter(is_of_it).any(|cell| !table.of(cell).is_empty())
            };
            assert!(all.filter(can_be).eq(tried));
        }
    };
}

mod it_is_as_the_table_says {
    each! {
        of_a_predecessor_that_is_killed: Predecessor Kill;
        of_a_predecessor_that_exits: Predecessor Exit;
        of_a_predecessor_that_stands_still: Predecessor Stop;
        of_a_predecessor_whose_channel_closes: Predecessor Close;
        of_a_predecessor_without_descriptors: Predecessor Files;
        of_a_predecessor_without_memory: Predecessor Memory;
        of_a_predecessor_whose_heap_is_empty: Predecessor Heap;
        of_a_predecessor_whose_channel_is_full: Predecessor Full;
        of_a_predecessor_in_a_storm_of_signals: Predecessor Signals;
        of_a_predecessor_whose_clock_jumps: Predecessor Ahead;
        of_a_predecessor_whose_clock_is_set_back: Predecessor Back;
        of_a_successor_that_is_killed: Successor Kill;
        of_a_successor_that_exits: Successor Exit;
        of_a_successor_that_stands_still: Successor Stop;
        of_a_successor_whose_channel_closes: Successor Close;
        of_a_successor_without_descriptors: Successor Files;
        of_a_successor_without_memory: Successor Memory;
        of_a_successor_whose_heap_is_empty: Successor Heap;
        of_a_successor_whose_channel_is_full: Successor Full;
        of_a_successor_whose_standard_error_is_full: Successor Stderr;
        of_a_successor_in_a_storm_of_signals: Successor Signals;
        of_a_successor_whose_clock_jumps: Successor Ahead;
        of_a_successor_whose_clock_is_set_back: Successor Back;
    }
}

//! Nothing leaks: what a restart opens, no other program ever sees.

use std::path::Path;

use nix::sys::signal::Signal;

use crate::support::{Fleet, Setup, process};

/// What the test itself was started with, a make's job server for instance, is everybody's and none of ours.
pub fn is_foreign(number: i32, target: &Path) -> bool {
    let test = process::descriptors(std::process::id() as i32);
    test.iter().any(|it| !it.close_on_exec && it.number == number && it.target == target)
}

/// Each descriptor but 0 to 2 closes by itself when another program starts.
fn assert_closed_on_exec(pid: i32, when: &str) {
    let mut open = process::descriptors(pid);
    open.retain(|it| it.number > 2 && !it.close_on_exec && !is_foreign(it.number, &it.target));
    assert!(open.is_empty(), "{when}: {open:?}");
}

/// What a program that the server starts just now finds open besides 0 to 2.
fn assert_child_holds_nothing(fleet: &mut Fleet, pid: i32, generation: u64) {
    fleet.signal(pid, Signal::SIGUSR1);
    let line = fleet.until(&format!("child generation={generation} "));
    let holds = line["holds"].split(',').filter_map(|it| it.rsplit_once('/')?.1.split_once(':'));
    let holds = holds.map(|(number, to)| (number.parse().expect("a number"), Path::new(to)));
    // The directory that it lists is its own, and closed when it asks what it is.
    let ours = |&(number, to): &(i32, &Path)| number > 2 && to != Path::new("") && !is_foreign(number, to);
    let more: Vec<_> = holds.filter(ours).collect();
    assert!(more.is_empty(), "{more:?}");
}

fn check(fleet: &mut Fleet, pid: i32, generation: u64, when: &str) {
    assert_closed_on_exec(pid, when);
    assert_child_holds_nothing(fleet, pid, generation);
}

#[test]
fn a_child_of_the_predecessor_holds_none_of_our_descriptors() {
    let mut fleet = Setup::new().with("AT", "1:SayReady:hold,1:Confirmed:hold").with("PROBATION_MS", "60000").start();
    let first = fleet.first();
    check(&mut fleet, first, 0, "it serves");
    fleet.signal(first, Signal::SIGUSR2);
    let second = fleet.until_held("SayReady");
    check(&mut fleet, first, 0, "its successor starts");
    fleet.signal(second, Signal::SIGCONT);
    fleet.until_held("Confirmed");
    check(&mut fleet, first, 0, "its successor is on probation");
}

#[test]
fn a_child_of_the_successor_holds_none_of_our_descriptors() {
    let mut fleet = Setup::new().with("AT", "0:Confirm:hold,0:LetGo:hold").start();
    let first = fleet.first();
    fleet.signal(first, Signal::SIGUSR2);
    fleet.until_held("Confirm");
    let second = fleet.until("started generation=1").pid();
    check(&mut fleet, second, 1, "it is not confirmed");
    fleet.signal(first, Signal::SIGCONT);
    fleet.until_held("LetGo");
    fleet.until("ready generation=1");
    check(&mut fleet, second, 1, "it is on probation");
    fleet.signal(first, Signal::SIGCONT);
    fleet.until("done generation=0");
    check(&mut fleet, second, 1, "it is alone");
}

/// Also the program that fails at once, and one that is no program of ours: they get the channel and nothing else.
#[test]
fn the_successors_program_is_given_the_channel_and_nothing_else() {
    let mut fleet = Setup::new().start();
    let list = fleet.path("list");
    let tell = "for link in /proc/$$/fd/*; do echo \"${link##*/} $(readlink \"$link\")\"; done";
    fleet.release.script(&format!("{tell} > '{}'; exit 3", list.display()));
    fleet.ask(fleet.first());
    assert!(fleet.answer(0).starts_with("Exited: "));
    let list = std::fs::read_to_string(list).unwrap();
    let open = list.lines().filter_map(|line| line.split_once(' '));
    let open = open.map(|(number, to)| (number.parse().expect("a number"), to));
    // The shell has its script open, and moves its own output away while it writes the list.
    let given: Vec<_> = open.filter(|&(number, to)| number > 2 && !is_foreign(number, to.as_ref())).collect();
    let ours: Vec<_> = given.iter().filter(|(number, _)| *number < 10).collect();
    let sockets = given.iter().filter(|(_, to)| to.starts_with("socket:")).count();
    assert_eq!(sockets, 1, "the channel: {list}");
    assert!(ours.len() <= 1, "{list}");
}

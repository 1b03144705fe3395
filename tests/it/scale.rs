//! Many sockets, around the number that one message can carry and far beyond it.

use crate::support::{Fleet, Setup, Trial, echo::echo};

fn with_many(sockets: usize) -> Setup {
    // As many again for the crate's duplicates, and some to live with.
    let limit = format!("--nofile={0}:{0}", 2 * sockets + 256);
    Setup::new().with("MANY", sockets.to_string()).through("prlimit", [limit])
}

/// `<inode>/<address>` of each, in the order of their names.
fn said(fleet: &mut Fleet, generation: u64) -> Vec<String> {
    fleet.until(&format!("many generation={generation} "))["sockets"].split(',').map(str::to_owned).collect()
}

#[track_caller]
fn survive_a_restart(sockets: usize) {
    let mut fleet = with_many(sockets).start();
    let before = said(&mut fleet, 0);
    assert_eq!(before.len(), sockets);
    let first = fleet.first();
    let second = fleet.restart(0, first);
    assert_eq!(said(&mut fleet, 1), before, "each under its name");
    assert_eq!(fleet.until("done generation=0").number("code"), 0);
    for it in [before.first(), before.get(sockets / 2), before.last()] {
        let (_, address) = it.unwrap().split_once('/').unwrap();
        echo(address.parse().unwrap()).unwrap();
    }
    fleet.stop(second, 1);
}

#[test]
fn one_socket_survives_a_restart() {
    survive_a_restart(1);
}

/// With the two that every server here has, one message holds 251 of them, 252 fill the second with one.
#[test]
fn as_many_sockets_as_a_message_holds_survive_a_restart() {
    for sockets in [250, 251, 252, 253, 254] {
        survive_a_restart(sockets);
    }
}

#[test]
fn a_thousand_sockets_survive_a_restart() {
    survive_a_restart(1000);
}

#[test]
fn four_thousand_sockets_survive_a_restart() {
    survive_a_restart(4000);
}

#[test]
fn a_successor_with_room_for_a_few_of_the_sockets_says_so_and_the_predecessor_serves() {
    let setup = with_many(600);
    let mut trial = Trial::of(setup);
    trial.fleet.release.after("ulimit -n 400");
    let said = trial.fails("NoDescriptors");
    assert!(said.contains("Too many open files"), "{said}");
    trial.succeeds();
}

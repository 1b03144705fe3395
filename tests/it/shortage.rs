//! Nothing is left to start a successor with: no descriptor, no process, no thread.

use std::{
    fmt::Display,
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    process::Command,
};

use crate::support::{Fleet, Footprint, Setup, echo::Client, process};

/// Sets a soft limit of a process that runs, as its own user: in a container root may not do it to others.
pub fn limit(pid: i32, resource: &str, to: impl Display) {
    let user = fs::metadata(format!("/proc/{pid}")).expect("it lives").uid();
    let arguments = [format!("--pid={pid}"), format!("--{resource}={to}:")];
    let set = Command::new("prlimit").args(arguments).uid(user).status();
    assert!(set.expect("prlimit, of util-linux").success());
}

/// As many numbers as there are below the limit can be used, so this leaves `free` of them.
pub fn leave_descriptors(pid: i32, free: usize) {
    let used: Vec<_> = process::descriptors(pid).into_iter().map(|it| it.number).collect();
    let limited = (0..).filter(|number| !used.contains(number)).nth(free).expect("numbers are many");
    limit(pid, "nofile", limited as usize);
}

fn outcome(fleet: &mut Fleet) -> String {
    fleet.ask(fleet.first());
    fleet.answer(0)
}

/// Leaves 0, 1, 2 … of something, until a successor is started. As long as none is, the restart fails as `kind`, a client
/// is served all the time, and nothing is left behind. Then it exits, which says that it was started. How many
/// failed.
fn until_there_is_enough(fleet: &mut Fleet, kind: &str, leave: impl Fn(i32, usize), lift: impl Fn(i32)) -> usize {
    fleet.release.script("exit 3");
    let first = fleet.first();
    let mut client = Client::served(fleet.echo);
    let before = Footprint::of(first);
    for free in 0.. {
        leave(first, free);
        let said = outcome(fleet);
        lift(first);
        client.line().unwrap();
        before.returns(first);
        if said.starts_with("Exited") {
            fleet.release.good();
            drop(client);
            fleet.restart(0, first);
            fleet.until("done generation=0");
            return free;
        }
        assert!(said.starts_with(kind), "with {free} left: {said}");
    }
    unreachable!("all numbers have been tried")
}

#[test]
fn no_descriptor_left_is_told_wherever_it_shows_and_leaves_none_behind() {
    let mut fleet = Setup::new().start();
    let lift = |pid| limit(pid, "nofile", 1024);
    let failed = until_there_is_enough(&mut fleet, "NoDescriptors", leave_descriptors, lift);
    assert!(failed >= 5, "channel, pipe, and pidfds are more than {failed}");
}

#[test]
fn who_comes_while_no_descriptor_is_left_waits_and_is_served() {
    let mut fleet = Setup::new().start();
    let first = fleet.first();
    leave_descriptors(first, 0);
    let mut client = Client::connect(fleet.echo).unwrap();
    let said = outcome(&mut fleet);
    assert!(said.starts_with("NoDescriptors") && said.contains("Too many open files"), "{said}");
    limit(first, "nofile", 1024);
    client.line().unwrap();
}

#[test]
fn a_successor_without_enough_descriptors_refuses_or_ends_and_says_why() {
    let mut fleet = Setup::new().start();
    let first = fleet.first();
    let before = Footprint::of(first);
    let mut refused = 0;
    for most in 4.. {
        // The reason is the beginning of a panic's words, and a backtrace would push it out of the last 4 KiB.
        fleet.release.after(&format!("ulimit -n {most}; export RUST_BACKTRACE=0"));
        let said = outcome(&mut fleet);
        if said.starts_with("replaced") {
            break;
        }
        assert!(said.contains("Too many open files") || said.contains("os error 24"), "with {most}: {said}");
        refused += usize::from(said.starts_with("NoDescriptors: the successor refused"));
        before.returns(first);
    }
    assert!(refused > 0, "one that has a channel can say what it lacks");
    fleet.until("done generation=0");
}

/// Root is bound by no limit of processes, so here the server is somebody else, who has no other processes. A user who is
/// not root has others: only the smallest limit is sure to be reached.
#[test]
fn no_process_and_no_thread_left() {
    let root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let mut setup = Setup::new();
    if root {
        fs::set_permissions(setup.place(), fs::Permissions::from_mode(0o755)).unwrap();
        setup = setup.tune(|command| {
            command.uid(100_000 + std::process::id());
        });
    }
    let mut fleet = setup.start();
    if root {
        let leave = |pid, free| limit(pid, "nproc", process::threads(pid) + free);
        let lift = |pid| limit(pid, "nproc", 1024);
        let failed = until_there_is_enough(&mut fleet, "NoResources", leave, lift);
        assert_eq!(failed, 3, "the thread that reads its standard error, the one that spawns, and the process");
    } else {
        limit(fleet.first(), "nproc", 1);
        let said = outcome(&mut fleet);
        assert!(said.starts_with("NoResources"), "{said}");
    }
}

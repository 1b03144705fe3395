//! Who would have all of a server's places: in its table of open files, at its door.
#![allow(clippy::disallowed_methods)] // the frames are sent by hand, and numbers are what goes with them

use std::{
    collections::VecDeque,
    io::Read,
    os::{
        fd::AsRawFd,
        unix::{net::UnixStream, process::CommandExt},
    },
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    heir::Heir,
    support::{
        Control, Footprint, Setup,
        echo::echo,
        frames::{self, Wire},
        nobody::{NOBODY, can_be_nobody},
        this,
    },
};

/// As many descriptors as one message carries are more than this server may have open.
fn with_few_descriptors(setup: Setup) -> Setup {
    setup.through("prlimit", ["--nofile=160:160"])
}

/// Says half a word, and passes as much as it can with each byte of it. It has been heard when nobody has that any more.
fn passes_all_it_can(to: &UnixStream) {
    let (mut ours, passed) = UnixStream::pair().unwrap();
    for byte in &frames::recorded("STOPPING")[..2] {
        Wire(to.as_raw_fd()).pass(&[*byte], &[passed.as_raw_fd(); 253]);
    }
    drop(passed);
    // A bound for a broken run, and never part of what is tested.
    ours.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    assert_eq!(ours.read(&mut [0]).unwrap(), 0, "nobody holds the other end any more");
}

/// Nobody is accepted by a process whose table is full.
#[test]
fn a_visitor_that_passes_descriptors_with_half_a_word_keeps_no_client_out() {
    let at = Control::new();
    let mut fleet = with_few_descriptors(at.setup()).start();
    let before = Footprint::of(fleet.first());
    let visitors = [at.connect(), at.connect()];
    let began = Instant::now();
    visitors.iter().for_each(passes_all_it_can);
    for _ in 0..20 {
        echo(fleet.echo).unwrap();
    }
    assert_eq!(at.now(), (0, "ready".into()));
    assert!(began.elapsed() < Duration::from_secs(4), "at once, and not when the others are sent away");
    drop(visitors);
    before.returns(fleet.first());
    fleet.stop(fleet.first(), 0);
}

#[test]
fn a_successor_that_passes_descriptors_with_half_a_word_keeps_no_client_out() {
    let at = Control::new();
    let mut fleet = with_few_descriptors(at.setup().with("READY_DEADLINE_MS", "600000")).start();
    let heir = Heir::come(&at);
    heir.plays("take ACCEPTED");
    passes_all_it_can(heir.stream());
    for _ in 0..20 {
        echo(fleet.echo).unwrap();
    }
    assert_eq!(at.now(), (0, "restarting".into()));
    drop(heir);
    fleet.stop(fleet.first(), 0);
}

/// How often they come, and how many of them stay meanwhile.
const CROWD: usize = 10_000;
const STAY: usize = 500;

/// Not a test: a user who comes to the path in `HR_PATH` again and again and says nothing.
#[test]
#[ignore = "another user's crowd, which the test below starts"]
fn crowd() {
    let path = std::env::var_os("HR_PATH").expect("a path");
    let mut stay = VecDeque::with_capacity(STAY + 1);
    for _ in 0..CROWD {
        stay.push_back(UnixStream::connect(&path).expect("somebody listens there"));
        if stay.len() > STAY {
            stay.pop_front();
        }
    }
}

/// The path lets everybody as far as the check of who that is, where somebody is named.
#[test]
fn a_crowd_of_a_user_who_may_not_ask_keeps_neither_operators_nor_clients_out_and_is_told_of_once() {
    if !can_be_nobody() {
        return;
    }
    let at = Control::new();
    at.open_to_all();
    let mut fleet = at.setup().with("CONTROL_USER", (NOBODY - 1).to_string()).start();
    let before = Footprint::of(fleet.first());
    let mut crowd = Command::new(this());
    crowd.args(["hostile::hoard::crowd", "--exact", "--ignored"]).env("HR_PATH", at.path());
    let mut crowd = crowd.uid(NOBODY).gid(NOBODY).stdout(Stdio::null()).spawn().unwrap();
    fleet.until_logged("a visitor of the control path is sent away", 1);
    let status = loop {
        // Each is answered within its time, or this fails.
        assert_eq!(at.now(), (0, "ready".into()));
        echo(fleet.echo).unwrap();
        if let Some(status) = crowd.try_wait().unwrap() {
            break status;
        }
    };
    assert!(status.success(), "each was let in as far as that: {status}");
    before.returns(fleet.first());
    fleet.stop(fleet.first(), 0);
    fleet.until_all_have_ended();
    fleet.until_logged("drained", 1);
    assert_eq!(fleet.log().matches("a visitor of the control path is sent away").count(), 1, "or it fills the log");
}

//! Each way in which a successor can fail, with clients on: whoever asked learns why, nobody else notices.

use std::os::unix::process::ExitStatusExt;

use nix::sys::signal::Signal;

use crate::{
    fake,
    support::{Fleet, Setup, Trial, process},
};

/// Long enough for a good successor on a slow machine, short enough to be waited out.
const DEADLINE: &str = "1500";

/// For tests that end a probation themselves.
const NEVER: &str = "600000";

/// A successor made by hand fails as `kind`, and a good one succeeds. The message.
#[track_caller]
fn hand_made(steps: &str, kind: &str) -> String {
    let mut trial = Trial::new();
    fake::release(&trial.fleet.release, steps);
    let message = trial.fails(kind);
    trial.succeeds();
    message
}

/// A shell script in the successor's place.
#[track_caller]
fn script(body: &str, kind: &str) -> (String, Trial) {
    let mut trial = Trial::new();
    trial.fleet.release.script(body);
    let message = trial.fails(kind);
    trial.succeeds();
    (message, trial)
}

// ------------------------------------------------------------------------------------------------------- no program

#[test]
fn a_missing_program() {
    let mut trial = Trial::new();
    trial.fleet.release.missing();
    let message = trial.fails("ProgramMissing");
    assert!(message.contains("/current: No such file"), "{message}");
    trial.succeeds();
}

#[test]
fn a_missing_interpreter_is_told_from_a_missing_program() {
    let mut trial = Trial::new();
    trial.fleet.release.file(b"#!/nowhere/interpreter\n", 0o755);
    let message = trial.fails("InterpreterMissing");
    assert!(message.contains("interpreter"), "{message}");
    trial.succeeds();
}

#[test]
fn a_program_that_is_not_executable() {
    let mut trial = Trial::new();
    trial.fleet.release.file(b"#!/bin/sh\n", 0o644);
    let message = trial.fails("NotExecutable");
    assert!(message.contains("/current: Permission denied"), "{message}");
    trial.succeeds();
}

#[test]
fn a_file_that_is_no_program_is_not_given_to_a_shell() {
    let mut trial = Trial::new();
    let truncated = b"\x7fELF\x02\x01\x01";
    for contents in [&b""[..], b"exit 0\n", truncated] {
        trial.fleet.release.file(contents, 0o755);
        let message = trial.fails("NotAProgram");
        assert!(message.contains("/current: Exec format error"), "{message}");
    }
    trial.succeeds();
}

// ---------------------------------------------------------------------------------------------- ends before it is ready

#[test]
fn an_exit_before_ready_is_told_with_its_status_and_its_last_words() {
    let (message, trial) = script("echo 'no config: line 7' >&2; exit 3", "Exited");
    assert!(message.contains("exit status: 3"), "{message}");
    assert!(message.ends_with("it last wrote: no config: line 7"), "{message}");
    // It reaches its place all the same, and stands in the log line that tells of the failure.
    trial.fleet.until_logged("no config: line 7", 2);
}

#[test]
fn an_exit_with_status_0_before_ready_is_a_failure_too() {
    let (message, _) = script("exit 0", "Exited");
    assert!(message.ends_with("exit status: 0"), "{message}");
}

#[test]
fn a_successor_that_ends_with_the_sockets_in_its_hands_leaves_them_to_the_predecessor() {
    let message = hand_made("take ACCEPTED write:the_database_is_gone exit:4", "Exited");
    assert!(message.contains("exit status: 4") && message.contains("the database is gone"), "{message}");
}

#[test]
fn a_successor_that_stops_itself_before_it_is_ready_is_heard_to_its_last_word() {
    let mut trial = Trial::new();
    // No address, so the server says so, drains, and ends.
    trial.fleet.release.after("export HR_ECHO=nowhere");
    // Several times, because the words come in pieces, and any of them could be lost.
    for _ in 0..5 {
        let message = trial.fails("Exited");
        assert!(message.contains("generation 1 failed: resolve the address of \"echo\""), "{message}");
        assert!(message.contains("invalid socket address"), "{message}");
    }
    trial.succeeds();
}

#[test]
fn a_successor_killed_by_a_signal() {
    let (message, _) = script("kill -KILL $$", "Killed");
    assert!(message.contains("signal: 9 (SIGKILL)"), "{message}");
}

#[test]
fn a_failure_that_nobody_asked_for_by_a_method_is_in_the_log() {
    let mut trial = Trial::new();
    trial.fleet.release.script("echo 'no config' >&2; exit 3");
    trial.fleet.signal(trial.fleet.first(), Signal::SIGUSR2);
    trial.fleet.until_logged("the restart failed", 1);
    trial.fleet.until_logged("no config", 2);
    trial.succeeds();
}

#[test]
fn many_failures_leave_nothing_behind() {
    let mut trial = Trial::new();
    trial.fleet.release.script("exit 3");
    for _ in 0..20 {
        trial.fails("Exited");
    }
    trial.succeeds();
}

// ------------------------------------------------------------------------------------------------------------ deadline

#[test]
fn a_successor_that_never_speaks_is_killed_at_the_deadline() {
    let mut trial = Trial::of(Setup::new().with("READY_DEADLINE_MS", DEADLINE));
    trial.fleet.release.script("echo mute pid=$$; echo 'still thinking' >&2; exec sleep 600");
    let message = trial.fails("Deadline");
    assert!(message.ends_with("not ready by its deadline; it last wrote: still thinking"), "{message}");
    let mute = trial.fleet.until("mute").pid();
    assert!(!Fleet::lives(mute), "it is dead before its failure is told");
    trial.succeeds();
}

#[test]
fn a_successor_that_accepts_and_then_is_silent_is_killed_at_the_deadline() {
    let mut trial = Trial::of(Setup::new().with("READY_DEADLINE_MS", DEADLINE));
    fake::release(&trial.fleet.release, "take ACCEPTED linger");
    trial.fails("Deadline");
    trial.succeeds();
}

#[test]
fn a_successor_that_asks_for_more_time_gets_it() {
    let mut trial = Trial::of(Setup::new().with("READY_DEADLINE_MS", DEADLINE));
    trial.fleet.release.after("export HR_EXTEND_MS=60000 HR_START_DELAY_MS=2000");
    trial.succeeds_with_this();
}

// ----------------------------------------------------------------------------------------------------------- probation

/// With a hand-made successor, which accepts nobody: all who come meanwhile wait, and are served afterwards.
#[track_caller]
fn in_probation(end: &str) -> String {
    let mut trial = Trial::of(Setup::new().with("PROBATION_MS", NEVER));
    fake::release(&trial.fleet.release, &format!("take ACCEPTED READY hear:COMMIT {end}"));
    trial.fails("Probation")
    // A good one would be on probation for ever.
}

#[test]
fn an_exit_in_probation_is_undone() {
    let message = in_probation("write:the_disk_is_full exit:5");
    assert!(message.contains("exit status: 5"), "{message}");
    assert!(message.contains("the disk is full"), "{message}");
}

#[test]
fn a_kill_in_probation_is_undone() {
    let message = in_probation("kill");
    assert!(message.contains("signal: 9 (SIGKILL)"), "{message}");
}

#[test]
fn a_successor_that_closes_its_channel_in_probation_is_killed() {
    let message = in_probation("close linger");
    assert!(message.contains("lived on"), "{message}");
}

#[test]
fn a_helper_that_holds_the_channel_open_does_not_hide_a_death_in_probation() {
    let mut trial = Trial::of(Setup::new().with("PROBATION_MS", NEVER));
    let steps = "take ACCEPTED READY hear:COMMIT exit:5";
    trial.fleet.release.script(&format!("sleep 600 & echo helper pid=$!; {}", fake::becomes(steps)));
    let message = trial.fails("Probation");
    assert!(message.contains("exit status: 5"), "{message}");
    let helper = trial.fleet.until("helper").pid();
    trial.fleet.signal(helper, Signal::SIGKILL);
}

#[test]
fn nonsense_in_probation_is_undone() {
    let mut trial = Trial::of(Setup::new().with("PROBATION_MS", NEVER));
    fake::release(&trial.fleet.release, "take ACCEPTED READY hear:COMMIT say:HTTP/1.1_400_Bad_Request linger");
    trial.fails("Protocol");
}

#[test]
fn a_restart_succeeds_after_one_that_failed_in_probation() {
    let mut trial = Trial::of(Setup::new().with("PROBATION_MS", "2000"));
    fake::release(&trial.fleet.release, "take ACCEPTED READY hear:COMMIT exit:5");
    trial.fails("Probation");
    trial.succeeds();
}

// --------------------------------------------------------------------------------------------------- refuses, misspeaks

#[test]
fn a_refusal_brings_its_reason() {
    let message = hand_made("take refuse:the_licence_has_expired exit:1", "Refused");
    assert_eq!(message, "the successor refused: the licence has expired");
}

#[test]
fn a_successor_that_refuses_and_lives_on_is_killed() {
    let message = hand_made("refuse:no_room linger", "Refused");
    assert_eq!(message, "the successor refused: no room");
}

#[test]
fn no_common_version_names_what_both_speak() {
    let both = "this one 1 to 1, the successor 2 to 3";
    let message = hand_made("REFUSED exit:1", "Version");
    assert!(message.ends_with(both), "{message}");
}

#[test]
fn a_successor_that_accepts_in_a_version_that_was_not_offered() {
    let message = hand_made("take speak:9 linger", "Version");
    assert!(message.ends_with("this one 1 to 1, the successor 9 to 9"), "{message}");
}

#[test]
fn garbage_is_no_message() {
    let message = hand_made("say:HTTP/1.1_400_Bad_Request linger", "Protocol");
    assert!(message.contains("what is no message"), "{message}");
}

#[test]
fn half_a_message_is_torn() {
    let message = hand_made("take half:ACCEPTED exit:0", "Torn");
    assert!(message.contains("ended after 13 bytes"), "{message}");
}

#[test]
fn a_claim_to_a_socket_that_was_not_passed() {
    let message = hand_made("take ACCEPTED claim:99 linger", "Protocol");
    assert!(message.contains("claimed a socket that was not passed"), "{message}");
}

#[test]
fn ready_before_accepted() {
    let message = hand_made("take READY linger", "Protocol");
    assert!(message.contains("READY before ACCEPTED"), "{message}");
}

#[test]
fn accepted_before_the_sockets_have_been_passed() {
    let message = hand_made("ACCEPTED linger", "Protocol");
    assert!(message.contains("ACCEPTED"), "{message}");
}

#[test]
fn a_message_that_is_the_predecessors_to_say() {
    let message = hand_made("take COMMIT linger", "Protocol");
    assert!(message.contains("COMMIT"), "{message}");
}

// ------------------------------------------------------------------------------------------------------------- channel

#[test]
fn a_successor_that_closes_its_channel_and_lives_on_is_killed() {
    let message = hand_made("take ACCEPTED write:on_my_own close linger", "ChannelClosed");
    assert!(message.contains("lived on") && message.contains("on my own"), "{message}");
}

#[test]
fn a_successor_that_closes_its_channel_and_then_exits_is_told_by_its_own_status() {
    let message = hand_made("take ACCEPTED close exit:6", "Exited");
    assert!(message.contains("exit status: 6"), "{message}");
}

#[test]
fn a_helper_that_holds_channel_and_stderr_open_does_not_hide_the_successors_death() {
    let mut trial = Trial::new();
    trial.fleet.release.script("sleep 600 & echo helper pid=$!; echo 'the last line' >&2; exit 7");
    let message = trial.fails("Exited");
    assert!(message.contains("exit status: 7") && message.contains("the last line"), "{message}");
    let helper = trial.fleet.until("helper").pid();
    assert!(Fleet::lives(helper), "only the successor is ours to end");
    trial.fleet.signal(helper, Signal::SIGKILL);
    trial.succeeds();
}

#[test]
fn the_exit_status_of_a_stopped_server_is_its_own_after_failures() {
    let mut trial = Trial::new();
    trial.fleet.release.script("exit 3");
    trial.fails("Exited");
    trial.fleet.signal(trial.fleet.first(), Signal::SIGTERM);
    let exit = trial.fleet.first_exit();
    assert_eq!((exit.code(), exit.signal()), (Some(0), None));
    assert_eq!(process::state(trial.fleet.first()), 'X');
}

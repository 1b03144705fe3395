//! The right one holds in every order; each wrong one breaks the law that it should.

use super::{laws::*, *};
use crate::walk::{assert_no_circle, walk_through, walk_to_breach};

/// Everything may go wrong once.
const ONCE: Left = Left { restarts: 1, visits: 0, stops: 1, deaths: 1, oddities: 1 };
const TWICE: Left = Left { restarts: 2, visits: 0, stops: 2, deaths: 2, oddities: 2 };

/// With all that takes time in between.
const fn slowly<const N: usize>(left: Left) -> Restart<N> {
    Restart { left, hooks: true, supervised: true, lame_duck: true, wrong: None }
}

fn breaks(wrong: Wrong, law: &'static str) {
    breaks_in(slowly::<2>(ONCE), wrong, law);
}

fn breaks_for_a_visitor(wrong: Wrong, law: &'static str) {
    breaks_in(slowly::<2>(Left { restarts: 0, visits: 1, ..ONCE }), wrong, law);
}

/// Finds the shortest way to the law's breach.
fn breaks_in<const N: usize>(model: Restart<N>, wrong: Wrong, law: &'static str) {
    walk_to_breach(wrong, Restart { wrong: Some(wrong), ..model }, law);
}

#[test]
fn a_restart_and_whatever_may_happen_to_it_twice() {
    walk_through("one restart", slowly::<2>(TWICE));
    let plain = Restart { hooks: false, supervised: false, lame_duck: false, ..slowly::<2>(TWICE) };
    walk_through("one restart, of a server without hooks, supervisor and lame duck", plain);
}

#[test]
fn a_successor_that_comes_by_itself_and_whatever_may_happen_to_it_twice() {
    walk_through("one at the control path", slowly::<2>(Left { restarts: 1, visits: 1, ..TWICE }));
}

#[test]
fn a_second_restart_after_one_that_failed_or_by_the_successor() {
    walk_through("two restarts", slowly::<3>(Left { restarts: 2, ..ONCE }));
}

#[test]
fn a_second_successor_of_another_kind() {
    walk_through("a restart, and one at the control path", slowly::<3>(Left { visits: 1, stops: 0, ..ONCE }));
}

#[test]
#[ignore = "a million states"]
fn a_second_successor_of_another_kind_and_a_stop() {
    walk_through("a restart, one at the control path, and a stop", slowly::<3>(Left { visits: 1, ..ONCE }));
}

#[test]
#[ignore = "millions of states"]
fn a_third_restart() {
    walk_through("three restarts", slowly::<4>(Left { restarts: 3, oddities: 0, ..ONCE }));
}

#[test]
#[ignore = "millions of states"]
fn two_restarts_and_whatever_may_happen_to_them_twice() {
    walk_through("two restarts, in which everything happens twice", slowly::<3>(TWICE));
}

#[test]
fn ready_taken_for_commit_has_two_accept() {
    breaks(Wrong::ReadyIsCommit, UNCONFIRMED);
    breaks(Wrong::ReadyIsCommit, TWO_ACCEPT);
}

#[test]
fn a_successor_that_waits_for_commit_by_a_timer_makes_two_owners() {
    breaks(Wrong::SuccessorHasATimer, TAKEN_FOR_DEAD);
    breaks(Wrong::SuccessorHasATimer, TWO_OWNERS);
}

#[test]
fn a_deadline_that_acts_before_the_channel_is_read_dry_takes_back_who_was_in_time_and_names_who_has_ended() {
    breaks(Wrong::DeadlineFirst, OVERTAKEN);
    breaks(Wrong::DeadlineFirst, NAMED_ENDED);
}

#[test]
fn a_hangup_heard_before_what_was_said_makes_two_owners() {
    breaks(Wrong::EndBeforeWords, TWO_OWNERS);
    breaks_for_a_visitor(Wrong::EndBeforeWords, TAKEN_FOR_DEAD);
}

#[test]
fn a_channel_closed_without_abort_makes_two_owners() {
    breaks(Wrong::AbortIsUnsaid, TOLD);
    breaks(Wrong::AbortIsUnsaid, TWO_OWNERS);
    breaks_for_a_visitor(Wrong::AbortIsUnsaid, TAKEN_FOR_DEAD);
    breaks_for_a_visitor(Wrong::AbortIsUnsaid, TWO_OWNERS);
}

#[test]
fn a_visitor_that_refuses_and_is_told_nothing_takes_its_predecessor_for_dead() {
    breaks_for_a_visitor(Wrong::AbortIsUnsaidToWhoRefuses, TAKEN_FOR_DEAD);
}

#[test]
fn a_predecessors_death_taken_for_abort_leaves_nobody() {
    breaks(Wrong::EndIsAbort, ENDS);
}

#[test]
fn a_failed_send_taken_for_a_death_leaves_a_successor_behind() {
    breaks(Wrong::FailedSendIsDeath, IN_USE);
}

#[test]
fn a_kill_taken_for_a_death_gives_one_thing_to_two() {
    breaks(Wrong::KillIsDeath, IN_USE);
}

#[test]
fn taking_back_at_once_gives_one_thing_to_two() {
    breaks(Wrong::UndoesAtOnce, IN_USE);
}

#[test]
fn taking_nothing_back_leaves_it_to_nobody() {
    breaks(Wrong::UndoesNothing, GIVEN_UP);
}

#[test]
fn waiting_for_a_dead_successors_helper_names_the_dead() {
    breaks(Wrong::WaitsForHelper, NAMED_ENDED);
}

#[test]
fn waiting_without_a_deadline_for_one_that_has_closed_its_channel_is_a_deadlock() {
    breaks(Wrong::WaitsForTheEnd, AT_REST);
    breaks(Wrong::WaitsForTheEnd, ANSWERED);
}

#[test]
fn naming_a_successor_on_probation_can_not_be_taken_back() {
    breaks(Wrong::NamesAtCommit, TOO_EARLY);
    breaks(Wrong::NamesAtCommit, NAMED);
}

#[test]
fn taking_back_a_successor_that_is_named_already_deceives_the_supervisor() {
    breaks(Wrong::TakesBackTheNamed, NAMED);
}

#[test]
fn a_predecessor_that_goes_on_accepting_during_the_probation_is_seen() {
    breaks(Wrong::BothAccept, TWO_ACCEPT);
}

#[test]
fn a_gate_that_is_shut_at_ready_leaves_nobody_to_accept() {
    breaks(Wrong::ShutsAtReady, ACCEPTS);
}

#[test]
fn a_stop_that_leaves_the_successor_as_it_is_leaves_it_behind() {
    breaks(Wrong::LeavesSuccessor, LEFT_BEHIND);
}

#[test]
fn forgetting_an_early_restart_leaves_who_asked_without_an_answer() {
    breaks(Wrong::ForgetsWhoAsked, ANSWERED);
}

#[test]
fn counting_what_has_failed_makes_the_next_restart_impossible() {
    breaks_in(slowly::<3>(ONCE), Wrong::CountsTheFailed, RETRIED);
}

/// So that each run has an end, and whatever holds in each of those in which nothing more comes by itself, comes to hold.
#[test]
fn no_step_leads_back() {
    assert_no_circle(&slowly::<2>(Left { visits: 1, ..ONCE }));
    assert_no_circle(&slowly::<3>(Left { restarts: 2, oddities: 0, ..ONCE }));
}

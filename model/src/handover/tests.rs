//! The right one holds in every order; each wrong one breaks the law that it should.

use super::{laws::*, *};
use crate::walk::{assert_no_circle, walk_through, walk_to_breach};

/// Walks through everything.
fn walk<const N: usize>(window: usize, room: usize) {
    let what = format!("{N} connections, window {window}, room {room}");
    walk_through(&what, Handover::<N> { window, room, wrong: None });
}

fn breaks(wrong: Wrong, law: &'static str) {
    breaks_among::<2>(2, wrong, law);
}

/// Finds the shortest way to the law's breach.
fn breaks_among<const N: usize>(room: usize, wrong: Wrong, law: &'static str) {
    walk_to_breach(wrong, Handover::<N> { window: N, room, wrong: Some(wrong) }, law);
}

#[test]
fn two_connections_one_at_a_time() {
    walk::<2>(1, 1);
    walk::<2>(1, 2);
}

#[test]
fn two_connections_at_once() {
    walk::<2>(2, 1);
    walk::<2>(2, 2);
}

#[test]
fn three_connections_two_at_a_time() {
    walk::<3>(1, 2);
    walk::<3>(2, 1);
    walk::<3>(2, 2);
}

#[test]
fn three_connections_at_once() {
    walk::<3>(3, 2);
}

#[test]
#[ignore = "three million states, a minute"]
fn four_connections_at_once() {
    walk::<4>(4, 1);
}

#[test]
fn a_clock_that_takes_back_makes_two_owners() {
    breaks(Wrong::TimerTakesBack, TWO_OWNERS);
    breaks(Wrong::TimerTakesBack, TWO_READERS);
}

#[test]
fn telling_the_successor_that_a_clock_takes_back_makes_two_owners_all_the_same() {
    breaks(Wrong::TimerRevokes, TWO_OWNERS);
    breaks(Wrong::TimerRevokes, TWO_READERS);
}

#[test]
fn a_failed_send_read_as_the_channels_end_makes_two_owners() {
    breaks(Wrong::FailedSendIsTheEnd, TWO_OWNERS);
    breaks(Wrong::FailedSendIsTheEnd, TWO_READERS);
}

#[test]
fn a_dead_process_read_as_the_channels_end_makes_two_owners() {
    breaks(Wrong::DeathIsTheEnd, TWO_OWNERS);
    breaks(Wrong::DeathIsTheEnd, TWO_READERS);
}

#[test]
fn waiting_for_a_dead_successors_helper_leaves_a_connection_undecided() {
    breaks(Wrong::WaitsForHelper, SUCCESSOR_DEAD);
    breaks(Wrong::WaitsForHelper, SETTLED);
}

#[test]
fn nonsense_read_as_the_channels_end_makes_two_owners() {
    breaks(Wrong::NonsenseIsTheEnd, TWO_OWNERS);
    breaks(Wrong::NonsenseIsTheEnd, TWO_READERS);
}

#[test]
fn reading_before_taken_is_accepted_makes_two_owners() {
    breaks(Wrong::ReadsBeforeTaken, TWO_OWNERS);
    breaks(Wrong::ReadsBeforeTaken, TWO_READERS);
}

#[test]
fn ending_one_half_of_the_channel_while_something_is_undecided_makes_two_owners() {
    breaks(Wrong::EndsItsHalfEarly, TWO_OWNERS);
    breaks(Wrong::EndsItsHalfEarly, TWO_READERS);
}

#[test]
fn a_channel_that_ends_in_mid_frame_read_as_nonsense_gives_up_what_was_the_predecessors() {
    breaks(Wrong::TornIsNonsense, COUNTED);
}

#[test]
fn going_on_after_what_could_not_be_said_leaves_a_connection_to_nobody() {
    breaks(Wrong::StaysAfterUnsaid, BOTH_LIVE);
    breaks(Wrong::StaysAfterUnsaid, SETTLED);
}

#[test]
fn hanging_up_before_it_is_known_what_went_out_leaves_a_connection_to_nobody() {
    breaks(Wrong::HangsUpUnheard, LET_GO);
    breaks(Wrong::HangsUpUnheard, BOTH_LIVE);
}

#[test]
fn writing_before_reading_is_a_deadlock() {
    // One answer and one offer fill the channel, and behind either waits one more.
    breaks_among::<4>(1, Wrong::WritesBeforeItReads, BOTH_LIVE);
}

/// So that each run has an end, and whatever holds in each of those in which nothing more comes by itself, comes to hold.
#[test]
fn no_step_leads_back() {
    assert_no_circle(&Handover::<2> { window: 2, room: 2, wrong: None });
}

use std::{
    mem::size_of,
    sync::Barrier,
    task::{Context, Poll, Waker},
    thread,
};

use tokio::time::{Instant, advance};

use super::*;

fn poll(room: &mut Room) -> Poll<Option<Permit>> {
    room.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn an_exit_that_is_expected_is_open_and_has_no_room_until_the_final_state_has_gone() {
    let (mut departures, exit) = Departures::new();
    assert!(!exit.is_open());
    assert_eq!(exit.why_closed(), "this generation has no successor");
    departures.expect();
    assert!(exit.is_open());
    assert!(exit.try_room(Lane::Raw).is_none());
    let mut room = exit.room(Lane::Raw);
    assert!(poll(&mut room).is_pending());
    departures.open();
    assert!(matches!(poll(&mut room), Poll::Ready(Some(_))));
}

#[test]
fn an_exit_of_nobody_never_opens() {
    let exit = Exit::closed();
    assert!(!exit.is_open());
    assert!(matches!(poll(&mut exit.room(Lane::Serve)), Poll::Ready(None)));
    assert_eq!(exit.why_closed(), "this generation has no successor");
}

#[test]
fn at_most_64_are_undecided_and_either_lane_has_its_share() {
    let (mut departures, exit) = open();
    // The second time changes nothing.
    departures.open();
    let permits = |lane| std::iter::from_fn(|| exit.try_room(lane)).collect::<Vec<_>>();
    let (serve, raw) = (permits(Lane::Serve), permits(Lane::Raw));
    assert_eq!((serve.len(), raw.len()), (48, 16));
}

#[test]
fn a_permit_is_held_until_the_fate_is_known() {
    let (mut departures, exit) = open();
    let mut all: Vec<_> = (0..48).map(|_| left(&exit, http())).collect();
    assert_eq!(ids(&batch(&mut departures)).len(), 32);
    assert!(exit.try_room(Lane::Serve).is_none());
    departures.taken(&[7]);
    assert!(matches!(fate(&mut all[6].0), Some(Fate::Taken)));
    let room = exit.try_room(Lane::Serve);
    assert!(room.is_some() && exit.try_room(Lane::Serve).is_none());
}

#[test]
fn nobody_overtakes_who_waits_and_a_turn_that_is_dropped_is_the_next_ones() {
    let (_departures, exit) = open();
    let mut raw: Vec<_> = std::iter::from_fn(|| exit.try_room(Lane::Raw)).collect();
    let (mut first, mut second) = (exit.room(Lane::Raw), exit.room(Lane::Raw));
    assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
    drop(raw.pop());
    assert!(exit.try_room(Lane::Raw).is_none());
    assert!(poll(&mut second).is_pending());
    // Its turn has come, and it has something else to do.
    drop(first);
    assert!(poll(&mut second).is_ready());
}

#[test]
fn room_that_nobody_has_asked_for_is_small() {
    assert!(size_of::<Room>() <= 48, "{}", size_of::<Room>());
}

#[test]
fn an_offer_bears_all_that_the_successor_needs() {
    let (mut departures, exit) = open();
    let (_leaving, mut client) = left(&exit, chat());
    let departing = batch(&mut departures);
    let offer = offers(&departing).remove(0);
    assert_eq!(offer.to, chat());
    assert_eq!((&*offer.read, &*offer.state), (&b"GET /"[..], &b"state"[..]));
    assert_eq!(offer.waited_milliseconds, 1500);
    let copy = departing.descriptors[0].try_clone().unwrap();
    UnixStream::from(copy).write_all(b"hello").unwrap();
    assert_eq!(client.sees(), Sees::Bytes(b"hello".to_vec()));
}

#[test]
fn a_batch_is_at_most_32_connections_and_they_go_in_turn() {
    let (mut departures, exit) = open();
    let _all: Vec<_> = (0..40).map(|_| left(&exit, http())).collect();
    assert_eq!(ids(&batch(&mut departures)), Vec::from_iter(1..=32));
    assert_eq!(ids(&batch(&mut departures)), Vec::from_iter(33..=40));
    assert!(departures.next().now_or_never().is_none());
}

#[test]
fn a_batch_fits_into_one_frame() {
    let (mut departures, exit) = open();
    let mut all = Vec::new();
    for _ in 0..5 {
        let (mut parcel, client) = parcel(http());
        parcel.state = vec![0; Parcel::LONGEST - parcel.read.len()];
        all.push((exit.leave(exit.try_room(Lane::Serve).unwrap(), parcel), client));
    }
    for expected in [2, 2, 1] {
        let batch = batch(&mut departures);
        assert_eq!(ids(&batch).len(), expected);
        let frame = batch.message.encode();
        assert!(matches!(crate::wire::first(&frame), Ok(Some((Some(message), ..))) if message == batch.message));
    }
}

#[test]
fn what_is_too_long_for_a_frame_stays() {
    let (mut departures, exit) = open();
    let (mut parcel, mut client) = parcel(http());
    parcel.state = vec![0; Parcel::LONGEST - parcel.read.len() + 1];
    let mut leaving = exit.leave(exit.try_room(Lane::Serve).unwrap(), parcel);
    let (parcel, why) = back(&mut leaving);
    assert_eq!(why, "it bears 1048577 bytes, and at most 1048576 are handed over");
    is_the_only_owner_of(parcel.socket, &mut client);
    assert!(departures.next().now_or_never().is_none() && departures.is_empty());
}

#[test]
fn what_is_taken_is_closed_here() {
    let (mut departures, exit) = open();
    let (mut leaving, mut client) = left(&exit, http());
    let departing = batch(&mut departures);
    drop(departing);
    assert!(fate(&mut leaving).is_none() && !departures.is_empty());
    departures.taken(&[1]);
    assert!(matches!(fate(&mut leaving), Some(Fate::Taken)));
    client.sees_its_end("nobody has it");
    assert!(departures.is_empty());
}

#[test]
fn what_is_declined_comes_back_whole_with_the_reason() {
    let (mut departures, exit) = open();
    let (mut leaving, mut client) = left(&exit, http());
    drop(batch(&mut departures));
    departures.declined(vec![(1, "full".to_owned())]);
    let (parcel, why) = back(&mut leaving);
    assert_eq!(why, "the successor declined it: full");
    assert_eq!((&parcel.to, &*parcel.read, &*parcel.state), (&http(), &b"GET /"[..], &b"state"[..]));
    assert_eq!(parcel.waited, Duration::from_millis(1500));
    is_the_only_owner_of(parcel.socket, &mut client);
}

#[tokio::test(start_paused = true)]
async fn no_timer_takes_an_offer_back() {
    let (mut departures, exit) = open();
    let (mut leaving, _client) = left(&exit, http());
    drop(batch(&mut departures));
    advance(Duration::from_secs(3600)).await;
    assert!(departures.stalls_at().unwrap() < Instant::now());
    departures.close("the successor says nothing");
    assert!(fate(&mut leaving).is_none());
    assert_eq!(departures.stalls_at(), None, "it was closed for that");
    // The client is the successor's, an hour later.
    departures.taken(&[1]);
    assert!(matches!(fate(&mut leaving), Some(Fate::Taken)));
}

#[tokio::test(start_paused = true)]
async fn a_stall_is_counted_from_the_last_word_or_offer() {
    let (mut departures, exit) = open();
    let after = |departures: &Departures| departures.stalls_at().map(|at| at - Instant::now());
    assert_eq!(after(&departures), None);
    let _both = [left(&exit, http()), left(&exit, http())];
    batch(&mut departures);
    advance(Duration::from_secs(2)).await;
    assert_eq!(after(&departures), Some(Duration::from_secs(3)));
    departures.taken(&[1]);
    assert_eq!(after(&departures), Some(Duration::from_secs(5)));
    advance(Duration::from_secs(1)).await;
    let _third = left(&exit, http());
    batch(&mut departures);
    assert_eq!(after(&departures), Some(Duration::from_secs(5)));
    departures.taken(&[2, 3]);
    assert_eq!(after(&departures), None, "nothing is undecided");
}

/// The successor holds it by right, until somebody asks for it.
#[tokio::test(start_paused = true)]
async fn one_of_a_protocol_is_no_stall_however_long_it_is_undecided() {
    let (mut departures, exit) = open();
    let after = |departures: &Departures| departures.stalls_at().map(|at| at - Instant::now());
    let _both = [left(&exit, chat()), left(&exit, chat())];
    batch(&mut departures);
    advance(Duration::from_secs(3600)).await;
    assert_eq!(after(&departures), None);
    // Nor does it hide one, or prolong it.
    let _third = left(&exit, http());
    batch(&mut departures);
    advance(Duration::from_secs(2)).await;
    departures.taken(&[1]);
    let _fourth = left(&exit, chat());
    batch(&mut departures);
    assert_eq!(after(&departures), Some(Duration::from_secs(3)));
    departures.taken(&[3]);
    assert_eq!(after(&departures), None, "the others are held");
}

#[test]
fn what_becomes_of_a_successor_concerns_connections_only_once_it_is_to_take_them() {
    let (mut departures, _) = Departures::new();
    assert!(!departures.was_expected());
    departures.expect();
    assert!(departures.was_expected() && departures.is_open());
    departures.close("over");
    assert!(departures.was_expected() && !departures.is_open(), "what was offered may still be decided");
}

#[test]
fn at_the_deadline_the_copy_is_closed_and_the_successor_decides_alone() {
    let (mut departures, exit) = open();
    let (mut leaving, mut client) = left(&exit, http());
    let offered = carried(batch(&mut departures));
    let (mut waiting, _client) = left(&exit, http());
    departures.deadline();
    assert!(matches!(fate(&mut leaving), Some(Fate::Undecided)));
    assert!(matches!(fate(&mut waiting), Some(Fate::Back(..))), "that one was offered to nobody");
    assert!(departures.is_empty() && !exit.is_open());
    // It may do so whenever it likes.
    departures.taken(&[1]);
    let (_, socket) = offered.into_iter().next().unwrap();
    is_the_only_owner_of(socket.unwrap(), &mut client);
}

#[test]
fn at_the_channels_end_what_is_undecided_is_ours_again() {
    let (mut departures, exit) = open();
    let mut both = [left(&exit, http()), left(&exit, http())];
    drop(batch(&mut departures));
    departures.taken(&[1]);
    departures.channel_ended();
    assert!(matches!(fate(&mut both[0].0), Some(Fate::Taken)));
    let (parcel, why) = back(&mut both[1].0);
    assert_eq!(why, "the successor has ended");
    is_the_only_owner_of(parcel.socket, &mut both[1].1);
    assert!(!exit.is_open());
}

#[test]
fn what_comes_back_while_the_channel_still_has_its_frame_can_be_served() {
    let (mut departures, exit) = open();
    let (mut leaving, mut client) = left(&exit, http());
    let in_the_outbox = batch(&mut departures);
    departures.channel_ended();
    let (parcel, _) = back(&mut leaving);
    drop(in_the_outbox);
    is_the_only_owner_of(parcel.socket, &mut client);
}

#[test]
fn who_talks_nonsense_has_no_say_and_may_have_the_connection() {
    let (mut departures, exit) = open();
    let (mut leaving, mut client) = left(&exit, http());
    drop(batch(&mut departures));
    departures.garbled();
    assert!(matches!(fate(&mut leaving), Some(Fate::Undecided)));
    client.sees_its_end("nobody has it");
    // What it says later, and its end, give nothing back.
    departures.declined(vec![(1, "after all".to_owned())]);
    departures.channel_ended();
    assert_eq!(exit.why_closed(), "the successor talks nonsense");
}

#[test]
fn where_nothing_can_be_said_any_more_the_successor_may_have_the_connection() {
    let (mut departures, exit) = open();
    let (mut leaving, mut client) = left(&exit, http());
    drop(batch(&mut departures));
    departures.mute();
    assert!(matches!(fate(&mut leaving), Some(Fate::Undecided)));
    client.sees_its_end("nobody has it");
    assert_eq!(exit.why_closed(), "nothing can be said to the successor any more");
}

#[test]
fn an_answer_about_nothing_changes_nothing() {
    let (mut departures, exit) = open();
    let (mut leaving, _client) = left(&exit, http());
    departures.taken(&[1, 2]);
    assert!(fate(&mut leaving).is_none(), "it was not offered yet");
    drop(batch(&mut departures));
    departures.taken(&[0, 9]);
    departures.declined(vec![(7, "no".to_owned())]);
    assert!(fate(&mut leaving).is_none());
    departures.taken(&[1, 1]);
    departures.declined(vec![(1, "no".to_owned())]);
    assert!(matches!(fate(&mut leaving), Some(Fate::Taken)));
}

#[test]
fn what_never_went_out_is_back_and_the_next_batch_goes() {
    let (mut departures, exit) = open();
    let (mut first, mut client) = left(&exit, http());
    let number = batch(&mut departures).number;
    let (mut second, _client) = left(&exit, http());
    drop(batch(&mut departures));
    departures.left_out(number);
    let (parcel, why) = back(&mut first);
    assert_eq!(why, "it could not be offered to the successor");
    is_the_only_owner_of(parcel.socket, &mut client);
    departures.taken(&[2]);
    assert!(matches!(fate(&mut second), Some(Fate::Taken)));
    assert!(exit.is_open());
}

#[test]
fn who_waits_when_the_exit_closes_is_back_and_nobody_leaves_after_it() {
    let (mut departures, exit) = open();
    let permit = exit.try_room(Lane::Raw).unwrap();
    let (mut offered, _client) = left(&exit, http());
    drop(batch(&mut departures));
    let (mut waiting, mut client) = left(&exit, http());
    let mut room = exit.room(Lane::Raw);
    let _others: Vec<_> = std::iter::from_fn(|| exit.try_room(Lane::Raw)).collect();
    assert!(poll(&mut room).is_pending());
    departures.close("the successor says nothing");
    assert!(matches!(poll(&mut room), Poll::Ready(None)));
    let (parcel, why) = back(&mut waiting);
    assert_eq!(why, "the successor says nothing");
    is_the_only_owner_of(parcel.socket, &mut client);
    let (late, mut client) = parcel_to_nobody();
    let (parcel, why) = back(&mut exit.leave(permit, late));
    assert_eq!(why, "the successor says nothing");
    is_the_only_owner_of(parcel.socket, &mut client);
    assert!(fate(&mut offered).is_none(), "only the successor decides about it");
    // For ever, and for the first reason.
    departures.open();
    departures.close("another");
    assert!(!exit.is_open() && exit.try_room(Lane::Serve).is_none());
    assert_eq!(exit.why_closed(), "the successor says nothing");
}

fn parcel_to_nobody() -> (Parcel, Client) {
    parcel(Destination::Other(9))
}

#[test]
fn nobody_is_stranded_who_leaves_while_the_exit_closes() {
    for _ in 0..1000 {
        let (mut departures, exit) = open();
        let (permit, (parcel, mut client)) = (exit.try_room(Lane::Serve).unwrap(), parcel(http()));
        let both = Barrier::new(2);
        let mut leaving = thread::scope(|scope| {
            let leaver = scope.spawn(|| {
                both.wait();
                exit.leave(permit, parcel)
            });
            both.wait();
            departures.close("over");
            leaver.join().unwrap()
        });
        let (parcel, _) = back(&mut leaving);
        is_the_only_owner_of(parcel.socket, &mut client);
    }
}

#[test]
fn who_does_not_wait_for_its_connection_gives_it_away_or_up() {
    let (mut departures, exit) = open();
    let (leaving, mut taken) = left(&exit, http());
    drop(leaving);
    let (leaving, mut declined) = left(&exit, http());
    let offered = carried(batch(&mut departures));
    drop(leaving);
    assert_eq!(offered.len(), 2);
    departures.taken(&[1]);
    departures.declined(vec![(2, "no".to_owned())]);
    let mut offered = offered.into_iter();
    is_the_only_owner_of(offered.next().unwrap().1.unwrap(), &mut taken);
    drop(offered);
    declined.sees_its_end("nobody has it");
    assert!(departures.is_empty());
}

#[test]
fn nobody_waits_for_a_loop_that_has_ended() {
    let (mut departures, exit) = open();
    let (mut offered, _client) = left(&exit, http());
    drop(batch(&mut departures));
    let (mut waiting, _client) = left(&exit, http());
    drop(departures);
    assert!(matches!(fate(&mut offered), Some(Fate::Undecided)));
    assert!(matches!(fate(&mut waiting), Some(Fate::Back(..))));
    assert!(!exit.is_open());
}

#[test]
fn a_connections_bytes_are_in_no_log() {
    let (parcel, _client) = parcel(http());
    let said = format!("{parcel:?}");
    assert!(said.contains("read: 5") && !said.contains("GET"), "{said}");
}

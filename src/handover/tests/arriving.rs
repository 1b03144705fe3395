use tokio::time::{Instant, advance};

use super::*;

const UNCLAIMED: Duration = Duration::from_secs(5);

/// A successor with one entrance for HTTP.
fn served(room: usize) -> (Arrivals, Entrances, Arc<Hall>, Ticket) {
    let (entrances, hall) = (Entrances::default(), Hall::of(room));
    let ticket = entrances.open(Door::Serve(name("http")), Arc::clone(&hall) as _);
    (Arrivals::new(entrances.clone(), UNCLAIMED), entrances, hall, ticket)
}

fn nobody() -> (Arrivals, Entrances) {
    let entrances = Entrances::default();
    (Arrivals::new(entrances.clone(), UNCLAIMED), entrances)
}

/// An offer, and the copy that the predecessor keeps.
fn offer(id: u64, to: Destination) -> ((Offer, Option<OwnedFd>), OwnedFd, Client) {
    let (Parcel { to, socket, read, state, waited }, client) = parcel(to);
    let copy = socket.try_clone().unwrap();
    let waited_milliseconds = waited.as_millis() as u64;
    ((Offer { id, to, waited_milliseconds, read, state }, Some(socket)), copy, client)
}

fn offered(arrivals: &mut Arrivals, id: u64, to: Destination) -> (OwnedFd, Client) {
    let (offer, copy, client) = offer(id, to);
    arrivals.offered(vec![offer]);
    (copy, client)
}

fn said(arrivals: &mut Arrivals) -> Vec<Message> {
    arrivals.say().into_iter().map(|(_, message)| message).collect()
}

fn declined(id: u64, why: &str) -> Message {
    Message::Declined(vec![(id, why.to_owned())])
}

#[test]
fn a_connection_is_touched_only_after_the_kernel_has_taken_the_whole_of_taken() {
    let (mut arrivals, _entrances, hall, _ticket) = served(1);
    let (copy, mut client) = offered(&mut arrivals, 7, http());
    let words = arrivals.say();
    assert_eq!(words, [(1, Message::Taken(vec![7]))]);
    assert!(hall.own().is_empty());
    assert!(said(&mut arrivals).is_empty(), "it is said once");
    arrivals.went_out(1);
    let own = hall.own().remove(0);
    assert_eq!((&own.to, &*own.read, &*own.state), (&http(), &b"GET /"[..], &b"state"[..]));
    assert_eq!(own.waited, Duration::from_millis(1500));
    drop(copy);
    is_the_only_owner_of(own.socket, &mut client);
}

#[test]
fn what_can_be_taken_goes_in_one_message_and_what_can_not_in_another() {
    let (mut arrivals, _entrances, hall, _ticket) = served(2);
    let (offers, _kept): (Vec<_>, Vec<_>) = [(1, http()), (2, http()), (3, http()), (4, Destination::Other(9))]
        .into_iter()
        .map(|(id, to)| offer(id, to))
        .map(|(offer, copy, client)| (offer, (copy, client)))
        .unzip();
    arrivals.offered(offers);
    let no = vec![(3, "full".to_owned()), (4, "destinations of kind 9 are not known here".to_owned())];
    assert_eq!(arrivals.say(), [(1, Message::Taken(vec![1, 2])), (2, Message::Declined(no))]);
    arrivals.went_out(2);
    assert!(hall.own().is_empty());
    arrivals.went_out(1);
    assert_eq!(hall.own().len(), 2);
}

#[test]
fn what_is_declined_is_closed_before_it_is_said() {
    let (mut arrivals, _entrances, _hall, _ticket) = served(0);
    let (copy, mut client) = offered(&mut arrivals, 1, http());
    assert_eq!(said(&mut arrivals), [declined(1, "full")]);
    is_the_only_owner_of(copy, &mut client);
}

#[test]
fn what_nobody_here_can_take_is_declined_at_once() {
    let (mut arrivals, _entrances) = nobody();
    let begun = Destination::Serve { socket: name("http"), begun: Begun::Other(9) };
    for (to, why) in [
        (http(), "nobody serves the socket `http`"),
        (begun, "connections that have begun in way 9 are not known here"),
        (Destination::Other(7), "destinations of kind 7 are not known here"),
    ] {
        let (copy, mut client) = offered(&mut arrivals, 1, to);
        assert_eq!(said(&mut arrivals), [declined(1, why)]);
        is_the_only_owner_of(copy, &mut client);
    }
}

#[test]
fn one_whose_descriptor_is_lost_is_declined() {
    let (mut arrivals, _entrances, _hall, _ticket) = served(1);
    let ((offer, _lost), ..) = offer(1, http());
    arrivals.offered(vec![(offer, None)]);
    assert_eq!(said(&mut arrivals), [declined(1, "no descriptors left")]);
}

#[tokio::test(start_paused = true)]
async fn a_protocol_for_which_nobody_asks_is_declined_after_the_time_for_it() {
    let (mut arrivals, _entrances) = nobody();
    assert_eq!(arrivals.next_deadline(), None);
    let (first, mut first_client) = offered(&mut arrivals, 1, chat());
    assert!(said(&mut arrivals).is_empty());
    let deadline = arrivals.next_deadline().unwrap();
    assert_eq!(deadline, Instant::now() + UNCLAIMED);
    advance(UNCLAIMED / 2).await;
    // One that comes later does not prolong it.
    let (_second, _client) = offered(&mut arrivals, 2, chat());
    assert!(said(&mut arrivals).is_empty());
    assert_eq!(arrivals.next_deadline(), Some(deadline));
    advance(UNCLAIMED / 2).await;
    let why = || "nobody asked for the protocol `chat` within 5s".to_owned();
    assert_eq!(said(&mut arrivals), [Message::Declined(vec![(1, why()), (2, why())])]);
    is_the_only_owner_of(first, &mut first_client);
    assert_eq!(arrivals.next_deadline(), None);
    // Nor are others held in vain.
    let (_third, _client) = offered(&mut arrivals, 3, chat());
    assert_eq!(said(&mut arrivals), [declined(3, &why())]);
}

#[test]
fn a_protocol_may_be_held_without_end() {
    let mut arrivals = Arrivals::new(Entrances::default(), Duration::MAX);
    let (_copy, _client) = offered(&mut arrivals, 1, chat());
    assert!(said(&mut arrivals).is_empty());
    assert_eq!(arrivals.next_deadline(), None);
}

#[tokio::test(start_paused = true)]
async fn who_asks_late_gets_what_was_held() {
    let (mut arrivals, entrances) = nobody();
    let (_copy, _client) = offered(&mut arrivals, 1, chat());
    assert!(said(&mut arrivals).is_empty());
    assert!(arrivals.changed().now_or_never().is_none());
    let hall = Hall::of(1);
    let _ticket = entrances.open(Door::Protocol(name("chat")), Arc::clone(&hall) as _);
    assert!(arrivals.changed().now_or_never().is_some());
    assert_eq!(arrivals.say(), [(1, Message::Taken(vec![1]))]);
    arrivals.went_out(1);
    assert_eq!(hall.own().len(), 1);
}

#[test]
fn a_socket_and_a_protocol_of_one_name_are_not_the_same() {
    let (mut arrivals, _entrances, _hall, _ticket) = served(1);
    let (_copy, _client) = offered(&mut arrivals, 1, Destination::Protocol(name("http")));
    assert!(said(&mut arrivals).is_empty());
}

#[test]
fn several_entrances_of_one_door_are_asked_in_turn_and_one_that_is_full_is_passed_over() {
    let (mut arrivals, entrances, first, _ticket) = served(9);
    let (second, full) = (Hall::of(9), Hall::of(0));
    let _tickets = [&second, &full].map(|hall| entrances.open(Door::Serve(name("http")), Arc::clone(hall) as _));
    let _kept: Vec<_> = (1..=6).map(|id| offered(&mut arrivals, id, http())).collect();
    assert_eq!(arrivals.say(), [(1, Message::Taken(Vec::from_iter(1..=6)))]);
    arrivals.went_out(1);
    let shares = [&first, &second, &full].map(|hall| hall.own().len());
    assert_eq!(shares, [4, 2, 0], "where the full one is asked first, the next one takes it");
}

#[test]
fn an_entrance_is_open_as_long_as_its_ticket_lives() {
    let (mut arrivals, _entrances, hall, ticket) = served(9);
    let (_copy, _client) = offered(&mut arrivals, 1, http());
    assert_eq!(said(&mut arrivals), [Message::Taken(vec![1])]);
    drop(ticket);
    assert_eq!(Arc::strong_count(&hall), 1);
    let (_copy, _client) = offered(&mut arrivals, 2, http());
    assert_eq!(said(&mut arrivals), [declined(2, "nobody serves the socket `http`")]);
    // What was admitted has its place.
    arrivals.went_out(1);
    assert_eq!(hall.own().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn at_a_stop_all_is_declined_and_those_who_wait_behind_an_entrance_learn_of_it() {
    let (mut arrivals, entrances, hall, _ticket) = served(9);
    let (_held, _client) = offered(&mut arrivals, 1, chat());
    assert!(said(&mut arrivals).is_empty());
    arrivals.changed().await;
    entrances.close("this process stops");
    assert!(arrivals.changed().now_or_never().is_some());
    assert_eq!(Arc::strong_count(&hall), 1);
    let (_copy, _client) = offered(&mut arrivals, 2, http());
    let why = || "this process stops".to_owned();
    assert_eq!(said(&mut arrivals), [Message::Declined(vec![(1, why()), (2, why())])]);
    let late = Hall::of(9);
    let _ticket = entrances.open(Door::Protocol(name("chat")), Arc::clone(&late) as _);
    assert_eq!(Arc::strong_count(&late), 1);
}

#[test]
fn more_than_may_be_undecided_are_declined() {
    let (mut arrivals, _entrances) = nobody();
    let _kept: Vec<_> = (1..=65).map(|id| offered(&mut arrivals, id, chat())).collect();
    assert_eq!(said(&mut arrivals), [declined(65, "64 connections are undecided already")]);
}

#[test]
fn a_connection_that_is_offered_twice_is_taken_once_and_never_declined() {
    let (mut arrivals, _entrances, hall, _ticket) = served(9);
    let (copy, mut client) = offered(&mut arrivals, 1, http());
    let (_again, _client) = offered(&mut arrivals, 1, http());
    assert_eq!(said(&mut arrivals), [Message::Taken(vec![1])]);
    let (_again, _client) = offered(&mut arrivals, 1, Destination::Other(9));
    assert!(said(&mut arrivals).is_empty());
    arrivals.went_out(1);
    drop(copy);
    is_the_only_owner_of(hall.own().remove(0).socket, &mut client);
}

#[test]
fn what_was_being_said_to_a_predecessor_that_is_gone_is_as_good_as_said() {
    let (mut arrivals, _entrances, hall, _ticket) = served(9);
    let (copy, mut client) = offered(&mut arrivals, 1, http());
    assert_eq!(said(&mut arrivals).len(), 1);
    drop(copy);
    arrivals.predecessor_gone();
    is_the_only_owner_of(hall.own().remove(0).socket, &mut client);
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_predecessor_has_offered_may_still_be_taken() {
    let (mut arrivals, entrances, hall, _ticket) = served(9);
    // Read, and not looked at: then its end came.
    let (copy, mut client) = offered(&mut arrivals, 1, http());
    let (held, mut chatter) = offered(&mut arrivals, 2, chat());
    let (other, mut hopeless) = offered(&mut arrivals, 3, Destination::Protocol(name("other")));
    drop((copy, held, other));
    arrivals.predecessor_gone();
    is_the_only_owner_of(hall.own().remove(0).socket, &mut client);
    let room = Hall::of(9);
    let _late = entrances.open(Door::Protocol(name("chat")), Arc::clone(&room) as _);
    assert!(said(&mut arrivals).is_empty(), "nobody is there to tell");
    is_the_only_owner_of(room.own().remove(0).socket, &mut chatter);
    assert_eq!(hopeless.sees(), Sees::Nothing);
    assert_eq!(Arc::strong_count(&room), 2, "more may come");
    advance(UNCLAIMED).await;
    assert!(said(&mut arrivals).is_empty());
    hopeless.sees_its_end("nobody has it");
    assert_eq!(Arc::strong_count(&room), 1, "nobody comes any more");
}

#[test]
fn what_has_not_gone_out_when_we_hang_up_is_not_ours() {
    let (mut arrivals, _entrances, hall, _ticket) = served(9);
    let (gone_out, mut ours) = offered(&mut arrivals, 1, http());
    let number = arrivals.say()[0].0;
    arrivals.went_out(number);
    let (said, mut not_said) = offered(&mut arrivals, 2, http());
    arrivals.say();
    let (held, mut not_decided) = offered(&mut arrivals, 3, chat());
    arrivals.hung_up();
    assert_eq!(Arc::strong_count(&hall), 1, "nobody comes any more");
    let (late, mut not_read) = offered(&mut arrivals, 4, http());
    assert!(arrivals.say().is_empty());
    for (copy, client) in [(said, &mut not_said), (held, &mut not_decided), (late, &mut not_read)] {
        is_the_only_owner_of(copy, client);
    }
    drop(gone_out);
    is_the_only_owner_of(hall.own().remove(0).socket, &mut ours);
    assert!(hall.own().is_empty());
}

#[test]
fn what_could_not_be_said_is_not_ours_and_its_place_is_free_again() {
    let (mut arrivals, _entrances, hall, _ticket) = served(9);
    let (copy, mut client) = offered(&mut arrivals, 1, http());
    assert_eq!(arrivals.say().len(), 1);
    assert_eq!(Arc::strong_count(&hall.own), 2);
    arrivals.unsaid(1);
    assert_eq!(Arc::strong_count(&hall.own), 1);
    is_the_only_owner_of(copy, &mut client);
    arrivals.predecessor_gone();
    assert!(hall.own().is_empty());
}

#[test]
fn a_process_that_ends_closes_what_it_holds_and_says_nothing() {
    let (mut arrivals, _entrances, hall, _ticket) = served(9);
    let (said, mut first) = offered(&mut arrivals, 1, http());
    arrivals.say();
    let (held, mut second) = offered(&mut arrivals, 2, chat());
    drop(arrivals);
    assert!(hall.own().is_empty());
    is_the_only_owner_of(said, &mut first);
    is_the_only_owner_of(held, &mut second);
}

/// As when the roof's loop has panicked.
#[test]
fn who_waits_behind_an_entrance_learns_that_nobody_carries_any_more() {
    let (arrivals, entrances, hall, _ticket) = served(1);
    let waits = Arc::downgrade(&hall);
    drop(hall);
    assert!(waits.upgrade().is_some());
    drop(arrivals);
    assert!(waits.upgrade().is_none(), "the entrance is still open");
    let late = Hall::of(1);
    let _ticket = entrances.open(Door::Serve(name("http")), Arc::clone(&late) as _);
    assert_eq!(Arc::strong_count(&late), 1, "and none opens any more");
}

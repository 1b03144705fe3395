//! Offers of connections and the answers to them, over a real channel: what either side learns of the other's end.

use std::{fs::File, os::fd::AsFd};

use futures_util::FutureExt;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::*;
use crate::{
    phase::Event,
    process::{Delivery, Predecessor, Reply, Successor},
    wire::{Begun, Destination, Offer, Refusal},
};

/// A generation that may offer connections, and the raw other end of its channel.
async fn offering() -> (Successor, OwnedFd) {
    let (ours, theirs) = sys::socket_pair().unwrap();
    let mut successor = Successor::met(Channel::new(ours).unwrap(), 0, legacy(&[]));
    assert!(matches!(successor.next().await, Some(Event::Spawned)));
    say(&theirs, &[accepted()]);
    assert!(matches!(successor.next().await, Some(Event::Accepted)));
    assert!(successor.takes_connections());
    (successor, theirs)
}

fn accepted() -> Message {
    Message::Accepted { version: 1, capabilities: vec![wire::HAND_OVER.to_owned()] }
}

/// One that is offered connections, and the raw other end of its channel.
fn offered() -> (Predecessor, OwnedFd) {
    let (predecessor, _, theirs) = offered_with_a_helper();
    (predecessor, theirs)
}

/// The same, with a second descriptor of this end, as one has that was forked without an exec.
fn offered_with_a_helper() -> (Predecessor, OwnedFd, OwnedFd) {
    let (ours, theirs) = sys::socket_pair().unwrap();
    let channel = Channel::new(ours).unwrap();
    let held = channel.duplicate().unwrap();
    (Predecessor::new(channel), held, theirs)
}

fn say(to: &OwnedFd, messages: &[Message]) {
    let bytes = messages.iter().flat_map(Message::encode).collect::<Vec<_>>();
    assert_eq!(sys::send(to.as_fd(), &bytes, &[]).unwrap(), bytes.len());
}

fn offers(count: u64) -> (Message, Vec<Arc<OwnedFd>>) {
    let to = Destination::Serve { socket: Name::new("http").unwrap(), begun: Begun::Http1 };
    let offer = |id| Offer { id, to: to.clone(), waited_milliseconds: 0, read: Vec::new(), state: Vec::new() };
    let file = || Arc::new(OwnedFd::from(File::open("/dev/null").unwrap()));
    (Message::Offer((1..=count).map(offer).collect()), (0..count).map(|_| file()).collect())
}

/// All that is learned until the channel's end.
async fn until_the_end(successor: &mut Successor) -> Vec<Reply> {
    let mut replies = Vec::new();
    loop {
        let event = timeout(PATIENCE, successor.next()).await.expect("it ends");
        replies.extend(successor.replies());
        if matches!(event, Some(Event::Ended(_))) {
            return replies;
        }
    }
}

async fn until_gone(predecessor: &mut Predecessor) -> Vec<Delivery> {
    let gone = async { while !matches!(predecessor.next().await, Some(Event::PredecessorGone)) {} };
    timeout(PATIENCE, gone).await.expect("it ends");
    predecessor.deliveries()
}

#[tokio::test]
async fn what_was_whole_of_the_words_of_one_that_dies_counts_and_the_half_of_a_taken_does_not() {
    let (mut successor, theirs) = offering().await;
    say(&theirs, &[Message::Taken(vec![1])]);
    let half = Message::Taken(vec![2]).encode();
    sys::send(theirs.as_fd(), &half[..half.len() - 1], &[]).unwrap();
    drop(theirs);
    assert_eq!(until_the_end(&mut successor).await, [Reply::Taken(vec![1]), Reply::Ended]);
}

#[tokio::test]
async fn a_successor_that_ends_in_order_says_so_after_what_it_has_decided() {
    let (mut successor, theirs) = offering().await;
    let declined = vec![(2, "full".to_owned())];
    say(&theirs, &[Message::Taken(vec![1]), Message::Declined(declined.clone())]);
    drop(theirs);
    let replies = [Reply::Taken(vec![1]), Reply::Declined(declined), Reply::Ended];
    assert_eq!(until_the_end(&mut successor).await, replies);
}

#[tokio::test]
async fn nothing_is_believed_after_nonsense_not_even_the_end() {
    let (mut successor, theirs) = offering().await;
    say(&theirs, &[Message::Taken(vec![1]), Message::Commit, Message::Taken(vec![2])]);
    drop(theirs);
    assert_eq!(until_the_end(&mut successor).await, [Reply::Taken(vec![1]), Reply::Garbled]);
    assert!(!successor.takes_connections());
}

#[tokio::test]
async fn one_that_refuses_in_the_midst_of_it_is_not_believed_after_that() {
    let (mut successor, theirs) = offering().await;
    let refused = Message::Refused { refusal: Refusal::Other(9), oldest: 1, newest: 1, why: "late".into() };
    say(&theirs, &[Message::Taken(vec![1]), refused, Message::Taken(vec![2])]);
    drop(theirs);
    assert_eq!(until_the_end(&mut successor).await, [Reply::Taken(vec![1]), Reply::Garbled]);
}

/// It would change what the predecessor counts on, in the midst of it.
#[tokio::test]
async fn a_second_accepted_is_nonsense() {
    let (mut successor, theirs) = offering().await;
    say(&theirs, &[accepted()]);
    drop(theirs);
    assert_eq!(until_the_end(&mut successor).await, [Reply::Garbled]);
}

#[tokio::test]
async fn an_offer_that_can_not_be_sent_is_left_out_and_the_next_one_goes() {
    let (mut successor, theirs) = offering().await;
    let mut theirs = Channel::new(theirs).unwrap();
    // The kernel takes no such number of descriptors.
    let (too_many, descriptors) = offers(sys::MAX_DESCRIPTORS as u64 + 1);
    successor.offer(1, &too_many, descriptors);
    let (two, descriptors) = offers(2);
    successor.offer(2, &two, descriptors);
    assert!(timeout(PATIENCE, successor.next()).await.unwrap().is_none());
    assert_eq!(successor.replies(), [Reply::LeftOut(1)]);
    let mut heard = hear(&mut theirs).await.unwrap();
    while !matches!(heard.0, Message::Offer(_)) {
        heard = hear(&mut theirs).await.unwrap();
    }
    assert_eq!((heard.0, heard.1.len()), (two, 2));
    theirs.say(&Message::Taken(vec![2]), Vec::new());
    assert!(timeout(PATIENCE, successor.next()).await.unwrap().is_none());
    assert_eq!(successor.replies(), [Reply::Taken(vec![2])]);
}

/// The successor has said nothing wrong, and nobody claims that it has.
#[tokio::test]
async fn who_can_not_say_any_more_does_not_listen_either() {
    let (mut successor, theirs) = offering().await;
    let (socket, descriptor) = socket("a");
    let too_many = sys::MAX_DESCRIPTORS + 1;
    successor.say(&Message::Sockets(vec![socket; too_many]), vec![descriptor; too_many]);
    say(&theirs, &[Message::Taken(vec![1])]);
    drop(theirs);
    assert_eq!(until_the_end(&mut successor).await, [Reply::Mute]);
}

/// Else the connection that has come back would be two descriptors of this process, and one of them in a message for nobody.
#[tokio::test]
async fn what_a_successor_that_has_died_was_still_to_be_told_is_dropped() {
    let (mut successor, theirs) = offering().await;
    let (offer, descriptors) = offers(32);
    let mut number = 0;
    // More than the kernel holds.
    while Arc::strong_count(&descriptors[0]) == 1 {
        number += 1;
        successor.offer(number, &offer, descriptors.clone());
    }
    let half = Message::Taken(vec![1]).encode();
    sys::send(theirs.as_fd(), &half[..half.len() - 1], &[]).unwrap();
    drop(theirs);
    while !timeout(PATIENCE, successor.next()).await.unwrap().is_some_and(|event| matches!(event, Event::Failed(_))) {}
    assert_eq!(successor.replies(), [Reply::Ended]);
    assert_eq!(Arc::strong_count(&descriptors[0]), 1);
    successor.say(&offer, descriptors.clone());
    assert_eq!(Arc::strong_count(&descriptors[0]), 1, "nor is anything queued later");
}

#[tokio::test]
async fn what_is_said_to_a_predecessor_that_is_gone_is_as_good_as_said() {
    let (mut predecessor, theirs) = offered();
    // The first lies in the kernel, in whole or in part, and the others behind it.
    let long = |id| Message::Declined(vec![(id, "x".repeat(60_000))]);
    for number in 0..64 {
        predecessor.answer(number, &long(number));
    }
    let is_out = |delivery: &Delivery| matches!(delivery, Delivery::WentOut(_));
    let out = predecessor.deliveries();
    assert!(out.len() < 64 && out.iter().all(is_out));
    drop(theirs);
    let rest = until_gone(&mut predecessor).await;
    let (last, rest) = rest.split_last().unwrap();
    assert!(matches!(last, Delivery::Gone));
    assert_eq!((out.len() + rest.len(), rest.iter().all(is_out)), (64, true), "before it is said to be gone: {rest:?}");
    predecessor.answer(64, &Message::Taken(vec![1]));
    assert!(matches!(predecessor.deliveries()[..], [Delivery::WentOut(64)]));
}

#[tokio::test]
async fn what_is_offered_before_a_predecessor_dies_is_heard_before_that_it_is_gone() {
    let (mut predecessor, theirs) = offered();
    let (message, descriptors) = offers(2);
    let borrowed: Vec<_> = descriptors.iter().map(|it| it.as_fd()).collect();
    sys::send(theirs.as_fd(), &message.encode(), &borrowed).unwrap();
    drop(theirs);
    let deliveries = until_gone(&mut predecessor).await;
    let [Delivery::Offered(offers), Delivery::Gone] = &deliveries[..] else { panic!("{deliveries:?}") };
    assert!(offers.len() == 2 && offers.iter().all(|(_, socket)| socket.is_some()));
}

#[tokio::test]
async fn who_hangs_up_is_heard_though_a_helper_holds_the_same_end() {
    let (mut predecessor, _held, theirs) = offered_with_a_helper();
    sys::send(theirs.as_fd(), &[0xff; 64], &[]).unwrap();
    assert!(matches!(until_gone(&mut predecessor).await[..], [Delivery::HungUp]));
    assert!(hear(&mut Channel::new(theirs).unwrap()).await.is_none(), "this is the end");
    predecessor.answer(1, &Message::Taken(vec![1]));
    assert!(matches!(predecessor.deliveries()[..], [Delivery::Unsaid(1)]));
}

/// It lives and serves on: what it offers all the same is its own.
#[tokio::test]
async fn nothing_of_a_predecessor_that_has_taken_the_restart_back_is_taken() {
    let (mut predecessor, theirs) = offered();
    say(&theirs, &[Message::Abort { why: "a stop".into() }]);
    assert!(matches!(predecessor.next().await, Some(Event::TakenBack(_))));
    drop(theirs);
    predecessor.answer(1, &Message::Taken(vec![1]));
    assert!(predecessor.next().now_or_never().is_none_or(|event| event.is_none()), "it is not said to be gone");
    assert!(predecessor.next_now().is_none());
    predecessor.answer(2, &Message::Taken(vec![2]));
    let deliveries = predecessor.deliveries();
    assert!(matches!(deliveries[..], [Delivery::Unsaid(1), Delivery::HungUp, Delivery::Unsaid(2)]), "{deliveries:?}");
}

/// A process of its own: the limit holds for all of it.
#[tokio::test]
#[ignore = "started by the test after it"]
async fn with_few_descriptors_left() {
    let (mut predecessor, theirs) = offered();
    let (message, descriptors) = offers(8);
    let borrowed: Vec<_> = descriptors.iter().map(|it| it.as_fd()).collect();
    sys::send(theirs.as_fd(), &message.encode(), &borrowed).unwrap();
    say(&theirs, &[Message::LetGo]);
    // The lowest free number is what the next one gets: about four more than are open now.
    let next = File::open("/dev/null").unwrap();
    let number = format!("{:?}", next.as_fd()).chars().filter(char::is_ascii_digit).collect::<String>();
    drop(next);
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, number.parse::<u64>().unwrap() + 4, most).unwrap();
    while !matches!(predecessor.next().await, Some(Event::PredecessorLetGo)) {}
    let deliveries = predecessor.deliveries();
    let [Delivery::Offered(offers)] = &deliveries[..] else { panic!("{deliveries:?}") };
    let came: Vec<_> = offers.iter().map(|(_, socket)| socket.is_some()).collect();
    assert_eq!(offers.iter().map(|(offer, _)| offer.id).collect::<Vec<_>>(), Vec::from_iter(1..=8));
    assert!(came[0] && !came[7] && came.is_sorted_by(|one, next| one >= next), "{came:?}");
}

#[test]
fn an_offer_whose_descriptors_are_lost_is_heard_with_what_has_come() {
    let this = std::env::current_exe().unwrap();
    let test = "process::tests::offers::with_few_descriptors_left";
    let output = std::process::Command::new(this).args(["--exact", "--ignored", test]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

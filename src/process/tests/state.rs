//! State for the successor, and final state: whole, in pieces, and from peers that die or garble it.

use std::os::fd::{AsFd, OwnedFd};

use tokio::sync::oneshot;

use super::*;
use crate::{
    Error, ErrorKind,
    phase::Event,
    process::{Introduction, Predecessor, Successor, take_over},
    state::PassedState,
    wire::{Piece, pieces},
};

fn name(name: &str) -> Name {
    Name::new(name).unwrap()
}

fn state(name: &str, length: usize) -> PassedState {
    PassedState::new(self::name(name), 3, (0..length).map(|at| (at / 7) as u8).collect())
}

fn piece(name: &str, length: u32, offset: u32, bytes: usize) -> Piece {
    Piece { name: self::name(name), version: 1, length, offset, bytes: vec![7; bytes].into() }
}

/// A successor that gets this, and what it has got.
async fn passed(state: Vec<PassedState>) -> (Successor, Introduction) {
    let (ours, theirs) = channels();
    let mut successor = Successor::met(ours, 0, Legacy { state, ..legacy(&["http"]) });
    assert!(matches!(successor.next().await, Some(Event::Spawned)));
    let introduction = tokio::select! {
        event = successor.next() => panic!("nothing was answered: {event:?}"),
        introduction = timeout(PATIENCE, take_over(theirs)) => introduction.expect("it is there").unwrap(),
    };
    (successor, introduction)
}

/// Both sides after ACCEPTED.
async fn accepted() -> (Successor, Predecessor) {
    let (mut successor, introduction) = passed(vec![]).await;
    let predecessor = introduction.answer.accept();
    assert!(matches!(successor.next().await, Some(Event::Accepted)));
    (successor, predecessor)
}

// ---------------------------------------------------------------------------------------------------- before it is ready

#[tokio::test]
async fn a_large_state_and_an_empty_one_come_before_anything_is_answered() {
    let states = || vec![state("large", PassedState::MOST_BYTES), state("empty", 0), state("small", 5)];
    let (_successor, introduction) = passed(states()).await;
    assert!(introduction.state == states());
    assert_eq!(introduction.sockets.len(), 1);
}

/// A predecessor says HELLO and all of that, and dies.
async fn not_taken_over(said: impl IntoIterator<Item = Message>) -> Error {
    let (mut ours, theirs) = channels();
    ours.say(&Message::Hello(hello()), Vec::new());
    ours.say_all(said);
    let say = async {
        ours.flush().await;
        drop(ours);
    };
    let (introduced, ()) = tokio::join!(timeout(PATIENCE, take_over(theirs)), say);
    introduced.expect("it ends by itself").expect_err("nothing was taken over")
}

/// The same, but it lives on and hears REFUSED.
async fn hears_refused(said: impl IntoIterator<Item = Message>) -> String {
    let (mut ours, theirs) = channels();
    ours.say(&Message::Hello(hello()), Vec::new());
    ours.say_all(said);
    let (introduced, heard) = tokio::join!(timeout(PATIENCE, take_over(theirs)), hear(&mut ours));
    let error = introduced.expect("it ends by itself").expect_err("nothing was taken over");
    assert_eq!(error.kind(), ErrorKind::Protocol);
    let Some((Message::Refused { why, .. }, _)) = heard else { panic!("REFUSED comes") };
    assert_eq!(why, error.message());
    why.strip_prefix("the predecessor passed what is no state: ").expect("it says of what").to_owned()
}

#[tokio::test]
async fn a_predecessor_that_dies_in_the_midst_of_a_state_is_not_taken_over_from() {
    let half = pieces(state("large", PassedState::MOST_BYTES)).take(7).map(Message::State);
    assert_eq!(not_taken_over(half).await.kind(), ErrorKind::ChannelClosed);
}

#[tokio::test]
async fn a_predecessor_that_dies_in_the_midst_of_a_piece_is_not_taken_over_from() {
    let (ours, theirs) = sys::socket_pair().unwrap();
    sys::send(ours.as_fd(), &Message::Hello(hello()).encode(), &[]).unwrap();
    let frame = Message::State(piece("a", 1000, 0, 1000)).encode();
    sys::send(ours.as_fd(), &frame[..500], &[]).unwrap();
    drop(ours);
    let error = take_over(Channel::new(theirs).unwrap()).await.expect_err("nothing was taken over");
    assert_eq!(error.kind(), ErrorKind::Torn);
}

#[tokio::test]
async fn an_end_before_a_state_is_whole_is_refused() {
    let why = hears_refused([Message::State(piece("a", 3, 0, 2)), Message::End { sockets: 0 }]).await;
    assert_eq!(why, "the state \"a\" has only 2 of its 3 bytes");
}

#[tokio::test]
async fn a_state_that_promises_too_much_is_refused_before_it_comes() {
    let why = hears_refused([Message::State(piece("a", u32::MAX, 0, 1))]).await;
    assert_eq!(why, "the state \"a\" is to have 4294967295 bytes, the limit is 16777216");
}

#[tokio::test]
async fn a_state_that_comes_twice_is_refused() {
    let why = hears_refused([Message::State(piece("a", 1, 0, 1)), Message::State(piece("a", 1, 0, 1))]).await;
    assert_eq!(why, "the state \"a\" came twice");
}

// --------------------------------------------------------------------------------------------------------------- refusal

#[tokio::test]
async fn a_refusal_after_accepted_is_heard_though_the_loop_has_no_turn_any_more() {
    let (mut successor, predecessor) = accepted().await;
    let refuser = predecessor.refuser().upgrade().expect("it waits for READY");
    refuser.refuse(&Error::new(ErrorKind::Refused, "state version 9"));
    drop((refuser, predecessor));
    let Some(Event::Refused(error)) = successor.next().await else { panic!("it has refused") };
    assert_eq!((error.kind(), error.message()), (ErrorKind::Refused, "the successor refused: state version 9"));
}

#[tokio::test]
async fn nothing_is_left_to_refuse_once_it_is_ready_or_the_predecessor_is_gone() {
    let (mut successor, mut predecessor) = accepted().await;
    predecessor.say(&Message::Ready { claimed: vec![] });
    assert!(predecessor.refuser().upgrade().is_none());
    assert!(matches!(successor.next().await, Some(Event::Ready)));
    let (successor, mut predecessor) = accepted().await;
    drop(successor);
    assert!(matches!(predecessor.next().await, Some(Event::PredecessorGone)));
    assert!(predecessor.refuser().upgrade().is_none());
}

// ----------------------------------------------------------------------------------------------------------- final state

/// What is kept until the final state is taken, and what tells of that.
#[derive(Debug)]
struct Kept(#[expect(dead_code, reason = "its end is what tells")] oneshot::Sender<()>);

fn kept() -> (Box<Kept>, oneshot::Receiver<()>) {
    let (keep, dropped) = oneshot::channel();
    (Box::new(Kept(keep)), dropped)
}

fn is_kept(dropped: &mut oneshot::Receiver<()>) -> bool {
    matches!(dropped.try_recv(), Err(oneshot::error::TryRecvError::Empty))
}

/// The predecessor is heard until it has no more to say, which it tells by this.
async fn settled(predecessor: &mut Predecessor) -> Vec<PassedState> {
    loop {
        if let Some(states) = predecessor.final_state() {
            return states;
        }
        timeout(PATIENCE, predecessor.next()).await.expect("something comes");
    }
}

#[tokio::test]
async fn a_final_state_is_kept_for_until_the_successor_has_all_of_it() {
    let (mut successor, mut predecessor) = accepted().await;
    let (keep, mut dropped) = kept();
    let states = || vec![state("empty", 0), state("large", PassedState::MOST_BYTES)];
    successor.say(&Message::LetGo, Vec::new());
    successor.pass_final(states(), vec![(name("cache"), "was not done within 10s".into())], keep);
    assert!(matches!(predecessor.next().await, Some(Event::PredecessorLetGo)));
    assert!(predecessor.final_state().is_none());
    let pass = async {
        tokio::select! {
            event = successor.next() => panic!("{event:?}"),
            dropped = &mut dropped => assert!(dropped.is_err()),
        }
    };
    let take = async {
        let come = settled(&mut predecessor).await;
        // FINAL TAKEN lies in the kernel.
        assert!(come == states());
    };
    timeout(PATIENCE, async { tokio::join!(take, pass) }).await.expect("both come to an end");
    assert!(predecessor.final_state().is_none(), "it is given once");
}

#[tokio::test]
async fn a_predecessor_that_has_none_says_so() {
    let (mut successor, mut predecessor) = accepted().await;
    let (keep, mut dropped) = kept();
    successor.pass_final(vec![], vec![], keep);
    assert!(is_kept(&mut dropped));
    assert_eq!(settled(&mut predecessor).await, []);
    assert!(successor.next_now().is_none());
    assert!(!is_kept(&mut dropped));
}

#[tokio::test]
async fn a_successor_that_dies_with_a_final_state_on_its_way_is_not_waited_for() {
    let (mut successor, predecessor) = accepted().await;
    let (keep, mut dropped) = kept();
    successor.pass_final(vec![state("large", PassedState::MOST_BYTES)], vec![], keep);
    assert!(is_kept(&mut dropped), "it is more than the kernel takes");
    drop(predecessor);
    assert!(matches!(timeout(PATIENCE, successor.next()).await, Ok(Some(Event::Ended(None)))));
    assert!(!is_kept(&mut dropped));
}

#[tokio::test]
async fn a_successor_that_talks_nonsense_is_not_waited_for() {
    let (ours, theirs) = channels();
    let (mut successor, mut theirs) = by_hand(ours, theirs, &[wire::FINAL_STATE]).await;
    let (keep, mut dropped) = kept();
    successor.pass_final(vec![], vec![], keep);
    theirs.say(&Message::Commit, Vec::new());
    assert!(matches!(successor.next().await, Some(Event::Failed(_))));
    assert!(!is_kept(&mut dropped));
}

/// A successor that says by hand what it knows.
async fn by_hand(ours: Channel, mut theirs: Channel, capabilities: &[&str]) -> (Successor, Channel) {
    let mut successor = Successor::met(ours, 0, legacy(&[]));
    assert!(matches!(successor.next().await, Some(Event::Spawned)));
    assert!(matches!(hear(&mut theirs).await.unwrap().0, Message::Hello(_)));
    is_said(hear(&mut theirs).await, &Message::End { sockets: 0 });
    let capabilities = capabilities.iter().map(|it| it.to_string()).collect();
    theirs.say(&Message::Accepted { version: 1, capabilities }, Vec::new());
    assert!(matches!(successor.next().await, Some(Event::Accepted)));
    (successor, theirs)
}

#[tokio::test]
async fn an_older_successor_is_told_nothing_of_a_final_state_and_not_waited_for() {
    let (ours, theirs) = channels();
    let (mut successor, mut theirs) = by_hand(ours, theirs, &["something-else"]).await;
    let (keep, mut dropped) = kept();
    successor.pass_final(vec![state("a", 5)], vec![], keep);
    assert!(!is_kept(&mut dropped));
    successor.say(&Message::LetGo, Vec::new());
    is_said(hear(&mut theirs).await, &Message::LetGo);
}

#[tokio::test]
async fn one_that_is_gone_or_foreign_to_channels_is_not_waited_for() {
    let (mut successor, predecessor) = accepted().await;
    drop(predecessor);
    assert!(matches!(successor.next().await, Some(Event::Ended(None))));
    let (keep, mut dropped) = kept();
    successor.pass_final(vec![], vec![], keep);
    assert!(!is_kept(&mut dropped));
}

/// A predecessor that says by hand what it passes, after ACCEPTED.
async fn passing() -> (Channel, Predecessor) {
    let (mut ours, theirs) = channels();
    ours.say(&Message::Hello(hello()), Vec::new());
    ours.say(&Message::End { sockets: 0 }, Vec::new());
    let predecessor = take_over(theirs).await.unwrap().answer.accept();
    let accepted = Message::Accepted { version: 1, capabilities: vec!["final-state".into(), "hand-over".into()] };
    is_said(hear(&mut ours).await, &accepted);
    (ours, predecessor)
}

#[tokio::test]
async fn what_of_a_final_state_is_whole_when_the_predecessor_dies_is_there() {
    let (mut ours, mut predecessor) = passing().await;
    let said = [piece("whole", 1, 0, 1), piece("half", 2, 0, 1)].map(Message::FinalState);
    ours.say_all(said);
    drop(ours);
    let come = settled(&mut predecessor).await;
    assert_eq!(come, [PassedState::new(name("whole"), 1, vec![7])]);
    assert!(predecessor.is_gone());
}

#[tokio::test]
async fn a_final_state_that_is_cut_off_by_its_end_is_absent_and_the_predecessor_may_go() {
    let (mut ours, mut predecessor) = passing().await;
    ours.say_all([Message::FinalState(piece("half", 2, 0, 1)), Message::final_end(vec![])]);
    assert_eq!(settled(&mut predecessor).await, []);
    is_said(hear(&mut ours).await, &Message::FinalTaken);
}

#[tokio::test]
async fn a_garbled_final_state_is_absent_from_there_on_and_the_predecessor_is_still_heard() {
    let (mut ours, mut predecessor) = passing().await;
    let pieces = [piece("whole", 1, 0, 1), piece("late", 2, 1, 1), piece("next", 1, 0, 1)];
    ours.say_all(pieces.map(Message::FinalState));
    ours.say_all([Message::final_end(vec![]), Message::LetGo]);
    assert_eq!(settled(&mut predecessor).await, [PassedState::new(name("whole"), 1, vec![7])]);
    is_said(hear(&mut ours).await, &Message::FinalTaken);
    assert!(matches!(predecessor.next().await, Some(Event::PredecessorLetGo)));
}

#[tokio::test]
async fn no_final_state_comes_from_one_that_has_taken_the_restart_back() {
    let (mut ours, mut predecessor) = passing().await;
    ours.say(&Message::Abort { why: "stopped".into() }, Vec::new());
    assert!(matches!(predecessor.next().await, Some(Event::TakenBack(_))));
    assert_eq!(predecessor.final_state(), Some(vec![]));
}

#[tokio::test]
async fn what_is_passed_by_a_kernel_that_takes_little_at_a_time_still_arrives_in_order() {
    let (ours, theirs): (OwnedFd, OwnedFd) = sys::socket_pair().unwrap();
    socket2::SockRef::from(&ours).set_send_buffer_size(4096).unwrap();
    let mut successor = Successor::met(Channel::new(ours).unwrap(), 0, legacy(&[]));
    assert!(matches!(successor.next().await, Some(Event::Spawned)));
    let mut predecessor = {
        let take = take_over(Channel::new(theirs).unwrap());
        let introduction = tokio::select! {
            event = successor.next() => panic!("{event:?}"),
            introduction = take => introduction.unwrap(),
        };
        introduction.answer.accept()
    };
    assert!(matches!(successor.next().await, Some(Event::Accepted)));
    let states = || vec![state("a", 300_000), state("b", 1)];
    let (keep, _dropped) = kept();
    successor.pass_final(states(), vec![], keep);
    successor.say(&Message::LetGo, Vec::new());
    let come = tokio::select! {
        event = successor.next() => panic!("{event:?}"),
        come = settled(&mut predecessor) => come,
    };
    assert!(come == states());
}

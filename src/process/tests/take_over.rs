//! A process that comes to a path, and predecessors that do there what they should not.

use std::os::fd::AsFd;

use super::*;
use crate::{
    Error, ErrorKind,
    phase::Event,
    process::{Introduction, Predecessor, Successor, take_over},
    status::Draining,
    wire::{Answer, Hello, Refusal, Want, Wish},
};

/// It says all of that, and dies.
async fn after(frames: &[Vec<u8>]) -> Error {
    let (ours, theirs) = sys::socket_pair().unwrap();
    for frame in frames {
        sys::send(ours.as_fd(), frame, &[]).unwrap();
    }
    drop(ours);
    not_taken_over(Channel::new(theirs).unwrap()).await
}

async fn not_taken_over(channel: Channel) -> Error {
    timeout(2 * PATIENCE, take_over(channel)).await.expect("it ends by itself").expect_err("nothing was taken over")
}

/// It says all of that, lives on, and hears REFUSED for this reason.
async fn hears_refused(frames: &[Vec<u8>]) -> (Refusal, String) {
    let (ours, theirs) = sys::socket_pair().unwrap();
    for frame in frames {
        sys::send(ours.as_fd(), frame, &[]).unwrap();
    }
    let error = not_taken_over(Channel::new(theirs).unwrap()).await;
    let mut ours = Channel::new(ours).unwrap();
    let Some((Message::Refused { refusal, why, .. }, _)) = hear(&mut ours).await else { panic!("REFUSED comes") };
    assert_eq!(why, error.message());
    assert!(hear(&mut ours).await.is_none(), "and then the end");
    (refusal, why)
}

async fn introduced(channel: Channel) -> Introduction {
    timeout(PATIENCE, take_over(channel)).await.expect("it is there").unwrap()
}

/// A predecessor of our own making, and the successor's side after ACCEPTED.
async fn taken_over() -> (Successor, Predecessor) {
    let (ours, theirs) = channels();
    let mut successor = Successor::met(ours, 0, legacy(&["http", "dns"]));
    assert!(matches!(successor.next().await, Some(Event::Spawned)));
    let accept = async {
        let introduction = introduced(theirs).await;
        assert!(introduction.met && introduction.stderr.is_none());
        assert_eq!(introduction.generation, 7);
        assert_eq!(introduction.watchdog, Some(Duration::from_millis(1500)));
        assert_eq!(introduction.ancestors.len(), 1);
        let names: Vec<_> = introduction.sockets.iter().map(|(socket, _)| socket.name.as_str()).collect();
        assert_eq!(names, ["http", "dns"]);
        introduction.answer.accept()
    };
    let (event, predecessor) = tokio::join!(successor.next(), accept);
    assert!(matches!(event, Some(Event::Accepted)));
    (successor, predecessor)
}

#[tokio::test]
async fn everything_goes_as_after_a_spawn() {
    let (mut successor, mut predecessor) = taken_over().await;
    predecessor.say(&Message::Ready { claimed: vec![1] });
    assert!(matches!(successor.next().await, Some(Event::Ready)));
    assert_eq!(successor.claimed(), [Name::new("dns").unwrap()]);
    successor.say(&Message::Commit, Vec::new());
    assert!(matches!(predecessor.next().await, Some(Event::Confirmed)));
    successor.say(&Message::LetGo, Vec::new());
    assert!(matches!(predecessor.next().await, Some(Event::PredecessorLetGo)));
    drop(successor);
    assert!(matches!(predecessor.next().await, Some(Event::PredecessorGone)));
}

// -------------------------------------------------------------------------------------------------- what is passed on

fn want(pid: u32) -> Want {
    Want { oldest: 1, newest: 1, wish: Wish::Status, pid }
}

#[tokio::test]
async fn a_visitor_is_passed_on_with_what_it_wants() {
    let (mut successor, mut predecessor) = taken_over().await;
    let (ours, theirs) = sys::socket_pair().unwrap();
    successor.say(&Message::Forward(want(5)), vec![Arc::new(theirs)]);
    assert!(predecessor.next().await.is_none(), "it was noted");
    let (wanted, socket) = predecessor.forwarded().unwrap();
    assert_eq!(wanted, want(5));
    assert!(predecessor.forwarded().is_none());
    // It is the visitor's own connection.
    Channel::new(socket).unwrap().say(&Message::Commit, Vec::new());
    is_said(hear(&mut Channel::new(ours).unwrap()).await, &Message::Commit);
}

#[tokio::test]
async fn visitors_that_nobody_takes_are_turned_away_from_the_65th_on() {
    let (mut successor, mut predecessor) = taken_over().await;
    let (here, there) = sys::socket_pair().unwrap();
    for pid in 0..64 {
        successor.say(&Message::Forward(want(pid)), vec![Arc::new(tempfile::tempfile().unwrap().into())]);
        assert!(predecessor.next().await.is_none());
    }
    successor.say(&Message::Forward(want(64)), vec![Arc::new(there)]);
    assert!(predecessor.next().await.is_none());
    assert!(hear(&mut Channel::new(here).unwrap()).await.is_none(), "its connection is closed");
    let waiting: Vec<_> = std::iter::from_fn(|| predecessor.forwarded()).map(|(want, _)| want.pid).collect();
    assert_eq!(waiting, (0..64).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_those_before_it_wait_for_is_known_until_it_is_gone() {
    let (mut successor, mut predecessor) = taken_over().await;
    let those = |waits_for: &str| Draining { generation: 6, pid: 1, waits_for: waits_for.into(), remaining: None };
    for waits_for in ["two connections", "one connection"] {
        successor.say(&Message::Draining(vec![those(waits_for)]), Vec::new());
        assert!(predecessor.next().await.is_none(), "it was noted");
        assert_eq!(predecessor.draining(), [those(waits_for)]);
    }
    drop(successor);
    assert!(matches!(predecessor.next().await, Some(Event::PredecessorGone)));
    assert!(predecessor.draining().is_empty());
}

// --------------------------------------------------------------------------------------------------------------- dies

#[tokio::test]
async fn dies_before_hello() {
    let error = after(&[]).await;
    assert_eq!(
        (error.kind(), error.message()),
        (ErrorKind::ChannelClosed, "the predecessor ended before it had said HELLO")
    );
}

#[tokio::test]
async fn dies_in_the_midst_of_hello() {
    let error = after(&[Message::Hello(hello()).encode()[..40].to_vec()]).await;
    assert_eq!(error.kind(), ErrorKind::Torn);
}

#[tokio::test]
async fn dies_before_end() {
    let error = after(&[Message::Hello(hello()).encode()]).await;
    let why = "the predecessor ended before it had passed everything";
    assert_eq!((error.kind(), error.message()), (ErrorKind::ChannelClosed, why));
}

#[tokio::test(start_paused = true)]
async fn says_nothing_and_is_not_waited_for_for_ever() {
    let (_ours, theirs) = channels();
    assert_eq!(not_taken_over(theirs).await.kind(), ErrorKind::Deadline);
}

// -------------------------------------------------------------------------------------------- declines, or takes it back

#[tokio::test]
async fn declines_and_its_very_error_comes_back() {
    let (mut ours, theirs) = channels();
    ours.say(&Message::Answer(Answer::Failed(Error::new(ErrorKind::Busy, "a restart is under way"))), Vec::new());
    let error = not_taken_over(theirs).await;
    assert_eq!((error.kind(), error.message()), (ErrorKind::Busy, "a restart is under way"));
    assert!(hear(&mut ours).await.is_none(), "a refusal is not refused");
}

#[tokio::test]
async fn takes_it_back_in_place_of_hello() {
    let error = after(&[Message::Abort { why: "stopped".into() }.encode()]).await;
    assert_eq!(error.kind(), ErrorKind::Aborted);
}

#[tokio::test]
async fn takes_it_back_before_end() {
    let error = after(&[Message::Hello(hello()).encode(), Message::Abort { why: "stopped".into() }.encode()]).await;
    assert_eq!(error.kind(), ErrorKind::Aborted);
}

// --------------------------------------------------------------------------------------------------------- misbehaves

#[tokio::test]
async fn speaks_another_version() {
    let hello = Hello { oldest: 2, newest: 3, ..hello() };
    let (refusal, why) = hears_refused(&[Message::Hello(hello).encode()]).await;
    assert_eq!(refusal, Refusal::Version);
    assert!(why.ends_with("this one 1 to 1, the predecessor 2 to 3"), "{why}");
}

#[tokio::test]
async fn speaks_garbage() {
    let (_, why) = hears_refused(&[b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()]).await;
    assert!(why.contains("what is no message"), "{why}");
    let (_, why) = hears_refused(&[Message::Hello(hello()).encode(), vec![0xff; 64]]).await;
    assert!(why.contains("what is no message"), "{why}");
}

#[tokio::test]
async fn answers_what_was_not_asked() {
    let answer = Message::Answer(Answer::Stopped { code: 0, report: "drained".into() });
    let (_, why) = hears_refused(&[answer.encode()]).await;
    assert_eq!(why, "the predecessor said what it must not say now: ANSWER");
}

#[tokio::test]
async fn promises_more_sockets_than_it_passes() {
    let (_, why) = hears_refused(&[Message::Hello(hello()).encode(), Message::End { sockets: 2 }.encode()]).await;
    assert_eq!(why, "the predecessor promised 2 sockets and passed 0");
}

#[tokio::test]
async fn passes_a_message_without_its_descriptor() {
    let sockets = Message::Sockets(vec![socket("http").0]);
    let (_, why) = hears_refused(&[Message::Hello(hello()).encode(), sockets.encode()]).await;
    assert_eq!(why, "0 of 1 descriptors came with a message");
}

#[tokio::test]
async fn says_something_else_than_its_sockets() {
    let (_, why) = hears_refused(&[Message::Hello(hello()).encode(), Message::Commit.encode()]).await;
    assert_eq!(why, "the predecessor said what it must not say now: COMMIT");
}

#[tokio::test]
async fn lends_a_standard_error_and_it_is_not_taken() {
    let (mut ours, theirs) = channels();
    let file = Arc::new(tempfile::tempfile().unwrap().into());
    ours.say(&Message::Hello(Hello { stderr: true, ..hello() }), vec![Arc::clone(&file), file]);
    ours.say(&Message::End { sockets: 0 }, Vec::new());
    assert!(introduced(theirs).await.stderr.is_none());
}

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::{io::AsyncReadExt, time::timeout};

use super::{read::Read, *};
use crate::{
    Error, ErrorKind,
    name::Name,
    sys,
    wire::{Destination, Message, Offer, Origin, Socket, SocketKind},
};

/// A channel, and the raw other end of it.
fn channel() -> (Channel, OwnedFd) {
    let (ours, theirs) = sys::socket_pair().unwrap();
    (Channel::new(ours).unwrap(), theirs)
}

fn channels() -> (Channel, Channel) {
    let (ours, theirs) = channel();
    (ours, Channel::new(theirs).unwrap())
}

fn send(to: &OwnedFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) {
    assert_eq!(sys::send(to.as_fd(), bytes, descriptors).unwrap(), bytes.len());
}

async fn hear(channel: &mut Channel) -> Result<Option<Received>, Error> {
    timeout(Duration::from_secs(10), channel.next()).await.expect("something is there")
}

/// As large as a frame gets, with a descriptor for each socket.
fn many(count: usize) -> (Message, Vec<Arc<OwnedFd>>) {
    let socket = |number| Socket {
        name: Name::new(&format!("{number:0>250}")).unwrap(),
        kind: SocketKind::TcpListener,
        origin: Origin::Bound,
        requested: "x".repeat(300).into(),
        actual: "y".repeat(300).into(),
        path: (0, 0),
    };
    let file = Arc::new(OwnedFd::from(tempfile::tempfile().unwrap()));
    (Message::Sockets((0..count).map(socket).collect()), vec![file; count])
}

#[tokio::test]
async fn frames_that_fill_the_socket_arrive_whole_with_their_descriptors() {
    let (mut ours, mut theirs) = channels();
    let (message, descriptors) = many(sys::MAX_DESCRIPTORS);
    for _ in 0..8 {
        ours.say(&message, descriptors.clone());
    }
    ours.say(&Message::Commit, Vec::new());
    let flush = async {
        ours.flush().await;
        drop(ours);
    };
    let read = async {
        for _ in 0..8 {
            let (heard, files) = hear(&mut theirs).await.unwrap().unwrap();
            assert_eq!((heard == message, files.len()), (true, sys::MAX_DESCRIPTORS));
        }
        assert_eq!(hear(&mut theirs).await.unwrap().unwrap().0, Message::Commit);
        assert!(hear(&mut theirs).await.unwrap().is_none());
    };
    tokio::join!(flush, read);
}

#[tokio::test]
async fn what_a_peer_said_before_it_died_with_our_words_unread_is_heard() {
    let (mut ours, theirs) = channel();
    ours.say(&Message::Commit, Vec::new());
    send(&theirs, &Message::Stopping { why: "x".into() }.encode(), &[]);
    drop(theirs);
    // The send fails first, and decides nothing.
    ours.say(&Message::LetGo, Vec::new());
    assert_eq!(hear(&mut ours).await.unwrap().unwrap().0, Message::Stopping { why: "x".into() });
    assert!(hear(&mut ours).await.unwrap().is_none());
    assert!(hear(&mut ours).await.unwrap().is_none(), "the end stays the end");
}

#[tokio::test]
async fn what_lies_in_the_kernel_is_found_though_the_reactor_has_not_told_of_it() {
    let (mut ours, theirs) = channel();
    let mut left = ours.unread();
    assert!(ours.next_of(&mut left).is_none());
    send(&theirs, &Message::Commit.encode(), &[]);
    // No await in between: the reactor had no turn.
    let mut left = ours.unread();
    assert_eq!(ours.next_of(&mut left).unwrap().unwrap().unwrap().0, Message::Commit);
    assert!(ours.next_of(&mut left).is_none());
    drop(theirs);
    let mut left = ours.unread();
    assert!(ours.next_of(&mut left).unwrap().unwrap().is_none());
}

#[tokio::test]
async fn a_message_that_ends_in_its_middle_is_torn() {
    let (mut ours, theirs) = channel();
    send(&theirs, &Message::Commit.encode()[..7], &[]);
    drop(theirs);
    assert_eq!(hear(&mut ours).await.unwrap_err().kind(), ErrorKind::Torn);
}

#[tokio::test]
async fn descriptors_that_nobody_asked_for_are_closed() {
    let (mut ours, theirs) = channel();
    let (read, write) = sys::pipe().unwrap();
    // A frame of an unknown optional kind with a descriptor, and a known one with one too many.
    let mut unknown = Message::LetGo.encode();
    unknown[0..2].copy_from_slice(&999_u16.to_le_bytes());
    unknown[8] = 1;
    send(&theirs, &unknown, &[write.as_fd()]);
    let mut surplus = Message::Commit.encode();
    surplus[8] = 1;
    send(&theirs, &surplus, &[write.as_fd()]);
    drop(write);
    let (message, descriptors) = hear(&mut ours).await.unwrap().unwrap();
    assert_eq!((message, descriptors.len()), (Message::Commit, 0));
    // Waited for: a process that another test spawns has copies of everything until its exec.
    let mut read = tokio::net::unix::pipe::Receiver::from_owned_fd(read).unwrap();
    let end = timeout(Duration::from_secs(60), read.read(&mut [0])).await.expect("no copy of the other end is left");
    assert_eq!(end.unwrap(), 0);
}

#[tokio::test]
async fn a_flood_of_descriptors_is_an_error_and_no_hoard() {
    let (mut ours, theirs) = channel();
    let file = tempfile::tempfile().unwrap();
    // A frame that is never finished, and descriptors with each of its bytes.
    let mut frame = Message::Stopping { why: "x".repeat(1000) }.encode();
    frame.truncate(200);
    for byte in &frame {
        send(&theirs, &[*byte], &[file.as_fd(), file.as_fd(), file.as_fd()]);
    }
    assert_eq!(hear(&mut ours).await.unwrap_err().kind(), ErrorKind::Protocol);
}

/// By what they state, for none can be counted: each could be of a later version.
#[tokio::test]
async fn an_end_without_descriptors_installs_none_and_goes_on() {
    let (ours, theirs) = channel();
    let mut ours = ours.without_descriptors();
    let (read, write) = sys::pipe().unwrap();
    let mut later = Message::Commit.encode();
    later[8] = 9;
    send(&theirs, &later[..5], &[write.as_fd(); 3]);
    send(&theirs, &later[5..], &[write.as_fd()]);
    send(&theirs, &many(2).0.encode(), &[write.as_fd(), write.as_fd()]);
    drop(write);
    assert_eq!(hear(&mut ours).await.unwrap().unwrap().0, Message::Commit);
    let (message, descriptors) = hear(&mut ours).await.unwrap().unwrap();
    assert!(matches!(message, Message::Sockets(_)) && descriptors.is_empty(), "{message:?}");
    assert!(ours.into_socket().unwrap().is_some(), "nothing is left of them");
    drop(read);
}

#[tokio::test]
async fn a_message_without_its_descriptor_is_an_error() {
    let (mut ours, theirs) = channel();
    send(&theirs, &many(1).0.encode(), &[]);
    assert_eq!(hear(&mut ours).await.unwrap_err().kind(), ErrorKind::Protocol);
}

#[tokio::test]
async fn dropping_the_wait_loses_nothing() {
    let (mut ours, theirs) = channel();
    let frame = Message::Extend { milliseconds: 5 }.encode();
    for byte in &frame {
        let waited = timeout(Duration::ZERO, ours.next()).await;
        assert!(waited.is_err(), "{waited:?}");
        send(&theirs, &[*byte], &[]);
    }
    assert_eq!(hear(&mut ours).await.unwrap().unwrap().0, Message::Extend { milliseconds: 5 });
}

#[tokio::test]
async fn a_channel_gives_its_socket_back_unless_something_is_on_its_way() {
    let (mut ours, theirs) = channel();
    send(&theirs, &Message::Commit.encode(), &[]);
    assert_eq!(hear(&mut ours).await.unwrap().unwrap().0, Message::Commit);
    let socket = ours.into_socket().unwrap().expect("nothing is buffered");
    let mut again = Channel::new(socket).unwrap();
    // What follows a message lies in the socket still.
    send(&theirs, &[&Message::LetGo.encode()[..], &Message::Commit.encode()[..7]].concat(), &[]);
    assert_eq!(hear(&mut again).await.unwrap().unwrap().0, Message::LetGo);
    let mut again = Channel::new(again.into_socket().unwrap().expect("nothing is buffered")).unwrap();
    assert!(timeout(Duration::from_millis(1), again.next()).await.is_err());
    assert!(again.into_socket().unwrap().is_none(), "the beginning of another message would be lost");
}

fn offers(count: u64) -> (Message, Vec<Arc<OwnedFd>>) {
    let to = Destination::Protocol(Name::new("chat").unwrap());
    let offer = |id| Offer { id, to: to.clone(), waited_milliseconds: 0, read: b"GET".to_vec(), state: Vec::new() };
    let files = (0..count).map(|_| Arc::new(OwnedFd::from(tempfile::tempfile().unwrap())));
    (Message::Offer((0..count).map(offer).collect()), files.collect())
}

#[tokio::test]
async fn a_message_is_settled_when_the_kernel_has_all_of_it_and_not_before() {
    let (mut ours, mut theirs) = channels();
    ours.say_numbered(1, &Message::Taken(vec![1]), Vec::new());
    assert_eq!(ours.settled(), [(1, Settled::Accepted)]);
    let (large, descriptors) = many(sys::MAX_DESCRIPTORS);
    let mut number = 1;
    while ours.outbox.is_empty() {
        number += 1;
        ours.say_numbered(number, &large, descriptors.clone());
    }
    assert!(ours.settled().iter().all(|(settled, _)| *settled < number), "the last is not whole in the kernel");
    let read = async { while hear(&mut theirs).await.unwrap().unwrap().0 != large {} };
    let settled = async {
        let step = timeout(Duration::from_secs(10), ours.step()).await.expect("there is room again").unwrap();
        assert!(matches!(step, Step::Settled), "{step:?}");
    };
    tokio::join!(read, settled);
    assert!(ours.settled().contains(&(number, Settled::Accepted)));
}

#[tokio::test]
async fn what_a_dead_peer_was_told_is_settled_as_such_and_its_last_words_are_still_heard() {
    let (mut ours, theirs) = channel();
    send(&theirs, &Message::Declined(vec![(7, "full".into())]).encode(), &[]);
    drop(theirs);
    ours.say_numbered(1, &Message::Taken(vec![1]), Vec::new());
    ours.say_numbered(2, &Message::Taken(vec![2]), Vec::new());
    assert_eq!(ours.settled(), [(1, Settled::PeerGone), (2, Settled::PeerGone)]);
    assert_eq!(hear(&mut ours).await.unwrap().unwrap().0, Message::Declined(vec![(7, "full".into())]));
    assert!(hear(&mut ours).await.unwrap().is_none());
}

/// A process of its own: the limit holds for all of it.
#[tokio::test]
#[ignore = "started by the test after it"]
async fn with_few_descriptors_left() {
    let (mut ours, mut theirs) = channels();
    let (message, descriptors) = offers(8);
    ours.say(&message, descriptors);
    ours.say(&Message::LetGo, Vec::new());
    // The lowest free number is what the next one gets: about four more than are open now.
    let next = std::fs::File::open("/dev/null").unwrap();
    let number = format!("{:?}", next.as_fd()).chars().filter(char::is_ascii_digit).collect::<String>();
    drop(next);
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, number.parse::<u64>().unwrap() + 4, most).unwrap();
    let (heard, came) = hear(&mut theirs).await.unwrap().unwrap();
    assert!(heard == message && (1..8).contains(&came.len()), "{} came", came.len());
    assert_eq!(hear(&mut theirs).await.unwrap().unwrap().0, Message::LetGo);
    drop(came);
    // The descriptors of anything else are not to be done without.
    let (message, descriptors) = many(8);
    ours.say(&message, descriptors);
    assert_eq!(hear(&mut theirs).await.unwrap_err().kind(), ErrorKind::NoDescriptors);
}

/// A process of its own, as above.
#[tokio::test]
#[ignore = "started by the test after it"]
async fn with_few_descriptors_for_a_moment() {
    let (mut ours, mut theirs) = channels();
    // The first is longer than what is read at a time.
    let (mut first, first_files) = offers(2);
    if let Message::Offer(offers) = &mut first {
        offers.iter_mut().for_each(|offer| offer.state = vec![7; 6_000]);
    }
    let (second, second_files) = offers(2);
    ours.say(&first, first_files.clone());
    ours.say(&second, second_files.clone());
    let next = std::fs::File::open("/dev/null").unwrap();
    let number = format!("{:?}", next.as_fd()).chars().filter(char::is_ascii_digit).collect::<String>();
    drop(next);
    let (limit, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, number.parse::<u64>().unwrap() + 1, most).unwrap();
    theirs.read(Read::Now).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, limit, most).unwrap();
    for (message, files, some) in [(first, first_files, 0..2), (second, second_files, 2..3)] {
        let (heard, came) = hear(&mut theirs).await.unwrap().unwrap();
        assert!(heard == message && some.contains(&came.len()), "{} came", came.len());
        let identities = |those: &[&OwnedFd]| those.iter().map(|it| sys::identity(it).unwrap()).collect::<Vec<_>>();
        let files: Vec<_> = files.iter().take(came.len()).map(|it| &**it).collect();
        assert_eq!(identities(&came.iter().collect::<Vec<_>>()), identities(&files));
    }
}

/// Or they would be taken for those of the next one.
#[tokio::test]
async fn descriptors_that_belong_to_no_message_are_not_taken_for_those_of_the_next() {
    let (mut ours, theirs) = channel();
    send(&theirs, &Message::Commit.encode(), &[theirs.as_fd()]);
    let (offer, files) = offers(1);
    send(&theirs, &offer.encode(), &[files[0].as_fd()]);
    assert_eq!(hear(&mut ours).await.unwrap().unwrap().0, Message::Commit);
    let (_, came) = hear(&mut ours).await.unwrap().unwrap();
    let identities: Vec<_> = came.iter().map(|it| sys::identity(it).unwrap()).collect();
    assert_eq!(identities, [sys::identity(&*files[0]).unwrap()]);
}

fn passes_in_a_process_of_its_own(test: &str) {
    let this = std::env::current_exe().unwrap();
    let output = std::process::Command::new(this).args(["--exact", "--ignored", test]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
fn an_offer_arrives_without_the_descriptors_for_which_there_is_no_room() {
    passes_in_a_process_of_its_own("channel::tests::with_few_descriptors_left");
}

#[test]
fn descriptors_that_are_lost_are_not_made_up_for_by_those_of_the_next_offer() {
    passes_in_a_process_of_its_own("channel::tests::with_few_descriptors_for_a_moment");
}

#[tokio::test]
async fn a_peer_that_does_not_read_stops_nobody() {
    let (mut ours, _theirs) = channel();
    let (message, descriptors) = many(100);
    for _ in 0..20 {
        ours.say(&message, descriptors.clone());
    }
    assert!(!ours.outbox.is_empty());
    assert!(timeout(Duration::from_millis(1), ours.next()).await.is_err());
}

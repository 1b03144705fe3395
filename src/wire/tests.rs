//! Every message there and back, the recorded conversation, and bytes that are no message.

use std::{
    os::unix::process::ExitStatusExt,
    process::ExitStatus,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{frame::Header, message::first, *};
use crate::{
    Error, ErrorKind, Successor,
    name::Name,
    state::PassedState,
    status::{ConnectionStatus, Draining, LastRestart, Leftover, SocketStatus, Status},
};

fn conversation() -> Vec<Message> {
    vec![
        Message::Hello(Hello {
            successor_pid: 4712,
            oldest: 1,
            newest: 1,
            capabilities: vec![],
            generation: 3,
            predecessor_pid: 4711,
            watchdog_milliseconds: 0,
            ancestors: vec![Ancestor { generation: 1, pid: 4000 }, Ancestor { generation: 2, pid: 4711 }],
            stderr: true,
        }),
        Message::Sockets(vec![
            Socket {
                name: Name::new("http").unwrap(),
                kind: SocketKind::TcpListener,
                origin: Origin::Bound,
                requested: "127.0.0.1:0".into(),
                actual: "127.0.0.1:40123".into(),
                path: (0, 0),
            },
            Socket {
                name: Name::new("admin").unwrap(),
                kind: SocketKind::UnixListener,
                origin: Origin::Bound,
                requested: "/run/a.sock".into(),
                actual: "/run/a.sock".into(),
                path: (25, 1337),
            },
        ]),
        Message::Arrived { sockets: 2 },
        Message::End { sockets: 2 },
        Message::Accepted { version: 1, capabilities: vec!["future".into()] },
        Message::Refused { refusal: Refusal::Version, oldest: 2, newest: 3, why: "too old".into() },
        Message::Extend { milliseconds: 5000 },
        Message::Ready { claimed: vec![0, 1] },
        Message::Commit,
        Message::LetGo,
        Message::Abort { why: "deadline".into() },
        Message::Replaced { pid: 4713, generation: 4 },
        Message::Stopping { why: "signal 15".into() },
    ]
}

/// What is said at a path, and what follows from it between generations.
fn visits() -> Vec<Message> {
    let want = |wish| Want { oldest: 1, newest: 1, wish, pid: 4720 };
    let wishes = [Wish::TakeOver, Wish::Restart, Wish::Status, Wish::Stop].map(want);
    let exited = Error::new(ErrorKind::Exited, "the successor (pid 4713) exited with status 3")
        .with_last_words(Some(ExitStatus::from_raw(3 << 8)), Some("no config\n".into()));
    let busy = Error::new(ErrorKind::Busy, "8 earlier generations are still draining");
    let answers = vec![
        Answer::Replaced(Successor { pid: 4713, generation: 4 }),
        Answer::Failed(exited.clone()),
        Answer::Failed(busy),
        Answer::Status(Box::new(status(Err(exited)))),
        Answer::Status(Box::new(Status { last_restart: None, ..status(Ok(Successor { pid: 1, generation: 1 })) })),
        Answer::Stopped { code: 1, report: "cut 2 connections".into() },
    ];
    let waits = Draining { generation: 2, pid: 4711, waits_for: "1 http1".into(), remaining: Some(millis(41_000)) };
    let silent = Draining { generation: 1, pid: 4000, waits_for: String::new(), remaining: None };
    let wanted = wishes.map(Message::Want).into_iter();
    let answered = answers.into_iter().map(Message::Answer);
    let passed = [Message::Forward(want(Wish::Status)), Message::Draining(vec![silent, waits])];
    wanted.chain(answered).chain(passed).collect()
}

fn status(last: Result<Successor, Error>) -> Status {
    let at = |milliseconds| -> SystemTime { UNIX_EPOCH + millis(milliseconds) };
    Status {
        generation: 3,
        pid: 4712,
        since: at(1_767_225_600_123),
        state: "ready".into(),
        program: "/srv/app/server".into(),
        program_file: (25, 1337),
        sockets: vec![
            SocketStatus {
                name: "http".into(),
                kind: "TCP listener".into(),
                address: "127.0.0.1:40123".into(),
                origin: "bound".into(),
            },
            SocketStatus {
                name: "wake".into(),
                kind: "pipe (reader)".into(),
                address: String::new(),
                origin: "offered".into(),
            },
        ],
        leftovers: vec![Leftover { name: "admin".into(), address: "/run/a.sock".into(), why: "not claimed".into() }],
        connections: vec![ConnectionStatus {
            kind: "http1".into(),
            state: "idle".into(),
            count: 12,
            oldest: millis(5_250),
        }],
        draining: vec![Draining {
            generation: 2,
            pid: 4711,
            waits_for: "1 upgraded".into(),
            remaining: Some(millis(41_000)),
        }],
        last_restart: Some(LastRestart { at: at(1_767_229_200_000), outcome: last }),
    }
}

fn millis(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// What is passed beside sockets.
fn states() -> Vec<Message> {
    let state = |name, version, bytes: &[u8]| PassedState::new(Name::new(name).unwrap(), version, bytes.to_vec());
    let pieces = |state| pieces(state).next().unwrap();
    let rest = Piece { length: 8, offset: 3, ..pieces(state("sessions", 2, b"alice")) };
    let failed = (Name::new("cache").unwrap(), "was not done within 10s".into());
    vec![
        Message::State(pieces(state("empty", 0, b""))),
        Message::State(rest),
        Message::Accepted { version: 1, capabilities: vec![FINAL_STATE.into()] },
        Message::FinalState(pieces(state("orders", u32::MAX, &[0, 1, 254, 255]))),
        Message::final_end(vec![failed]),
        Message::final_end(vec![]),
        Message::FinalTaken,
    ]
}

/// Live connections, and what is said to them.
fn handovers() -> Vec<Message> {
    let name = |name| Name::new(name).unwrap();
    let http = |id, begun, waited_milliseconds, read: &[u8]| Offer {
        id,
        to: Destination::Serve { socket: name("http"), begun },
        waited_milliseconds,
        read: read.to_vec(),
        state: Vec::new(),
    };
    let chat = Offer {
        id: u64::MAX,
        to: Destination::Protocol(name("chat")),
        waited_milliseconds: 0,
        read: Vec::new(),
        state: vec![0, 1, 254, 255],
    };
    vec![
        Message::Accepted { version: 1, capabilities: vec![FINAL_STATE.into(), HAND_OVER.into()] },
        Message::Offer(vec![http(1, Begun::Fresh, 0, b""), http(2, Begun::Http1, 1_500, b"GET / HT"), chat]),
        Message::Taken(vec![1, u64::MAX]),
        Message::declined(vec![(2, "no place among max_connections".into())]),
    ]
}

fn everything() -> Vec<Message> {
    conversation().into_iter().chain(visits()).chain(states()).chain(handovers()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// What version 1 wrote when it was released. Whoever has to change a line there breaks restarts between releases.
#[track_caller]
fn check(recorded: &str, ours: &[Message]) {
    let recorded: Vec<&str> = recorded.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(recorded.len(), ours.len());
    for (line, message) in recorded.iter().zip(ours) {
        assert_eq!(hex(&message.encode()), *line, "{message:?}");
        let bytes: Vec<u8> =
            (0..line.len()).step_by(2).map(|at| u8::from_str_radix(&line[at..at + 2], 16).unwrap()).collect();
        let (read, descriptors, length) = first(&bytes).unwrap().unwrap();
        assert_eq!((read.as_ref(), descriptors, length), (Some(message), message.descriptors(), bytes.len()));
    }
}

#[test]
fn the_recorded_version_1_conversation_is_still_written_and_understood() {
    check(include_str!("version1.txt"), &conversation());
}

#[test]
fn what_was_recorded_at_a_path_in_version_1_is_still_written_and_understood() {
    check(include_str!("version1-path.txt"), &visits());
}

#[test]
fn what_was_recorded_of_state_in_version_1_is_still_written_and_understood() {
    check(include_str!("version1-state.txt"), &states());
}

#[test]
fn what_was_recorded_of_handing_over_in_version_1_is_still_written_and_understood() {
    check(include_str!("version1-handover.txt"), &handovers());
}

#[test]
fn a_destination_of_a_later_version_is_read_and_nobody_here() {
    let Message::Offer(offers) = handovers().swap_remove(1) else { panic!("an offer") };
    let later = Offer { to: Destination::Other(9), ..offers[2].clone() };
    let frame = Message::Offer(vec![later.clone()]).encode();
    let (read, descriptors, _) = first(&frame).unwrap().unwrap();
    assert_eq!((read, descriptors), (Some(Message::Offer(vec![later])), 1));
}

#[test]
fn an_offer_shows_nobody_what_it_bears() {
    let shown = format!("{:?}", handovers());
    assert!(!shown.contains("GET") && !shown.contains("254"), "{shown}");
}

#[test]
fn reasons_for_all_names_fit_into_one_frame_however_long_they_are() {
    let name = |number| Name::new(&format!("{number:0>255}")).unwrap();
    let failed = (0..PassedState::MOST_NAMES).map(|number| (name(number), "é".repeat(40_000))).collect();
    let frame = Message::final_end(failed).encode();
    let Some((Some(Message::FinalEnd { failed }), ..)) = first(&frame).unwrap() else {
        panic!("another message came");
    };
    assert_eq!((failed.len(), failed[7].1.as_str()), (PassedState::MOST_NAMES, "é".repeat(512).as_str()));
}

#[test]
fn reasons_for_all_connections_that_are_undecided_fit_into_one_frame() {
    let those = (0..64).map(|id| (id, "é".repeat(40_000))).collect();
    let Some((Some(Message::Declined(those)), ..)) = first(&Message::declined(those).encode()).unwrap() else {
        panic!("another message came");
    };
    assert_eq!((those.len(), &those[63]), (64, &(63, "é".repeat(512))));
}

#[test]
fn an_older_reader_skips_what_it_does_not_know_of_state() {
    let optional = |message: &Message| {
        let frame = message.encode();
        !Header::decode(*frame.first_chunk().unwrap()).unwrap().must_understand
    };
    let new = states().into_iter().filter(|message| !matches!(message, Message::Accepted { .. }));
    assert!(new.collect::<Vec<_>>().iter().all(optional));
}

#[test]
fn a_status_arrives_with_every_field() {
    let sent = status(Err(Error::new(ErrorKind::Killed, "killed").with_last_words(None, Some("x".into()))));
    let frame = Message::Answer(Answer::Status(Box::new(sent.clone()))).encode();
    let Some((Some(Message::Answer(Answer::Status(got))), ..)) = first(&frame).unwrap() else {
        panic!("another message came");
    };
    // The answers' own equality goes by their bytes, and would not see a field that both ways forget.
    assert_eq!(format!("{got:?}"), format!("{sent:?}"));
}

#[test]
fn an_error_arrives_with_its_kind_status_and_last_words() {
    let sent = Error::new(ErrorKind::Killed, "killed by signal 9")
        .with_last_words(Some(ExitStatus::from_raw(9)), Some("last\n".into()));
    let frame = Message::Answer(Answer::Failed(sent)).encode();
    let Some((Some(Message::Answer(Answer::Failed(got))), ..)) = first(&frame).unwrap() else {
        panic!("another message came");
    };
    assert_eq!((got.kind(), got.message(), got.stderr()), (ErrorKind::Killed, "killed by signal 9", Some("last\n")));
    assert_eq!(got.exit_status().and_then(|status| status.signal()), Some(9));
}

#[test]
fn a_wish_an_answer_and_a_kind_of_error_of_a_later_version_are_understood_as_such() {
    let wish = Message::Want(Want { oldest: 1, newest: 9, wish: Wish::Other(200), pid: 1 });
    assert_eq!(first(&wish.encode()).unwrap().unwrap().0, Some(wish));
    let mut frame = Message::Answer(Answer::Other(200)).encode();
    assert_eq!(first(&frame).unwrap().unwrap().0, Some(Message::Answer(Answer::Other(200))));
    frame.extend(b"what it says");
    frame[4] += 12;
    assert_eq!(first(&frame).unwrap().unwrap().0, Some(Message::Answer(Answer::Other(200))));
    let mut frame = Message::Answer(Answer::Failed(Error::new(ErrorKind::Busy, "later"))).encode();
    frame[13..15].copy_from_slice(&60_000_u16.to_le_bytes());
    let Some((Some(Message::Answer(Answer::Failed(got))), ..)) = first(&frame).unwrap() else {
        panic!("another message came");
    };
    assert_eq!((got.kind(), got.message()), (ErrorKind::Refused, "later"));
}

#[test]
fn whoever_speaks_only_later_versions_is_not_understood() {
    let want = |oldest, newest| Want { oldest, newest, wish: Wish::Status, pid: 1 };
    assert!(Want::ours(Wish::Status).is_understood() && want(1, 9).is_understood());
    assert!(!want(NEWEST_VERSION + 1, 9).is_understood() && !want(0, OLDEST_VERSION - 1).is_understood());
}

#[test]
fn a_frame_in_pieces_is_awaited_and_its_successor_left_alone() {
    for message in everything() {
        let mut bytes = message.encode();
        let length = bytes.len();
        for end in 0..length {
            assert_eq!(first(&bytes[..end]), Ok(None));
        }
        bytes.extend(Message::Commit.encode());
        assert_eq!(first(&bytes).unwrap().unwrap().2, length);
    }
}

#[test]
fn an_unknown_optional_frame_is_skipped_and_an_unknown_necessary_one_is_refused() {
    let mut header = Header { kind: 999, must_understand: false, length: 3, descriptors: 2 };
    let frame = |header: Header| [&header.encode()[..], b"abc"].concat();
    assert_eq!(first(&frame(header)), Ok(Some((None, 2, 15))));
    header.must_understand = true;
    assert!(first(&frame(header)).unwrap_err().to_string().contains("999"));
}

#[test]
fn fields_that_a_later_version_adds_at_the_end_are_ignored() {
    let message = Message::Extend { milliseconds: 7 };
    let mut frame = message.encode();
    frame.extend(b"more");
    frame[4] += 4;
    assert_eq!(first(&frame), Ok(Some((Some(message), 0, frame.len()))));
}

#[test]
fn a_length_beyond_the_limit_is_refused_before_its_bytes_arrive() {
    let header = Header { kind: 2, must_understand: true, length: u32::MAX, descriptors: 0 };
    assert!(first(&header.encode()).unwrap_err().to_string().contains("4294967295"));
    let header = Header { kind: 2, must_understand: true, length: 0, descriptors: 254 };
    assert!(first(&header.encode()).unwrap_err().to_string().contains("254"));
}

#[test]
fn a_list_that_claims_more_items_than_bytes_reserves_nothing() {
    let header = Header { kind: 36, must_understand: true, length: 4, descriptors: 0 };
    let frame = [&header.encode()[..], &u32::MAX.to_le_bytes()].concat();
    assert!(first(&frame).is_err());
}

#[test]
fn missing_descriptors_are_refused_and_more_of_them_are_a_later_versions() {
    let mut frame = conversation()[1].encode();
    frame[8] -= 1;
    assert!(first(&frame).is_err());
    let mut frame = Message::Commit.encode();
    frame[8] = 1;
    assert_eq!(first(&frame), Ok(Some((Some(Message::Commit), 1, frame.len()))));
}

#[test]
fn fields_that_a_later_version_adds_to_a_socket_are_ignored() {
    let message = conversation()[1].clone();
    let mut frame = message.encode();
    // The payload begins with the count of sockets and the first one's length.
    let length = u16::from_le_bytes([frame[16], frame[17]]);
    frame[16..18].copy_from_slice(&(length + 2).to_le_bytes());
    frame.splice(18 + usize::from(length)..18 + usize::from(length), *b"ab");
    frame[4] += 2;
    assert_eq!(first(&frame).unwrap().unwrap().0, Some(message));
}

#[test]
fn only_a_hello_names_a_pid() {
    let hello = conversation()[0].encode();
    assert_eq!(peek_pid(hello.first_chunk().unwrap()), Some(4712));
    assert_eq!(peek_pid(&[0; PEEK]), None);
}

/// Bytes are flipped, cut and doubled all over everything that can be said. Whatever is read must be written the same again, and
/// nothing may panic. (`fuzz/` does this with coverage.)
#[test]
fn no_bytes_make_the_reader_panic() {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % below as u64) as usize
    };
    let frames: Vec<Vec<u8>> = everything().iter().map(Message::encode).collect();
    for _ in 0..200_000 {
        let mut bytes = frames[next(frames.len())].clone();
        for _ in 0..1 + next(4) {
            let at = next(bytes.len());
            match next(3) {
                0 => bytes[at] = next(256) as u8,
                1 => bytes.truncate(at.max(1)),
                _ => bytes.extend_from_within(at..),
            }
        }
        if let Ok(Some((Some(message), ..))) = first(&bytes) {
            assert_eq!(first(&message.encode()).unwrap().unwrap().0, Some(message));
        }
    }
}

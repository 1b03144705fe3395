//! The door and its visitors, over real sockets in one process.

use std::{
    fs::{self, Permissions},
    io::{self, BufRead, BufReader, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{fs::PermissionsExt, net::UnixStream, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, SystemTime},
};

use tempfile::TempDir;
use tokio::{
    io::AsyncReadExt,
    net::UnixListener,
    time::{Instant, timeout},
};

use super::*;
use crate::{
    Error, ErrorKind, Successor,
    channel::Channel,
    status::{SocketStatus, Status},
    sys,
    wire::{Answer, Message, Want, Wish},
};

/// A temporary place, and a path in it.
fn place() -> (TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("control");
    (place, path)
}

fn door(path: &Path) -> Door {
    Door::new(UnixListener::bind(path).unwrap(), Allowed::default())
}

async fn next(door: &mut Door) -> Visitor {
    door.next().await.expect("the door is open")
}

/// A server that answers each visitor with the code of the wish.
fn serve(mut door: Door) {
    tokio::spawn(async move {
        loop {
            let visitor = next(&mut door).await;
            let report = format!("{:?}", visitor.wish());
            visitor.answer(Answer::Stopped { code: 0, report });
        }
    });
}

/// What that server answers.
async fn is_served(path: &Path) {
    assert_eq!(stop(path).await.unwrap().report, "Stop");
}

/// A client that says `bytes`, and the channel on which it hears the answer.
fn say(path: &Path, bytes: &[u8]) -> Channel {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.write_all(bytes).unwrap();
    Channel::new(OwnedFd::from(stream)).unwrap()
}

async fn hear(channel: &mut Channel) -> Option<Message> {
    let heard = timeout(Duration::from_secs(60), channel.next()).await.expect("something is said, or the end comes");
    heard.unwrap().map(|(message, _)| message)
}

async fn refusal(mut channel: Channel) -> ErrorKind {
    match hear(&mut channel).await {
        Some(Message::Answer(Answer::Failed(error))) => error.kind(),
        other => panic!("it was not refused: {other:?}"),
    }
}

fn want(wish: Wish) -> Vec<u8> {
    Message::Want(Want::ours(wish)).encode()
}

/// More than the kernel takes at once.
fn long_status() -> Status {
    let socket = SocketStatus {
        name: "x".repeat(255),
        kind: "TCP listener".into(),
        address: "127.0.0.1:1".into(),
        origin: "bound".into(),
    };
    Status {
        generation: 1,
        pid: 2,
        since: SystemTime::UNIX_EPOCH,
        state: "ready".into(),
        program: "/server".into(),
        program_file: (1, 2),
        sockets: vec![socket; 4000],
        leftovers: Vec::new(),
        connections: Vec::new(),
        draining: Vec::new(),
        last_restart: None,
    }
}

#[tokio::test]
async fn each_wish_is_heard_with_the_pid_and_its_answer_arrives() {
    let (_place, path) = place();
    let mut door = door(&path);
    let successor = Successor { pid: 7, generation: 1 };
    let (asked, ()) = tokio::join!(restart(&path), async {
        let visitor = next(&mut door).await;
        assert_eq!((visitor.wish(), visitor.pid()), (Wish::Restart, std::process::id()));
        visitor.answer(Answer::Replaced(successor.clone()));
    });
    assert_eq!(asked.unwrap(), successor);
    let (asked, ()) = tokio::join!(restart(&path), async {
        let exited = Error::new(ErrorKind::Exited, "exited").with_last_words(None, Some("why".into()));
        next(&mut door).await.answer(Answer::Failed(exited));
    });
    let error = asked.unwrap_err();
    assert_eq!((error.kind(), error.stderr()), (ErrorKind::Exited, Some("why")));
    let (asked, ()) = tokio::join!(stop(&path), async {
        let visitor = next(&mut door).await;
        assert_eq!(visitor.wish(), Wish::Stop);
        visitor.answer(Answer::Stopped { code: 1, report: "cut 1".into() });
    });
    assert_eq!(asked.unwrap(), Stopped { code: 1, report: "cut 1".into() });
}

#[tokio::test]
async fn an_answer_that_the_kernel_does_not_take_at_once_arrives_whole() {
    let (_place, path) = place();
    let mut door = door(&path);
    let sent = long_status();
    let (asked, ()) = tokio::join!(status(&path), async {
        next(&mut door).await.answer(Answer::Status(Box::new(sent.clone())));
    });
    assert_eq!(format!("{:?}", asked.unwrap()), format!("{sent:?}"));
}

#[tokio::test]
async fn a_successor_s_conversation_goes_on_over_the_same_channel() {
    let (_place, path) = place();
    let mut door = door(&path);
    let mut successor = call(&path, Wish::TakeOver, &Allowed::default()).await.unwrap().expect("somebody is there");
    let visitor = next(&mut door).await;
    assert_eq!(visitor.wish(), Wish::TakeOver);
    let mut predecessor = visitor.into_channel();
    predecessor.say(&Message::Commit, Vec::new());
    assert_eq!(hear(&mut successor).await, Some(Message::Commit));
    successor.say(&Message::LetGo, Vec::new());
    assert_eq!(hear(&mut predecessor).await, Some(Message::LetGo));
}

#[tokio::test]
async fn a_visitor_that_is_passed_on_is_answered_by_the_other() {
    let (_place, path) = place();
    let mut door = door(&path);
    let (asked, ()) = tokio::join!(stop(&path), async {
        let (want, socket) = next(&mut door).await.into_socket().expect("nothing more was said");
        let visitor = Visitor::forwarded(want, socket).unwrap();
        assert_eq!((visitor.wish(), visitor.pid()), (Wish::Stop, std::process::id()));
        visitor.answer(Answer::Stopped { code: 0, report: "the newest".into() });
    });
    assert_eq!(asked.unwrap().report, "the newest");
}

#[tokio::test]
async fn what_one_has_said_beside_its_wish_goes_on_with_it() {
    let (_place, path) = place();
    let mut door = door(&path);
    let _client = say(&path, &[&want(Wish::Status)[..], b"more"].concat());
    let (_, socket) = next(&mut door).await.into_socket().expect("nobody has read on");
    let mut more = [0; 8];
    assert_eq!(sys::peek(socket.as_fd(), &mut more).unwrap(), 4);
    assert_eq!(&more[..4], b"more");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_others_are_served() {
    let (_place, path) = place();
    serve(door(&path));
    let later = Want { oldest: 2, newest: 3, wish: Wish::Status, pid: 1 };
    for (bytes, kind) in [
        (b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(), ErrorKind::Protocol),
        (vec![0xff; 100], ErrorKind::Protocol),
        (Message::Commit.encode(), ErrorKind::Protocol),
        (Message::Want(later).encode(), ErrorKind::Version),
        (want(Wish::Other(77)), ErrorKind::Unsupported),
    ] {
        assert_eq!(refusal(say(&path, &bytes)).await, kind, "{bytes:?}");
        is_served(&path).await;
    }
}

#[tokio::test]
async fn a_later_version_s_optional_frame_before_the_wish_is_skipped() {
    let (_place, path) = place();
    serve(door(&path));
    let mut unknown = Message::LetGo.encode();
    unknown[..2].copy_from_slice(&999_u16.to_le_bytes());
    let mut client = say(&path, &[unknown, want(Wish::Stop)].concat());
    assert!(matches!(hear(&mut client).await, Some(Message::Answer(Answer::Stopped { .. }))));
}

#[tokio::test]
async fn whoever_leaves_or_stalls_in_the_middle_of_a_word_delays_nobody() {
    let (_place, path) = place();
    serve(door(&path));
    let word = want(Wish::Stop);
    let stalled: Vec<_> = (0..word.len()).map(|end| say(&path, &word[..end])).take(20).collect();
    for end in 0..word.len() {
        drop(say(&path, &word[..end]));
        is_served(&path).await;
    }
    drop(stalled);
    is_served(&path).await;
}

#[tokio::test]
async fn descriptors_that_come_with_half_a_word_are_closed_while_the_rest_is_waited_for() {
    let (_place, path) = place();
    serve(door(&path));
    let (read, write) = sys::pipe().unwrap();
    let stream = UnixStream::connect(&path).unwrap();
    for byte in &want(Wish::Stop)[..8] {
        sys::send(stream.as_fd(), &[*byte], &[write.as_fd(); sys::MAX_DESCRIPTORS]).unwrap();
    }
    drop(write);
    is_served(&path).await;
    // Waited for: a process that another test spawns has copies of everything until its exec.
    let mut read = tokio::net::unix::pipe::Receiver::from_owned_fd(read).unwrap();
    let end = timeout(Duration::from_secs(60), read.read(&mut [0])).await.expect("no copy of the other end is left");
    assert_eq!(end.unwrap(), 0);
    sys::send(stream.as_fd(), &want(Wish::Stop)[8..], &[]).unwrap();
    let answer = hear(&mut Channel::new(OwnedFd::from(stream)).unwrap()).await;
    assert!(matches!(answer, Some(Message::Answer(Answer::Stopped { .. }))), "it is still there: {answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_visitor_is_sent_away_after_five_seconds() {
    let (_place, path) = place();
    let mut door = door(&path);
    let mut silent = say(&path, b"");
    let start = Instant::now();
    tokio::select! {
        visitor = door.next() => panic!("nothing was said: {visitor:?}"),
        heard = silent.next() => assert!(heard.unwrap().is_none()),
    }
    assert_eq!(start.elapsed().as_secs(), 5);
}

/// A listener that does not listen stands for a process without descriptors: its accept fails at once, each time.
#[tokio::test(start_paused = true)]
async fn an_accept_that_fails_is_tried_again_only_after_a_pause() {
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    socket.set_nonblocking(true).unwrap();
    let listener = UnixListener::from_std(OwnedFd::from(socket).into()).unwrap();
    let mut door = Door::new(listener, Allowed::default());
    // The paused clock stands still while anything runs: if accepting spun, this would never end.
    nobody_comes(&mut door).await;
}

/// What has not happened in an hour does not happen.
async fn nobody_comes(door: &mut Door) {
    let come = timeout(Duration::from_secs(3600), door.next()).await;
    assert!(come.is_err(), "{come:?}");
}

#[tokio::test(start_paused = true)]
async fn the_thirty_third_waits_until_one_is_answered() {
    let (_place, path) = place();
    let mut door = door(&path);
    let clients: Vec<_> = (0..33).map(|_| say(&path, &want(Wish::Restart))).collect();
    let mut visitors = Vec::new();
    for _ in 0..32 {
        visitors.push(next(&mut door).await);
    }
    nobody_comes(&mut door).await;
    visitors.pop().expect("thirty-two").answer(Answer::Stopped { code: 0, report: String::new() });
    visitors.push(next(&mut door).await);
    // A successor is no asker any more.
    let successor = visitors.pop().expect("thirty-two").into_channel();
    let another = say(&path, &want(Wish::Status));
    assert_eq!(next(&mut door).await.wish(), Wish::Status);
    drop((clients, another, successor));
}

#[tokio::test(start_paused = true)]
async fn answers_that_nobody_reads_are_given_up() {
    let (_place, path) = place();
    let mut door = door(&path);
    let clients: Vec<_> = (0..33).map(|_| say(&path, &want(Wish::Status))).collect();
    for _ in 0..32 {
        next(&mut door).await.answer(Answer::Status(Box::new(long_status())));
    }
    // The last one's turn comes when the first answer is given up.
    let start = Instant::now();
    next(&mut door).await;
    assert_eq!(start.elapsed().as_secs(), 5);
    drop(clients);
}

#[tokio::test(start_paused = true)]
async fn who_has_come_before_the_door_is_shut_is_heard_and_nobody_after() {
    let (_place, path) = place();
    let mut door = door(&path);
    let (client, mut late) = (say(&path, b""), UnixStream::connect(&path).unwrap());
    // It takes both in, and hears nothing.
    let come = timeout(Duration::from_secs(1), door.next()).await;
    assert!(come.is_err(), "{come:?}");
    door.shut();
    // Not at once: a process that another test spawns has a copy of the listener until its exec.
    let end = std::time::Instant::now() + Duration::from_secs(60);
    while UnixStream::connect(&path).is_ok() {
        assert!(std::time::Instant::now() < end, "the listener stays open");
    }
    late.write_all(&want(Wish::Stop)).unwrap();
    assert_eq!(next(&mut door).await.wish(), Wish::Stop);
    let begin = Instant::now();
    assert!(door.next().await.is_none(), "when the silent one is given up");
    assert!(begin.elapsed() <= Duration::from_secs(5), "{:?}", begin.elapsed());
    drop(client);
}

/// What a dead server leaves, made without a listener: of one, a process that another test spawns has a copy until its
/// exec.
fn leave_behind(path: &Path) {
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    socket.bind(&socket2::SockAddr::unix(path).unwrap()).unwrap();
}

#[tokio::test]
async fn nobody_is_a_kind_of_its_own_and_no_error_for_a_successor() {
    let (_place, path) = place();
    for left_behind in [false, true] {
        if left_behind {
            leave_behind(&path);
        }
        let error = restart(&path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Nobody);
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        assert!(call(&path, Wish::TakeOver, &Allowed::default()).await.unwrap().is_none());
    }
}

/// A server that says `bytes` to whoever comes, and closes.
fn say_back(path: &Path, bytes: Vec<u8>) {
    let listener = std::os::unix::net::UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // What the client says is read first, or the answer ends in a reset.
        let mut word = vec![0; want(Wish::Status).len()];
        stream.read_exact(&mut word).unwrap();
        stream.write_all(&bytes).unwrap();
    });
}

#[tokio::test]
async fn a_server_that_answers_nothing_or_nonsense_is_an_error() {
    let answer = Message::Answer(Answer::Stopped { code: 0, report: "x".into() }).encode();
    for (bytes, kind) in [
        (Vec::new(), ErrorKind::ChannelClosed),
        (answer[..answer.len() - 1].to_vec(), ErrorKind::Torn),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), ErrorKind::Protocol),
        (Message::Commit.encode(), ErrorKind::Protocol),
        (Message::Answer(Answer::Other(99)).encode(), ErrorKind::Protocol),
        // An answer to something else.
        (answer, ErrorKind::Protocol),
    ] {
        let (_place, path) = place();
        say_back(&path, bytes.clone());
        assert_eq!(status(&path).await.unwrap_err().kind(), kind, "{bytes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_given_up_by_whoever_asks_for_its_status() {
    let (_place, path) = place();
    let _silent = UnixListener::bind(&path).unwrap();
    assert_eq!(status(&path).await.unwrap_err().kind(), ErrorKind::Deadline);
}

/// Not a test: a process of another user's, which asks at the path in `HR_PATH` as soon as its input ends, or listens
/// there until then.
#[test]
#[ignore = "the other user's process, which the next tests start"]
#[allow(clippy::print_stdout, reason = "it tells the test that has started it")]
fn another_user() {
    let path = PathBuf::from(std::env::var_os("HR_PATH").expect("a path"));
    if std::env::var_os("HR_LISTEN").is_some() {
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        println!("\nlistening");
        let answer = Message::Answer(Answer::Stopped { code: 0, report: "another user's".into() }).encode();
        for stream in listener.incoming() {
            // One that trusts nobody here has gone already.
            let _ = stream.unwrap().write_all(&answer);
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let asked = runtime.block_on(stop(&path));
    println!("\nasked: {:?}", asked.map(|stopped| stopped.report).map_err(|error| error.kind()));
}

/// That process. Only root can start one.
fn start_another_user(path: &Path, uid: u32, listen: bool) -> Option<std::process::Child> {
    if sys::effective_uid() != 0 {
        // Not by `eprintln!`, whose words nobody sees of a test that passes.
        writeln!(io::stderr(), "not run: only root can start a process of another user's").unwrap();
        return None;
    }
    let this = std::env::current_exe().unwrap();
    let mut command = Command::new(this);
    command.args(["--exact", "control::tests::another_user", "--ignored", "--nocapture"]).env("HR_PATH", path);
    if listen {
        command.env("HR_LISTEN", "1");
    }
    Some(command.uid(uid).stdout(Stdio::piped()).spawn().unwrap())
}

fn open_to_all(path: &Path) {
    fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
}

const ANOTHER: u32 = 123_456;

#[tokio::test(flavor = "multi_thread")]
async fn another_user_is_answered_only_if_named() {
    for (allowed, expected) in
        [(Allowed::default(), "asked: Err(Denied)"), (Allowed::new([ANOTHER]), "asked: Ok(\"Stop\")")]
    {
        let (place, path) = place();
        let door = Door::new(UnixListener::bind(&path).unwrap(), allowed);
        serve(door);
        open_to_all(place.path());
        open_to_all(&path);
        let Some(process) = start_another_user(&path, ANOTHER, false) else { return };
        let output = tokio::task::spawn_blocking(|| process.wait_with_output()).await.unwrap().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains(expected), "{said}");
    }
}

#[tokio::test]
async fn a_server_of_another_user_s_is_trusted_only_if_named_or_owner_of_the_directory() {
    let (place, path) = place();
    open_to_all(place.path());
    let Some(mut process) = start_another_user(&path, ANOTHER, true) else { return };
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    lines.find(|line| line.as_ref().unwrap() == "listening").expect("it listens").unwrap();
    let error = stop(&path).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    let error = call(&path, Wish::TakeOver, &Allowed::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(call(&path, Wish::TakeOver, &Allowed::new([ANOTHER])).await.unwrap().is_some());
    std::os::unix::fs::chown(place.path(), Some(ANOTHER), None).unwrap();
    assert_eq!(stop(&path).await.unwrap().report, "another user's");
    process.kill().unwrap();
    process.wait().unwrap();
}

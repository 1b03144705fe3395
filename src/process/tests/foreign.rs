//! Successors that know only how systemd passes sockets: shell scripts, each in the place of a program.

#![allow(clippy::disallowed_methods)] // nix wants the numbers of the sockets over which notices are said

use std::{
    fs::File,
    io::Read,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::PermissionsExt,
    },
    path::Path,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use nix::{
    fcntl::OFlag,
    sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, send, socket},
};
use tracing_subscriber::layer::SubscriberExt;

use super::*;
use crate::{
    ErrorKind,
    log::capture::subscribe,
    phase::Event,
    process::{Lingering, Program, Successor},
    sys::{self, Kinship},
};

/// Where a script finds and leaves its files.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// The program is a shell, and its script an argument: a script's file that was just written could not be executed
    /// while a process that another test starts has it open.
    fn script(&self, script: &str) -> Program {
        let script = script.replace("$HERE", self.path().to_str().unwrap());
        Program::of_this_process()
            .unwrap()
            .with_program("/bin/sh".as_ref())
            .with_arguments(vec!["-c".into(), script.into()])
    }

    fn start(&self, script: &str, names: &[&str], alive: Option<Duration>) -> Successor {
        Successor::foreign(&self.script(script), legacy(names), Kinship::Child, alive).unwrap()
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).unwrap()
    }
}

async fn next(successor: &mut Successor) -> Event {
    timeout(PATIENCE, successor.next()).await.expect("something happens").expect("it is offered nothing")
}

/// Spawned, and accepted without being asked.
async fn begun(successor: &mut Successor) {
    assert!(matches!(next(successor).await, Event::Spawned));
    assert!(matches!(next(successor).await, Event::Accepted));
}

async fn exits(successor: &mut Successor, code: i32) {
    let Event::Ended(Some(status)) = next(successor).await else { panic!("it ends") };
    assert_eq!(status.code(), Some(code));
}

#[tokio::test]
async fn finds_its_sockets_by_their_names_from_3_on_and_not_the_control_listener() {
    let place = Place::new();
    let script = "
        [ \"$LISTEN_PID\" = $$ ] || exit 11
        [ \"$LISTEN_FDS\" = 2 ] || exit 12
        [ \"$LISTEN_FDNAMES\" = http:dns ] || exit 13
        [ -z \"$TOKIO_HOTRESTART_CHANNEL$WATCHDOG_PID$WATCHDOG_USEC\" ] || exit 14
        [ -e /proc/self/fd/4 ] || exit 15
        cat <&3 > $HERE/first; cat <&4 > $HERE/second";
    let mut legacy = legacy(&["http", "control", "dns"]);
    legacy.sockets[1].0.kind = SocketKind::Control;
    for ((socket, file), text) in legacy.sockets.iter_mut().zip(["one", "no", "two"]) {
        let path = place.path().join(socket.name.as_str());
        std::fs::write(&path, text).unwrap();
        *file = Arc::new(File::open(path).unwrap().into());
    }
    let mut successor = Successor::foreign(&place.script(script), legacy, Kinship::Child, None).unwrap();
    assert!(successor.is_spawned());
    begun(&mut successor).await;
    exits(&mut successor, 0).await;
    assert_eq!((place.read("first").as_str(), place.read("second").as_str()), ("one", "two"));
}

/// This process's own parent, whoever that is, need not reap it: nobody waits for that for long.
#[tokio::test]
async fn a_sibling_finds_its_own_pid_too_and_its_end_is_seen_reaped_or_not() {
    let place = Place::new();
    let program = place.script("[ \"$LISTEN_PID\" = $$ ] && echo $PPID > $HERE/parent");
    let mut successor = Successor::foreign(&program, legacy(&["http"]), Kinship::Sibling, None).unwrap();
    begun(&mut successor).await;
    let Event::Ended(status) = next(&mut successor).await else { panic!("it ends") };
    assert!(status.is_none_or(|status| status.success()), "{status:?}");
    assert_eq!(place.read("parent").trim(), nix::unistd::getppid().to_string());
}

// ---------------------------------------------------------------------------------------------------- what it says

/// Not a test: what a script becomes to say `NOTICES` to `NOTIFY_SOCKET`, one datagram for each line, and to end.
#[test]
#[ignore = "started by the tests after it"]
fn one_that_says_its_notices() {
    let address = std::env::var("NOTIFY_SOCKET").unwrap();
    let address = UnixAddr::new_abstract(address.strip_prefix('@').unwrap().as_bytes()).unwrap();
    let socket = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).unwrap();
    connect(socket.as_raw_fd(), &address).unwrap();
    for notice in std::env::var("NOTICES").unwrap().lines() {
        send(socket.as_raw_fd(), notice.replace(';', "\n").as_bytes(), MsgFlags::empty()).unwrap();
    }
}

/// The line of shell that becomes that.
fn says(notices: &str) -> String {
    let this = std::env::current_exe().unwrap();
    let arguments = "process::tests::foreign::one_that_says_its_notices --exact --ignored --quiet";
    format!("NOTICES='{notices}' exec '{}' {arguments} > /dev/null\n", this.display())
}

#[tokio::test]
async fn is_ready_when_it_says_so_and_has_claimed_everything() {
    let mut successor = Place::new().start(&says("STATUS=loading\nREADY=1\nREADY=1"), &["http", "dns"], None);
    begun(&mut successor).await;
    assert!(successor.claimed().is_empty());
    assert!(matches!(next(&mut successor).await, Event::Ready));
    assert_eq!(successor.claimed(), ["http", "dns"].map(|name| Name::new(name).unwrap()));
    exits(&mut successor, 0).await;
    assert_eq!(successor.claimed().len(), 2, "which is still known after its end");
}

#[tokio::test]
async fn what_it_said_before_its_end_is_heard_before_its_end() {
    let mut successor =
        Place::new().start(&says("EXTEND_TIMEOUT_USEC=1500000\nREADY=1\nSTOPPING=1;STATUS=no config"), &[], None);
    begun(&mut successor).await;
    assert!(matches!(next(&mut successor).await, Event::NeedsTime(time) if time == Duration::from_millis(1500)));
    assert!(matches!(next(&mut successor).await, Event::Ready));
    assert!(matches!(next(&mut successor).await, Event::Stopping(why) if why == "no config"));
    exits(&mut successor, 0).await;
}

#[tokio::test]
async fn what_another_process_says_does_not_count() {
    let another = says("READY=1\nSTOPPING=1");
    let script = format!("( {another} )\n{}", says("EXTEND_TIMEOUT_USEC=7"));
    let mut successor = Place::new().start(&script, &[], None);
    begun(&mut successor).await;
    assert!(matches!(next(&mut successor).await, Event::NeedsTime(time) if time == Duration::from_micros(7)));
    exits(&mut successor, 0).await;
}

#[tokio::test]
async fn is_ready_when_it_has_been_alive_for_long_enough() {
    let mut successor = Place::new().start("exec sleep 600", &["http"], Some(Duration::from_millis(1)));
    begun(&mut successor).await;
    assert!(matches!(next(&mut successor).await, Event::Ready));
    assert_eq!(successor.claimed().len(), 1);
    successor.kill();
    let Event::Ended(Some(status)) = next(&mut successor).await else { panic!("it ends") };
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
}

#[tokio::test]
async fn is_not_ready_by_its_age_when_it_has_ended_before() {
    let mut successor = Place::new().start("exit 3", &["http"], Some(PATIENCE));
    begun(&mut successor).await;
    exits(&mut successor, 3).await;
}

#[tokio::test]
async fn is_taken_back_with_sigterm() {
    let (told, tell) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
    let (never, _held) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
    let mut legacy = legacy(&["tell", "never"]);
    legacy.sockets[0].1 = Arc::new(tell);
    legacy.sockets[1].1 = Arc::new(never);
    let script = "trap 'exit 5' TERM; echo trapped >&3; read nothing <&4; exit 6";
    let mut successor = Successor::foreign(&Place::new().script(script), legacy, Kinship::Child, None).unwrap();
    begun(&mut successor).await;
    successor.say(&Message::Commit, Vec::new());
    tokio::task::spawn_blocking(move || File::from(told).read_exact(&mut [0; 8]).unwrap()).await.unwrap();
    successor.say(&Message::Abort { why: "the predecessor was stopped".into() }, Vec::new());
    exits(&mut successor, 5).await;
}

/// A stop that comes while it is being started: `exit` ends the thread that starts it, and the program would have sockets and
/// no owner.
#[tokio::test]
async fn is_killed_and_waited_for_though_it_was_only_being_started() {
    let place = Place::new();
    let (mut read, write) = sys::pipe().map(|(read, write)| (File::from(read), write)).unwrap();
    let mut legacy = legacy(&["http"]);
    legacy.sockets[0].1 = Arc::new(write);
    let successor = Successor::foreign(&place.script("exec sleep 60"), legacy, Kinship::Child, None).unwrap();
    let mut lingering = Lingering::default();
    lingering.add(successor, tokio::time::Instant::now() + PATIENCE);
    assert!(!lingering.is_empty());
    timeout(PATIENCE, lingering.next()).await.expect("it is over");
    assert!(lingering.is_empty());
    assert_eq!(read.read(&mut [0]).unwrap(), 0, "nobody has its socket any more");
}

#[tokio::test]
async fn one_that_can_not_be_started_is_not_waited_for() {
    let place = Place::new();
    let garbage = place.path().join("garbage");
    std::fs::write(&garbage, "no program").unwrap();
    std::fs::set_permissions(&garbage, std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = Program::of_this_process().unwrap().with_program(garbage.as_os_str());
    let successor = Successor::foreign(&program, legacy(&["http"]), Kinship::Child, None).unwrap();
    let mut lingering = Lingering::default();
    lingering.add(successor, tokio::time::Instant::now() + PATIENCE);
    timeout(PATIENCE, lingering.next()).await.expect("it is over");
    assert!(lingering.is_empty());
}

/// The second one hurries many a server.
#[tokio::test]
async fn is_told_with_one_sigterm_however_often_it_is_taken_back() {
    let (told, tell) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
    let (never, held) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
    let mut legacy = legacy(&["tell", "never"]);
    legacy.sockets[0].1 = Arc::new(tell);
    legacy.sockets[1].1 = Arc::new(never);
    let drains = "trap \"exit 7\" TERM; echo told >&3; read nothing <&4; exit 5";
    let script = format!("trap '{drains}' TERM; echo ready >&3; read nothing <&4; exit 6");
    let mut successor = Successor::foreign(&Place::new().script(&script), legacy, Kinship::Child, None).unwrap();
    begun(&mut successor).await;
    let mut told = File::from(told);
    let mut said = [0; 6];
    told.read_exact(&mut said).unwrap();
    successor.say(&Message::Abort { why: "it was not ready by its deadline".into() }, Vec::new());
    told.read_exact(&mut said[..5]).unwrap();
    successor.say(&Message::Abort { why: "the predecessor was stopped".into() }, Vec::new());
    drop(held);
    exits(&mut successor, 5).await;
}

// ------------------------------------------------------------------------------------------------- what can't be started

#[tokio::test]
async fn a_program_that_is_missing_or_may_not_be_executed_is_told_before_a_shell_is_started() {
    let start = |path: &str| {
        let program = Program::of_this_process().unwrap().with_program(path.as_ref());
        Successor::foreign(&program, legacy(&[]), Kinship::Child, None).unwrap_err().kind()
    };
    assert_eq!(start("/nowhere/server"), ErrorKind::ProgramMissing);
    assert_eq!(start("/etc/passwd"), ErrorKind::NotExecutable);
}

#[test]
fn where_there_is_no_shell_the_error_names_it() {
    let error = Program::shell_not_started(std::io::Error::from_raw_os_error(libc::ENOENT));
    assert_eq!(error.kind(), ErrorKind::Spawn);
    assert!(error.message().starts_with("start /bin/sh, which tells"), "{error}");
}

/// Says something whenever something is logged, which is whenever it was heard: as fast as it is read, however fast that is.
struct Again {
    from: OwnedFd,
    times: Arc<AtomicUsize>,
}

/// More than is heard of a flood at a time, by far. Who hears all of them would hear a flood that has no end without end.
const FLOOD: usize = 100_000;

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Again {
    fn on_event(&self, _: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        if self.times.fetch_add(1, Relaxed) < FLOOD {
            send(self.from.as_raw_fd(), b"READY=1", MsgFlags::MSG_DONTWAIT).expect("what was read has made room");
        }
    }
}

/// Whoever is on this host can send to it, as fast as it likes.
#[tokio::test]
async fn a_flood_of_strangers_notices_holds_nobody_up() {
    let (mut notices, address) = crate::process::notices::Notices::open(Vec::new(), None).unwrap();
    assert!(matches!(notices.next_now(), Some(Event::Accepted)), "it is not asked");
    let to = UnixAddr::new_abstract(address.to_str().unwrap().strip_prefix('@').unwrap().as_bytes()).unwrap();
    let from = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).unwrap();
    connect(from.as_raw_fd(), &to).unwrap();
    send(from.as_raw_fd(), b"READY=1", MsgFlags::empty()).unwrap();
    let heard = Arc::<AtomicUsize>::default();
    let _until = subscribe(tracing_subscriber::registry().with(Again { from, times: Arc::clone(&heard) }));
    let others = async {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        event = notices.next() => panic!("nobody of its has said anything: {event:?}"),
        () = others => {}
    }
    assert!((1..1_000).contains(&heard.load(Relaxed)), "others have their turns");
    assert!(notices.next_now().is_none(), "nor does a deadline hear it without end");
    assert!(heard.load(Relaxed) < FLOOD);
}

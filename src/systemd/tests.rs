//! A manager of our own at the other end.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, IoSliceMut},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    path::Path,
    sync::Arc,
    time::Duration,
};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixCredentials, recvmsg, setsockopt, sockopt::PassCred};
use tempfile::TempDir;
use tokio::time::{Instant, timeout};

use super::{Activation, Environment, Notice, Notifier, Watchdog};
use crate::{ErrorKind, name::Name, sys};

/// As systemd listens: it drops what comes without credentials.
struct Manager {
    socket: UnixDatagram,
    environment: Environment,
    _place: Option<TempDir>,
}

impl Manager {
    fn at_a_path() -> Self {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("notify");
        Self::of(UnixDatagram::bind(&path).unwrap(), path.into(), Some(place))
    }

    fn at_an_abstract_name() -> Self {
        // Whose inode nobody else has.
        let place = tempfile::tempdir().unwrap();
        let name = place.path().file_name().unwrap().to_str().unwrap().to_owned();
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        Self::of(UnixDatagram::bind_addr(&address).unwrap(), format!("@{name}").into(), Some(place))
    }

    fn of(socket: UnixDatagram, name: OsString, _place: Option<TempDir>) -> Self {
        setsockopt(&socket, PassCred, &true).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self { socket, environment: environment(&name), _place }
    }

    fn notifier(&self) -> Notifier {
        Notifier::of(&self.environment).unwrap().unwrap()
    }

    /// The next datagram, if one lies there.
    fn hear_now(&self) -> Option<(String, Vec<OwnedFd>)> {
        let (mut bytes, mut descriptors) = ([0; 4096], Vec::new());
        match sys::receive(self.socket.as_fd(), &mut bytes, &mut descriptors) {
            Ok(received) => Some((String::from_utf8(bytes[..received.bytes].to_vec()).unwrap(), descriptors)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }

    #[track_caller]
    fn heard(&self) -> String {
        self.hear_now().expect("something was said").0
    }

    /// The next datagram and who sent it, as the kernel says.
    #[allow(clippy::disallowed_methods, reason = "nix's recvmsg takes a number")]
    fn heard_from(&self) -> (String, i32) {
        let mut bytes = [0; 4096];
        let mut slices = [IoSliceMut::new(&mut bytes)];
        let mut control = nix::cmsg_space!(UnixCredentials);
        let flags = MsgFlags::empty();
        let message = recvmsg::<()>(self.socket.as_raw_fd(), &mut slices, Some(&mut control), flags).unwrap();
        let sender = message.cmsgs().unwrap().find_map(|control| match control {
            ControlMessageOwned::ScmCredentials(it) => Some(it.pid()),
            _ => None,
        });
        let count = message.bytes;
        (String::from_utf8(bytes[..count].to_vec()).unwrap(), sender.expect("credentials"))
    }
}

fn environment(notify_socket: impl AsRef<Path>) -> Environment {
    Environment { notify_socket: Some(notify_socket.as_ref().into()), ..Environment::default() }
}

fn name(name: &str) -> Name {
    Name::new(name).unwrap()
}

/// A barrier that is through.
async fn passes(notifier: &mut Notifier) {
    timeout(Duration::from_secs(10), notifier.next()).await.expect("the barrier is through");
}

/// What is not ready now, after the runtime has had every chance to say so, is not.
async fn stands(notifier: &mut Notifier) {
    for _ in 0..64 {
        tokio::select! {
            biased;
            () = notifier.next() => panic!("nobody has closed the barrier"),
            () = tokio::task::yield_now() => {}
        }
    }
}

#[tokio::test]
async fn a_datagram_bears_all_that_was_said_together_and_the_pid_of_this_process() {
    for manager in [Manager::at_a_path(), Manager::at_an_abstract_name()] {
        let mut notifier = manager.notifier();
        notifier.say(&[Notice::Ready, Notice::Status("generation 0"), Notice::MainPid(7)]);
        let said = "READY=1\nSTATUS=generation 0\nMAINPID=7".to_owned();
        assert_eq!(manager.heard_from(), (said, std::process::id() as i32));
        notifier.say(&[Notice::Stopping, Notice::ExtendTimeout(Duration::from_millis(3)), Notice::Watchdog]);
        assert_eq!(manager.heard(), "STOPPING=1\nEXTEND_TIMEOUT_USEC=3000\nWATCHDOG=1");
    }
}

#[tokio::test]
async fn a_reload_says_when_it_began_in_the_same_datagram() {
    let manager = Manager::at_a_path();
    let mut notifier = manager.notifier();
    let mut last: u64 = 0;
    for _ in 0..2 {
        notifier.say(&[Notice::Reloading]);
        let said = manager.heard();
        let time = said.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("both").parse().unwrap();
        // By the clock that counts from boot, which /proc/uptime shows.
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        assert!(time > last && time as f64 / 1e6 < uptime + 1.0, "{time} after {last}, up for {uptime}");
        last = time;
    }
}

#[tokio::test]
async fn a_status_is_one_line_and_never_too_long_for_the_manager() {
    let manager = Manager::at_a_path();
    let mut notifier = manager.notifier();
    notifier.say(&[Notice::Status("two\nMAINPID=1\r\n")]);
    assert_eq!(manager.heard(), "STATUS=two MAINPID=1  ");
    notifier.say(&[Notice::Ready, Notice::Status(&"é".repeat(3000))]);
    let said = manager.heard();
    assert!(said.starts_with("READY=1\nSTATUS=éé") && said.len() < 4096, "{}", said.len());
}

#[tokio::test]
async fn a_manager_that_does_not_read_blocks_nobody_and_later_hears_all_in_order() {
    let manager = Manager::at_a_path();
    let mut notifier = manager.notifier();
    let file = Arc::new(OwnedFd::from(tempfile::tempfile().unwrap()));
    // The kernel's queue takes 10 by default, and up to thousands where somebody has raised it.
    let most: u32 = std::fs::read_to_string("/proc/sys/net/unix/max_dgram_qlen").unwrap().trim().parse().unwrap();
    let count = 3 * (most + 1);
    for number in 0..count {
        notifier.say(&[Notice::MainPid(number), Notice::Status(&format!("number {number}"))]);
        notifier.store(&name(&format!("socket {number}")), Arc::clone(&file));
    }
    notifier.say(&[Notice::Status("the newest")]);
    notifier.barrier();
    stands(&mut notifier).await;

    // Reads while the notifier is awaited, and wakes it by that only.
    let reader = tokio::task::spawn_blocking(move || {
        let (mut heard, mut numbers, mut stored) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            let mut seen = nix::poll::PollFd::new(manager.socket.as_fd(), nix::poll::PollFlags::POLLIN);
            assert_eq!(nix::poll::poll(std::slice::from_mut(&mut seen), 10_000_u16), Ok(1), "more is said");
            let Some((said, descriptors)) = manager.hear_now() else { continue };
            if said == "BARRIER=1" {
                return (heard, numbers, stored);
            }
            if let Some(it) = said.strip_prefix("MAINPID=") {
                numbers.push(it.lines().next().unwrap().parse::<u32>().unwrap());
            } else if let Some(it) = said.strip_prefix("FDSTORE=1\nFDNAME=socket ") {
                assert_eq!(descriptors.len(), 1);
                stored.push(it.strip_suffix("\nFDPOLL=0").unwrap().parse::<u32>().unwrap());
            }
            heard.push(said);
        }
    });
    passes(&mut notifier).await;
    let (heard, numbers, stored) = reader.await.unwrap();
    assert_eq!(numbers, (0..count).collect::<Vec<_>>());
    assert_eq!(stored, (0..count).collect::<Vec<_>>());
    assert_eq!(heard.last().map(String::as_str), Some("STATUS=the newest"));
    let statuses = heard.iter().filter(|said| said.contains("STATUS=number")).count();
    assert!(statuses < numbers.len(), "a newer status takes the place of those that still wait: {statuses}");
}

#[tokio::test]
async fn a_barrier_is_through_when_the_manager_has_closed_it() {
    let manager = Manager::at_a_path();
    let mut notifier = manager.notifier();
    notifier.say(&[Notice::MainPid(7)]);
    notifier.barrier();
    assert_eq!(manager.heard(), "MAINPID=7");
    let (said, end) = manager.hear_now().unwrap();
    assert_eq!((said.as_str(), end.len()), ("BARRIER=1", 1));
    stands(&mut notifier).await;
    drop(end);
    passes(&mut notifier).await;
    // And there is none any more.
    stands(&mut notifier).await;
}

#[tokio::test]
async fn a_later_barrier_covers_an_earlier_one() {
    let manager = Manager::at_a_path();
    let mut notifier = manager.notifier();
    notifier.barrier();
    notifier.barrier();
    drop(manager.hear_now().unwrap());
    stands(&mut notifier).await;
    drop(manager.hear_now().unwrap());
    passes(&mut notifier).await;
}

#[tokio::test]
async fn without_a_manager_a_barrier_is_through() {
    let manager = Manager::at_a_path();
    let mut notifier = manager.notifier();
    drop(manager);
    notifier.say(&[Notice::Ready]);
    notifier.barrier();
    passes(&mut notifier).await;
    let mut nobody = Notifier::of(&environment("/nonexistent/notify")).unwrap().unwrap();
    nobody.barrier();
    passes(&mut nobody).await;
}

#[tokio::test]
async fn a_barrier_in_the_queue_of_a_manager_that_dies_is_through() {
    let manager = Manager::at_a_path();
    let mut notifier = manager.notifier();
    notifier.barrier();
    stands(&mut notifier).await;
    drop(manager);
    passes(&mut notifier).await;
}

#[tokio::test]
async fn what_waits_for_a_manager_that_dies_is_given_up() {
    let manager = Manager::at_a_path();
    let mut notifier = manager.notifier();
    for number in 0..10_000 {
        notifier.say(&[Notice::MainPid(number)]);
    }
    notifier.barrier();
    stands(&mut notifier).await;
    drop(manager);
    passes(&mut notifier).await;
}

#[tokio::test]
async fn a_manager_that_has_come_back_is_heard_again() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("notify");
    let mut notifier = Notifier::of(&environment(&path)).unwrap().unwrap();
    notifier.say(&[Notice::MainPid(1)]);
    for pid in 2..4 {
        let manager = Manager::of(UnixDatagram::bind(&path).unwrap(), path.clone().into(), None);
        notifier.say(&[Notice::MainPid(pid)]);
        assert_eq!(manager.heard(), format!("MAINPID={pid}"));
        std::fs::remove_file(&path).unwrap();
    }
}

#[tokio::test]
async fn a_descriptor_is_kept_under_its_name_and_given_back() {
    let manager = Manager::at_an_abstract_name();
    let mut notifier = manager.notifier();
    let file = tempfile::tempfile().unwrap();
    let identity = sys::identity(&file).unwrap();
    notifier.store(&name("http"), Arc::new(file.into()));
    let (said, kept) = manager.hear_now().unwrap();
    assert_eq!(said, "FDSTORE=1\nFDNAME=http\nFDPOLL=0");
    let kept: Vec<_> = kept.into_iter().map(File::from).map(|file| sys::identity(file).unwrap()).collect();
    assert_eq!(kept, [identity]);
    notifier.remove(&name("http"));
    assert_eq!(manager.heard(), "FDSTOREREMOVE=1\nFDNAME=http");
}

#[tokio::test]
async fn a_family_that_we_do_not_speak_is_a_clear_error_and_no_variable_is_no_manager() {
    let error = Notifier::of(&environment("vsock:2:9999")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("vsock:2:9999"), "{error}");
    let error = Notifier::of(&environment(format!("/{}", "x".repeat(200)))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Socket);
    assert!(Notifier::of(&Environment::default()).unwrap().is_none());
}

fn watched(usec: &str, pid: Option<u32>) -> Option<Duration> {
    let watchdog_pid = pid.map(|pid| pid.to_string().into());
    Environment { watchdog_usec: Some(usec.into()), watchdog_pid, ..Environment::default() }.watchdog_interval()
}

#[test]
fn the_watchdog_is_for_the_process_that_it_names() {
    let this = std::process::id();
    let second = Some(Duration::from_secs(1));
    assert_eq!(watched("1000000", Some(this)), second);
    assert_eq!(watched("1000000", None), second);
    assert_eq!(watched("1000000", Some(this + 1)), None);
    for none in ["", "0", "x", "-1", "18446744073709551615"] {
        assert_eq!(watched(none, None), None, "{none:?}");
    }
    assert_eq!(Environment::default().watchdog_interval(), None);
}

#[tokio::test(start_paused = true)]
async fn the_watchdog_ticks_at_once_and_then_at_half_its_interval() {
    let mut watchdog = Watchdog::new(Some(Duration::from_secs(3)));
    let start = Instant::now();
    for half in 0..4 {
        watchdog.tick().await;
        assert_eq!(start.elapsed(), half * Duration::from_millis(1500));
    }
    // Suspended for long: one tick, and then at half the interval again.
    tokio::time::advance(Duration::from_secs(60)).await;
    watchdog.tick().await;
    let start = Instant::now();
    watchdog.tick().await;
    assert_eq!(start.elapsed(), Duration::from_millis(1500));
}

#[tokio::test(start_paused = true)]
async fn without_an_interval_the_watchdog_never_ticks() {
    let mut watchdog = Watchdog::new(None);
    timeout(Duration::from_secs(3600), watchdog.tick()).await.unwrap_err();
}

#[test]
fn descriptors_are_offered_to_the_process_that_they_name() {
    let offered = |pid: u32, count: &str| {
        let (listen_pid, listen_fds) = (Some(pid.to_string().into()), Some(count.into()));
        Activation::of(&Environment { listen_pid, listen_fds, ..Environment::default() })
    };
    assert!(offered(std::process::id(), "1").is_some());
    assert!(offered(std::process::id() + 1, "1").is_none());
    assert!(offered(std::process::id(), "many").is_none());
    assert!(Activation::of(&Environment::default()).is_none());
}

/// Not a test: what the next one starts. It says which descriptors it was given.
#[test]
#[ignore = "the process that another test activates"]
#[allow(clippy::print_stdout, reason = "by which the other test learns it")]
fn activated() {
    let activation = Activation::of(&Environment::of_this_process());
    for (name, descriptor) in activation.map(Activation::take).unwrap_or_default() {
        println!("[{name}: {}]", io::read_to_string(File::from(descriptor)).unwrap());
    }
}

#[test]
fn descriptors_come_through_an_exec_with_their_names_and_only_to_the_process_that_is_meant() {
    let place = tempfile::tempdir().unwrap();
    for file in ["one", "two"] {
        std::fs::write(place.path().join(file), file).unwrap();
    }
    let given = |variables: &str, descriptors: &str| {
        let this = std::env::current_exe().unwrap();
        let run = "exec \"$0\" systemd::tests::activated --exact --ignored --nocapture";
        let output = std::process::Command::new("sh")
            .args(["-c", &format!("export {variables}; {run} {descriptors}")])
            .arg(this)
            .current_dir(&place)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        let given = said.split('[').skip(1).map(|rest| rest.split(']').next().unwrap().to_owned());
        given.collect::<Vec<_>>()
    };
    let both = "3<one 4<two";
    assert_eq!(given("LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=http:admin", both), ["http: one", "admin: two"]);
    // As systemfd has it.
    assert_eq!(given("LISTEN_FDS=2", both), ["unknown: one", "unknown: two"]);
    // A grandchild of whom systemd started, with descriptors or without.
    assert_eq!(given("LISTEN_PID=1 LISTEN_FDS=2", both), [""; 0]);
    assert_eq!(given("LISTEN_FDS=2", "3<one 4<&-"), [""; 0]);
    assert_eq!(given("LISTEN_FDS=2 LISTEN_FDNAMES=http", both), [""; 0]);
}

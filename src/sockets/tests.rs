//! Every kind and every wrong one, paths and those who race for them, what is found by which name.

use std::{
    collections::HashSet,
    ffi::OsStr,
    fmt::Debug,
    fs,
    io::{self, Read, Seek, Write},
    net::{self, SocketAddr},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{
            fs::{MetadataExt, PermissionsExt},
            net as unix,
        },
    },
    path::Path,
    sync::{Arc, Barrier},
};

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use socket2::{Domain, SockAddr, SockRef, Type};
use tempfile::TempDir;
use tokio::net::{TcpListener, UdpSocket, UnixDatagram, UnixListener, unix::pipe};

use super::{ControlListener, kind::Kind, *};
use crate::{
    Error, ErrorKind,
    channel::Channel,
    name::Name,
    sys::{self, Identity},
    wire::{self, Message, Origin, SocketKind},
};

// ------------------------------------------------------------------------------------------------------------- kinds

fn tcp() -> OwnedFd {
    net::TcpListener::bind("127.0.0.1:0").unwrap().into()
}

fn udp() -> OwnedFd {
    net::UdpSocket::bind("127.0.0.1:0").unwrap().into()
}

fn at(place: &TempDir, name: &str) -> std::path::PathBuf {
    place.path().join(name)
}

fn unix_listener(place: &TempDir) -> OwnedFd {
    unix::UnixListener::bind(at(place, "listener")).unwrap().into()
}

fn unix_datagram(place: &TempDir) -> OwnedFd {
    unix::UnixDatagram::bind(at(place, "datagram")).unwrap().into()
}

fn seqpacket(place: &TempDir) -> OwnedFd {
    let socket = socket2::Socket::new(Domain::UNIX, Type::SEQPACKET, None).unwrap();
    socket.bind(&SockAddr::unix(at(place, "seqpacket")).unwrap()).unwrap();
    socket.listen(8).unwrap();
    socket.into()
}

fn pipe() -> (OwnedFd, OwnedFd) {
    sys::pipe().unwrap()
}

fn fifo(place: &TempDir) -> OwnedFd {
    let path = at(place, "fifo");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::OpenOptions::new().read(true).write(true).open(path).unwrap().into()
}

fn file() -> OwnedFd {
    tempfile::tempfile().unwrap().into()
}

fn is_blocking(descriptor: impl AsFd) -> bool {
    !OFlag::from_bits_retain(fcntl(descriptor, FcntlArg::F_GETFL).unwrap()).contains(OFlag::O_NONBLOCK)
}

fn closes_on_exec(descriptor: impl AsFd) -> bool {
    FdFlag::from_bits_retain(fcntl(descriptor, FcntlArg::F_GETFD).unwrap()).contains(FdFlag::FD_CLOEXEC)
}

/// As another process passes it: blocking, and open for whoever is started next.
fn as_passed(descriptor: OwnedFd) -> OwnedFd {
    sys::set_blocking(&descriptor, true).unwrap();
    fcntl(&descriptor, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    descriptor
}

/// It is adopted as the same open file, never blocks if it is tokio's, and is recognised as this.
#[track_caller]
fn is_adopted<S: Socket + Debug>(descriptor: OwnedFd, as_what: SocketKind) {
    let descriptor = as_passed(descriptor);
    let identity = sys::identity(&descriptor).unwrap();
    assert_eq!(Kind::inspect(descriptor.as_fd()).code, as_what);
    let adopted = adopt::<S>(descriptor).unwrap();
    assert_eq!(sys::identity(&adopted).unwrap(), identity);
    assert_eq!(is_blocking(&adopted), S::KIND.code == SocketKind::Descriptor);
    assert!(closes_on_exec(&adopted));
}

#[tokio::test]
async fn each_kind_is_adopted_and_recognised() {
    let place = tempfile::tempdir().unwrap();
    is_adopted::<TcpListener>(tcp(), SocketKind::TcpListener);
    is_adopted::<TcpListener>(net::TcpListener::bind("[::1]:0").unwrap().into(), SocketKind::TcpListener);
    is_adopted::<UnixListener>(unix_listener(&place), SocketKind::UnixListener);
    is_adopted::<UdpSocket>(udp(), SocketKind::UdpSocket);
    is_adopted::<UnixDatagram>(unix_datagram(&place), SocketKind::UnixDatagram);
    is_adopted::<OwnedFd>(seqpacket(&place), SocketKind::SeqpacketListener);
    let (read, write) = pipe();
    is_adopted::<pipe::Receiver>(read, SocketKind::PipeReader);
    is_adopted::<pipe::Sender>(write, SocketKind::PipeWriter);
    is_adopted::<OwnedFd>(file(), SocketKind::Descriptor);
    let both = fifo(&place);
    is_adopted::<pipe::Receiver>(both.try_clone().unwrap(), SocketKind::Descriptor);
    is_adopted::<pipe::Sender>(both, SocketKind::Descriptor);
}

/// It comes back as it was, and the error says what is wrong.
#[track_caller]
fn is_refused<S: Socket + Debug>(descriptor: OwnedFd, why: &str) {
    let descriptor = as_passed(descriptor);
    let identity = sys::identity(&descriptor).unwrap();
    let refused = adopt::<S>(descriptor).unwrap_err();
    assert!(refused.to_string().ends_with(why), "{refused}");
    assert_eq!(refused.why().kind(), ErrorKind::Socket);
    let back = refused.into_fd();
    assert_eq!(sys::identity(&back).unwrap(), identity);
    assert!(is_blocking(&back) && !closes_on_exec(&back), "untouched");
}

#[tokio::test]
async fn each_wrong_descriptor_is_refused_and_comes_back_untouched() {
    let place = tempfile::tempdir().unwrap();
    let bound_only = || {
        let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        OwnedFd::from(socket)
    };
    let (one, other) = unix::UnixStream::pair().unwrap();
    is_refused::<TcpListener>(file(), "it is no socket");
    is_refused::<TcpListener>(udp(), "it is a socket of another type (SOCK_DGRAM)");
    is_refused::<TcpListener>(bound_only(), "it is not listening");
    is_refused::<TcpListener>(unix_listener(&place), "it is of another address family (AF_UNIX)");
    is_refused::<UnixListener>(tcp(), "it is of another address family (AF_INET)");
    is_refused::<UnixListener>(one.into(), "it is not listening");
    is_refused::<UnixListener>(seqpacket(&place), "it is a socket of another type (SOCK_SEQPACKET)");
    is_refused::<UdpSocket>(tcp(), "it is a socket of another type (SOCK_STREAM)");
    is_refused::<UdpSocket>(unix_datagram(&place), "it is of another address family (AF_UNIX)");
    is_refused::<UnixDatagram>(udp(), "it is of another address family (AF_INET)");
    is_refused::<UnixDatagram>(other.into(), "it is a socket of another type (SOCK_STREAM)");
    let (read, write) = pipe();
    is_refused::<pipe::Receiver>(write, "it is the pipe's other end");
    is_refused::<pipe::Sender>(read, "it is the pipe's other end");
    is_refused::<pipe::Receiver>(file(), "it is no pipe");
    is_refused::<pipe::Sender>(tcp(), "it is no pipe");
}

#[tokio::test]
async fn a_closed_number_is_refused_as_each_kind() {
    fn refused<S: Socket + Debug>() {
        sys::with_closed_number(|closed| {
            let refused = adopt::<S>(closed).expect_err("it is refused");
            assert!(refused.to_string().ends_with("the number is closed"), "{refused}");
            refused.into_fd()
        });
    }
    refused::<TcpListener>();
    refused::<UnixListener>();
    refused::<UdpSocket>();
    refused::<UnixDatagram>();
    refused::<pipe::Receiver>();
    refused::<pipe::Sender>();
    refused::<OwnedFd>();
}

// ------------------------------------------------------------------------------------------------------------- paths

/// As a generation that has nothing inherited binds it.
async fn bind<S: Address<A>, A: Send>(address: A, options: &mut Options<'_>) -> Result<S, Error> {
    let asked = S::resolve(address).await.unwrap();
    Registry::default().listen(&name("x"), &asked, options)
}

async fn listen(path: &Path) -> Result<UnixListener, Error> {
    bind(path.to_owned(), &mut Options::default()).await
}

fn name(name: &str) -> Name {
    Name::new(name).unwrap()
}

/// What lies in there, in order.
fn files(place: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(place.path()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_stale_path_is_replaced_and_a_live_one_is_left_to_its_owner() {
    let place = tempfile::tempdir().unwrap();
    let path = at(&place, "s");
    drop(listen(&path).await.unwrap());
    let live = listen(&path).await.unwrap();
    let error = listen(&path).await.unwrap_err();
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::AddrInUse);
    unix::UnixStream::connect(&path).unwrap();
    drop(live);
    assert_eq!(files(&place), ["s"], "no lock is left");
}

#[tokio::test]
async fn a_stale_datagram_path_is_replaced_and_a_live_one_is_left_to_its_owner() {
    let place = tempfile::tempdir().unwrap();
    let path = at(&place, "s");
    let bind = async || bind::<UnixDatagram, _>(path.clone(), &mut Options::default()).await;
    drop(bind().await.unwrap());
    let live = bind().await.unwrap();
    assert!(bind().await.is_err());
    assert!(listen(&path).await.is_err(), "nor does a listener take it for stale");
    unix::UnixDatagram::unbound().unwrap().send_to(b"x", &path).unwrap();
    live.readable().await.unwrap();
    assert_eq!(live.try_recv(&mut [0; 8]).unwrap(), 1);
}

#[tokio::test]
async fn a_full_queue_is_not_stale() {
    let place = tempfile::tempdir().unwrap();
    let path = at(&place, "s");
    let mut options = Options { backlog: 0, ..Options::default() };
    let live = bind::<UnixListener, _>(path.clone(), &mut options).await.unwrap();
    let knocking = || {
        let client = socket2::Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        client.set_nonblocking(true).unwrap();
        client.connect(&SockAddr::unix(&path).unwrap()).map(|()| client)
    };
    let mut clients = Vec::new();
    let error = loop {
        match knocking() {
            Ok(client) => clients.push(client),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    let file = fs::metadata(&path).unwrap().ino();
    assert!(listen(&path).await.is_err());
    assert_eq!(fs::metadata(&path).unwrap().ino(), file);
    drop(live);
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_never_removed() {
    let place = tempfile::tempdir().unwrap();
    let path = at(&place, "s");
    fs::write(&path, "precious").unwrap();
    assert!(listen(&path).await.is_err());
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    let path = at(&place, "t");
    fs::write(at(&place, "t.lock"), "precious").unwrap();
    let error = listen(&path).await.unwrap_err();
    assert!(error.to_string().ends_with("t.lock is in the way, and is no lock"), "{error}");
    assert_eq!(fs::read(at(&place, "t.lock")).unwrap(), b"precious");
}

#[tokio::test]
async fn who_finds_another_just_binding_the_path_leaves_it_and_says_so() {
    let place = tempfile::tempdir().unwrap();
    let path = at(&place, "s");
    let lock = fs::File::create(at(&place, "s.lock")).unwrap();
    let lock = nix::fcntl::Flock::lock(lock, nix::fcntl::FlockArg::LockExclusiveNonblock).unwrap();
    let error = listen(&path).await.unwrap_err();
    assert!(error.to_string().ends_with("s: another process is just binding it"), "{error}");
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::AddrInUse);
    // Its owner was killed: nothing but the file is left.
    drop(lock);
    listen(&path).await.unwrap();
    assert_eq!(files(&place), ["s"]);
}

/// All find a stale path, or none. Whoever wins answers, also when all have made up their minds.
#[test]
fn of_starters_that_race_for_a_path_exactly_one_wins() {
    const ROUNDS: usize = 500;
    const STARTERS: usize = 4;
    let place = tempfile::tempdir().unwrap();
    let path = at(&place, "s");
    let own = fs::metadata(place.path()).unwrap();
    let owner = (Some(own.uid()), Some(own.gid()));
    let barrier = Barrier::new(STARTERS);
    let starter = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let here = runtime.enter();
        let mut won = Vec::new();
        // What is done between bind and listen makes the time longer in which the path looks stale.
        let mut options = Options { mode: Some(0o600), owner, ..Options::default() };
        for round in 0..ROUNDS {
            barrier.wait();
            let asked = [Bound::Path(path.clone().into())];
            let mut registry = Registry::default();
            let listener = registry.listen::<UnixListener, &str>(&name("x"), &asked, &mut options);
            barrier.wait();
            if let Ok(listener) = &listener {
                let client = unix::UnixStream::connect(&path);
                // A client of a Unix listener is in its queue when `connect` returns.
                won.push((round, client.and_then(|_| SockRef::from(listener).accept()).is_ok()));
            }
            barrier.wait();
            let has_won = listener.is_ok();
            drop((listener, registry));
            if has_won && round % 2 == 0 {
                // Where two have won, the second finds nothing; what counts is written down above.
                let _ = fs::remove_file(&path);
            }
        }
        drop(here);
        won
    };
    let won = std::thread::scope(|scope| {
        let starters: Vec<_> = (0..STARTERS).map(|_| scope.spawn(starter)).collect();
        let mut won: Vec<_> = starters.into_iter().flat_map(|starter| starter.join().unwrap()).collect();
        won.sort_unstable();
        won
    });
    assert_eq!(
        won,
        (0..ROUNDS).map(|round| (round, true)).collect::<Vec<_>>(),
        "one in each, and the path leads to it"
    );
}

#[tokio::test]
async fn an_impossible_path_is_told_with_what_is_wrong() {
    let place = tempfile::tempdir().unwrap();
    let missing = at(&place, "missing/s");
    let said = listen(&missing).await.unwrap_err().to_string();
    let what = format!("bind \"x\" to {}: create the lock file beside it: No such file", missing.display());
    assert!(said.starts_with(&what), "{said}");
    // Where nobody may create a file, not even root.
    let said = listen(Path::new("/sys/s")).await.unwrap_err().to_string();
    assert!(said.starts_with("bind \"x\" to /sys/s: create the lock file beside it: "), "{said}");
    let long = Path::new("/").join("x".repeat(107));
    let said = listen(&long).await.unwrap_err().to_string();
    assert!(said.contains(&long.display().to_string()), "{said}");
    assert!(said.ends_with("the path is 108 bytes long, and a Unix socket's may be at most 107"), "{said}");
    assert!(files(&place).is_empty());
}

#[tokio::test]
async fn the_longest_path_and_the_longest_abstract_name_can_be_bound() {
    let place = tempfile::tempdir().unwrap();
    let path = at(&place, &"x".repeat(107 - place.path().as_os_str().len() - 1));
    assert_eq!(path.as_os_str().len(), 107);
    listen(&path).await.unwrap();
    let long = format!("@{:x>107}", std::process::id());
    listen(Path::new(&long)).await.unwrap();
    assert!(listen(Path::new(&format!("{long}x"))).await.is_err());
}

#[tokio::test]
async fn mode_and_owner_are_the_fresh_paths() {
    let place = tempfile::tempdir().unwrap();
    let own = fs::metadata(place.path()).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let owner = (Some(own.uid()), Some(own.gid()));
    let mut options = Options { mode: Some(0o626), owner, ..Options::default() };
    let stream = bind::<UnixListener, _>(at(&place, "s"), &mut options).await.unwrap();
    let datagram = bind::<UnixDatagram, _>(at(&place, "d"), &mut options).await.unwrap();
    assert_eq!((mode(&at(&place, "s")), mode(&at(&place, "d"))), (0o626, 0o626));
    let control = bind::<ControlListener, _>(at(&place, "c"), &mut Options::default()).await.unwrap();
    assert_eq!(mode(&at(&place, "c")), 0o600);
    assert!(control.into_inner().local_addr().unwrap().as_pathname().is_some());
    drop((stream, datagram));
    let mut options = Options { mode: Some(0o660), ..Options::default() };
    let said = bind::<UnixListener, _>("@abstract", &mut options).await.unwrap_err().to_string();
    assert!(said.ends_with("an abstract name has no mode and no owner: anybody may connect to it"), "{said}");
}

/// Root may give a path away; anybody else is told, and leaves no path behind.
#[tokio::test]
async fn a_path_that_cannot_be_given_its_owner_is_not_left_behind() {
    let place = tempfile::tempdir().unwrap();
    let root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let mut options = Options { owner: (Some(12345), Some(54321)), ..Options::default() };
    let bound = bind::<UnixListener, _>(at(&place, "s"), &mut options).await;
    if root {
        let file = fs::metadata(at(&place, "s")).unwrap();
        assert_eq!((file.uid(), file.gid()), (12345, 54321));
    } else {
        assert!(bound.unwrap_err().to_string().contains("set its owner"));
        assert!(files(&place).is_empty());
    }
}

#[tokio::test]
async fn options_run_on_a_fresh_socket_only() {
    let mut runs = 0;
    let count = |_: BorrowedFd<'_>| {
        runs += 1;
        Ok(())
    };
    let mut options = Options { set: Some(Box::new(count)), ..Options::default() };
    let mut registry = Registry::default();
    let asked = [Bound::Inet(([127, 0, 0, 1], 0).into())];
    registry.listen::<TcpListener, SocketAddr>(&name("http"), &asked, &mut options).unwrap();
    let mut next = successor(&registry);
    next.listen::<TcpListener, SocketAddr>(&name("http"), &asked, &mut options).unwrap();
    drop(options);
    assert_eq!(runs, 1);
}

// ---------------------------------------------------------------------------------------------------------- registry

/// What the next generation begins with: looked at as it is looked at there.
fn successor(registry: &Registry) -> Registry {
    let passed = registry.to_pass();
    let passed: Vec<_> = passed.into_iter().map(|(socket, fd)| (socket, fd.try_clone().unwrap())).collect();
    verify(&passed).unwrap();
    Registry::inherit(passed)
}

fn activated(sockets: impl IntoIterator<Item = (&'static str, OwnedFd)>) -> Registry {
    let mut registry = Registry::default();
    registry.activate(sockets.into_iter().map(|(name, fd)| (name.to_owned(), fd)).collect());
    registry
}

fn inet(descriptor: impl AsFd) -> SocketAddr {
    SockRef::from(&descriptor).local_addr().unwrap().as_socket().unwrap()
}

fn same(one: impl AsFd, other: impl AsFd) -> bool {
    sys::identity(one).unwrap() == sys::identity(other).unwrap()
}

fn tcp_listen(registry: &mut Registry, under: &str, to: SocketAddr) -> Result<TcpListener, Error> {
    registry.listen::<TcpListener, SocketAddr>(&name(under), &[Bound::Inet(to)], &mut Options::default())
}

#[tokio::test]
async fn a_listener_is_known_by_its_name_also_after_accepting_has_ended() {
    let mut registry = Registry::default();
    let listener = tcp_listen(&mut registry, "http", ([127, 0, 0, 1], 0).into()).unwrap();
    assert_eq!(registry.name_of(listener.as_fd()), Some(name("http")));
    registry.close(&HashSet::new(), true);
    assert_eq!(registry.name_of(listener.as_fd()), Some(name("http")));
    assert_eq!(tcp_listen(&mut registry, "more", ([127, 0, 0, 1], 0).into()).unwrap_err().kind(), ErrorKind::Ending);
}

#[tokio::test]
async fn each_kind_is_claimed_as_what_it_was_offered_as() {
    let place = tempfile::tempdir().unwrap();
    let mut registry = Registry::default();
    let (read, write) = pipe();
    let mut memory = tempfile::tempfile().unwrap();
    memory.write_all(b"remembered").unwrap();
    let sockets =
        [("tcp", tcp()), ("unix", unix_listener(&place)), ("udp", udp()), ("datagram", unix_datagram(&place))];
    let others = [("seqpacket", seqpacket(&place)), ("read", read), ("write", write), ("memory", memory.into())];
    let all: Vec<(&str, OwnedFd)> = sockets.into_iter().chain(others).collect();
    for (under, descriptor) in &all {
        registry.offer(&name(under), descriptor.as_fd()).unwrap();
        assert_eq!(registry.offer(&name(under), descriptor.as_fd()).unwrap_err().kind(), ErrorKind::Name);
    }
    let (status, _) = registry.status();
    let words: Vec<_> = status.iter().map(|it| (&*it.name, &*it.kind, &*it.origin)).collect();
    assert_eq!(
        words[4..6],
        [("seqpacket", "seqpacket listener", "offered"), ("read", "pipe's end to read", "offered")]
    );
    let mut registry = successor(&registry);
    fn claim<S: Socket + Debug>(registry: &mut Registry, all: &[(&str, OwnedFd)], under: &str) -> S {
        let claimed = registry.claim::<S>(&name(under)).unwrap().unwrap();
        let (_, offered) = all.iter().find(|(it, _)| *it == under).unwrap();
        assert!(same(&claimed, offered), "{under}");
        claimed
    }
    let wrong = registry.claim::<UnixListener>(&name("tcp")).unwrap_err();
    assert_eq!(wrong.to_string(), "the inherited socket \"tcp\" is a TCP listener, not a Unix listener");
    claim::<TcpListener>(&mut registry, &all, "tcp");
    claim::<UnixListener>(&mut registry, &all, "unix");
    claim::<UdpSocket>(&mut registry, &all, "udp");
    claim::<UnixDatagram>(&mut registry, &all, "datagram");
    claim::<OwnedFd>(&mut registry, &all, "seqpacket");
    claim::<pipe::Receiver>(&mut registry, &all, "read");
    claim::<pipe::Sender>(&mut registry, &all, "write");
    let mut memory = fs::File::from(claim::<OwnedFd>(&mut registry, &all, "memory"));
    let mut words = String::new();
    memory.rewind().unwrap();
    memory.read_to_string(&mut words).unwrap();
    assert_eq!(words, "remembered");
    assert_eq!(registry.claimed(), (0..8).collect::<Vec<_>>());
    assert!(registry.claim::<OwnedFd>(&name("nothing")).unwrap().is_none());
    let kept: Vec<_> = registry.stored().into_iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(kept, ["tcp", "unix", "udp", "datagram", "seqpacket"]);
}

#[tokio::test]
async fn a_udp_socket_is_found_by_what_was_asked_also_when_it_has_been_connected() {
    let mut registry = Registry::default();
    let asked = [Bound::Inet(([0, 0, 0, 0], 0).into())];
    let mut options = Options::default();
    let socket = registry.listen::<UdpSocket, SocketAddr>(&name("udp"), &asked, &mut options).unwrap();
    let wildcard = socket.local_addr().unwrap();
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(peer.local_addr().unwrap()).await.unwrap();
    assert_ne!(socket.local_addr().unwrap(), wildcard);
    let mut next = successor(&registry);
    let inherited = next.listen::<UdpSocket, SocketAddr>(&name("udp"), &asked, &mut options).unwrap();
    assert!(same(&inherited, &socket));
    assert_eq!(inherited.peer_addr().unwrap(), peer.local_addr().unwrap());
}

#[tokio::test]
async fn an_abstract_name_is_verified_and_found_again() {
    let at = format!("@hr-{}-found", std::process::id());
    let mut registry = Registry::default();
    let asked = UnixListener::resolve(at.clone()).await.unwrap();
    assert_eq!(asked, [Bound::Path(at.clone().into())]);
    let listener = registry.listen::<UnixListener, String>(&name("a"), &asked, &mut Options::default()).unwrap();
    assert_eq!(registry.status().0[0].address, at);
    assert!(!Path::new(&at).exists(), "no file of that name");
    let mut next = successor(&registry);
    let again = next.listen::<UnixListener, String>(&name("a"), &asked, &mut Options::default()).unwrap();
    assert!(same(&again, &listener));
    let mut stranger = Registry::default();
    let taken = stranger.listen::<UnixListener, String>(&name("a"), &asked, &mut Options::default()).unwrap_err();
    assert_eq!(io::Error::from(taken).kind(), io::ErrorKind::AddrInUse);
}

#[tokio::test]
async fn a_manifest_that_says_something_else_is_found_out() {
    let place = tempfile::tempdir().unwrap();
    let mut registry = Registry::default();
    registry.offer(&name("tcp"), tcp().as_fd()).unwrap();
    registry.offer(&name("udp"), udp().as_fd()).unwrap();
    registry.offer(&name("datagram"), unix_datagram(&place).as_fd()).unwrap();
    registry.offer(&name("seqpacket"), seqpacket(&place).as_fd()).unwrap();
    registry.offer(&name("read"), pipe().0.as_fd()).unwrap();
    let passed = || -> Vec<(wire::Socket, OwnedFd)> {
        let passed = registry.to_pass().into_iter();
        passed.map(|(socket, fd)| (socket, fd.try_clone().unwrap())).collect()
    };
    verify(&passed()).unwrap();
    for index in 0..4 {
        let mut wrong = passed();
        wrong[index].0.actual = "elsewhere".into();
        let error = verify(&wrong).unwrap_err().to_string();
        assert!(error.contains("it is bound to ") && error.ends_with(", not to elsewhere"), "{error}");
    }
    for index in 0..5 {
        let mut wrong = passed();
        wrong[index].1 = file();
        verify(&wrong).unwrap_err();
    }
    let mut twice = passed();
    twice[1].0.name = name("tcp");
    assert!(verify(&twice).unwrap_err().to_string().ends_with("the name was passed twice"));
    // A later version's kind may be anything.
    let mut later = passed();
    later[0].0.kind = SocketKind::Other(77);
    verify(&later).unwrap();
}

#[tokio::test]
async fn what_is_not_claimed_is_closed_and_remembered_with_the_reason() {
    let mut registry = Registry::default();
    let old = inet(tcp_listen(&mut registry, "moved", ([127, 0, 0, 1], 0).into()).unwrap());
    let dropped = inet(tcp_listen(&mut registry, "dropped", ([127, 0, 0, 1], 0).into()).unwrap());
    let mut next = successor(&registry);
    drop(registry);
    let new = tcp_listen(&mut next, "moved", ([127, 0, 0, 2], 0).into()).unwrap();
    assert_ne!(inet(&new), old);
    net::TcpStream::connect(dropped).expect("still open");
    next.close_leftovers();
    let words = |it: &crate::status::Leftover| (it.name.clone(), it.address.clone(), it.why.clone());
    let leftovers: Vec<_> = next.status().1.iter().map(words).collect();
    let moved = ("moved".to_owned(), old.to_string(), "the address has changed".to_owned());
    assert_eq!(leftovers, [moved, ("dropped".to_owned(), dropped.to_string(), "not claimed".to_owned())]);
    assert_eq!(net::TcpStream::connect(dropped).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_released_name_is_not_passed_on_and_can_be_given_again() {
    let mut registry = Registry::default();
    let listener = tcp_listen(&mut registry, "http", ([127, 0, 0, 1], 0).into()).unwrap();
    registry.release(&name("http"));
    assert!(registry.to_pass().is_empty());
    assert_eq!(registry.name_of(listener.as_fd()), None);
    registry.offer(&name("http"), listener.as_fd()).unwrap();
    let mut next = successor(&registry);
    let inherited = next.claim::<TcpListener>(&name("http")).unwrap().unwrap();
    next.release(&name("http"));
    assert!(next.to_pass().is_empty() && next.claimed().is_empty());
    // The predecessor has it too: until that lets go, nobody is to be taken from its queue.
    assert_eq!(next.name_of(inherited.as_fd()), Some(name("http")));
    assert_eq!(next.names().collect::<Vec<_>>(), [name("http")]);
    let mut next = successor(&registry);
    next.release(&name("http"));
    assert!(next.claim::<TcpListener>(&name("http")).unwrap().is_none(), "closed, though nobody had claimed it");
    next.release(&name("nothing"));
}

#[tokio::test]
async fn only_a_path_that_was_bound_here_is_removed() {
    let place = tempfile::tempdir().unwrap();
    let asked = |file: &str| [Bound::Path(at(&place, file).into())];
    let mut registry = activated([("listener", unix_listener(&place))]);
    let mut options = Options::default();
    registry.offer(&name("offered"), unix_datagram(&place).as_fd()).unwrap();
    registry.listen::<UnixListener, &str>(&name("listener"), &asked("listener"), &mut options).unwrap();
    registry.listen::<UnixListener, &str>(&name("bound"), &asked("bound"), &mut options).unwrap();
    registry.listen::<UnixDatagram, &str>(&name("bound too"), &asked("bound too"), &mut options).unwrap();
    registry.listen::<ControlListener, &str>(&Name::control(), &asked("control"), &mut options).unwrap();
    let mut next = successor(&registry);
    let origins = |registry: &Registry| registry.status().0.into_iter().map(|it| it.origin).collect::<Vec<_>>();
    for (under, file) in [("listener", "listener"), ("bound", "bound")] {
        next.listen::<UnixListener, &str>(&name(under), &asked(file), &mut options).unwrap();
    }
    assert_eq!(origins(&next), ["activated", "bound"]);
    next.close(&HashSet::new(), false);
    assert_eq!(files(&place), ["bound", "bound too", "control", "datagram", "listener"], "before it owns them");
    registry.close(&HashSet::from([name("bound")]), true);
    assert_eq!(files(&place), ["bound", "control", "datagram", "listener"], "what the successor has claimed stays");
    registry.close_control(&HashSet::new(), true);
    assert_eq!(files(&place), ["bound", "datagram", "listener"], "the control path goes last");
}

#[tokio::test]
async fn the_control_listener_is_claimed_by_nobody_else() {
    let place = tempfile::tempdir().unwrap();
    let mut registry = Registry::default();
    let asked = [Bound::Path(at(&place, "s").into())];
    registry.listen::<ControlListener, &str>(&Name::control(), &asked, &mut Options::default()).unwrap();
    let mut next = successor(&registry);
    assert!(next.claim::<OwnedFd>(&Name::control()).is_err());
    assert!(next.claim::<UnixListener>(&Name::control()).is_err());
    assert!(next.claim::<ControlListener>(&Name::control()).unwrap().is_some());
    assert!(next.stored().is_empty());
}

// --------------------------------------------------------------------------------------------------------- activation

#[tokio::test]
async fn an_activated_socket_is_found_by_its_name_wherever_it_is_bound() {
    let socket = tcp();
    let mut registry = activated([("http", socket.try_clone().unwrap())]);
    let listener = tcp_listen(&mut registry, "http", ([127, 0, 0, 9], 80).into()).unwrap();
    assert!(same(&listener, &socket));
    // What was asked for finds it in the next generation, and so does where it is.
    let mut next = successor(&registry);
    assert!(same(tcp_listen(&mut next, "http", ([127, 0, 0, 9], 80).into()).unwrap(), &socket));
    let mut next = successor(&registry);
    assert!(same(tcp_listen(&mut next, "http", inet(&socket)).unwrap(), &socket));
    assert_eq!(next.status().0[0].origin, "activated");
}

#[tokio::test]
async fn of_several_that_were_activated_under_a_name_the_one_at_the_address_is_first() {
    let (first, second, third) = (tcp(), tcp(), tcp());
    let all = [&first, &second, &third].map(|it| ("http", it.try_clone().unwrap()));
    let mut registry = activated(all);
    assert!(same(tcp_listen(&mut registry, "http", inet(&second)).unwrap(), &second));
    // A name of ours is used once, so the others are found by their addresses.
    assert!(same(tcp_listen(&mut registry, "other", inet(&third)).unwrap(), &third));
    let all = [&first, &second].map(|it| ("http", it.try_clone().unwrap()));
    let mut registry = activated(all);
    assert!(same(tcp_listen(&mut registry, "http", ([127, 0, 0, 9], 80).into()).unwrap(), &first));
}

#[tokio::test]
async fn an_activated_socket_under_any_name_is_found_by_its_address_and_kind() {
    for under in ["unknown", "stored", "", "a:b", "server.socket"] {
        let (udp, tcp) = (udp(), tcp());
        let mut registry =
            activated([(under, udp.try_clone().unwrap()), (under, tcp.try_clone().unwrap()), (under, file())]);
        assert!(same(tcp_listen(&mut registry, "http", inet(&tcp)).unwrap(), &tcp), "{under}");
        let asked = [Bound::Inet(inet(&udp))];
        let found = registry.listen::<UdpSocket, SocketAddr>(&name("dns"), &asked, &mut Options::default()).unwrap();
        assert!(same(found, &udp));
        registry.close_leftovers();
        assert_eq!(registry.status().1.len(), 1, "the file");
    }
}

#[tokio::test]
async fn the_words_for_no_name_are_no_names() {
    let mut registry = activated([("unknown", tcp()), ("stored", tcp())]);
    assert!(registry.claim::<TcpListener>(&name("unknown")).unwrap().is_none());
    assert!(registry.claim::<TcpListener>(&name("stored")).unwrap().is_none());
}

#[tokio::test]
async fn an_activated_socket_is_claimed_by_name_and_kind() {
    let (udp, tcp) = (udp(), tcp());
    let mut registry = activated([("dns", tcp.try_clone().unwrap()), ("dns", udp.try_clone().unwrap())]);
    assert!(same(registry.claim::<UdpSocket>(&name("dns")).unwrap().unwrap(), &udp));
    let mut registry = activated([("dns", tcp)]);
    assert_eq!(registry.claim::<UdpSocket>(&name("dns")).unwrap_err().kind(), ErrorKind::Socket);
    assert!(registry.claim::<TcpListener>(&name("dns")).unwrap().is_some(), "it has stayed");
}

#[tokio::test]
async fn what_was_inherited_comes_before_what_was_activated() {
    let mut registry = Registry::default();
    let inherited = tcp_listen(&mut registry, "http", ([127, 0, 0, 1], 0).into()).unwrap();
    let passed: Vec<_> = registry.to_pass().into_iter().map(|(socket, fd)| (socket, fd.try_clone().unwrap())).collect();
    let mut next = Registry::inherit(passed);
    next.activate(vec![("http".to_owned(), tcp())]);
    assert!(same(tcp_listen(&mut next, "http", inet(&inherited)).unwrap(), &inherited));
    // At another address it is neither: but the operator has given one under this name.
    let passed: Vec<_> = registry.to_pass().into_iter().map(|(socket, fd)| (socket, fd.try_clone().unwrap())).collect();
    let activated = tcp();
    let mut next = Registry::inherit(passed);
    next.activate(vec![("http".to_owned(), activated.try_clone().unwrap())]);
    assert!(same(tcp_listen(&mut next, "http", ([127, 0, 0, 9], 80).into()).unwrap(), &activated));
}

#[tokio::test]
async fn an_activated_socket_closes_on_exec_and_never_blocks_once_claimed() {
    let mut registry = activated([("http", as_passed(tcp()))]);
    let listener = registry.claim::<TcpListener>(&name("http")).unwrap().unwrap();
    assert!(closes_on_exec(&listener) && !is_blocking(&listener));
    let (_, duplicate) = registry.to_pass().remove(0);
    assert!(closes_on_exec(&duplicate));
}

// ----------------------------------------------------------------------------------------------------------- manifest

/// xorshift: the same lists in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most + 1)).map(|_| self.below(256) as u8).collect()
    }

    fn name(&mut self, number: usize) -> Name {
        let letters = (0..self.below(240)).map(|_| (b'!' + self.below(25) as u8) as char);
        Name::passed(&letters.chain(format!(" {number}").chars()).collect::<String>()).unwrap()
    }

    fn socket(&mut self, number: usize) -> wire::Socket {
        use std::os::unix::ffi::OsStrExt;
        const KINDS: [SocketKind; 10] = [
            SocketKind::TcpListener,
            SocketKind::UnixListener,
            SocketKind::UdpSocket,
            SocketKind::UnixDatagram,
            SocketKind::SeqpacketListener,
            SocketKind::PipeReader,
            SocketKind::PipeWriter,
            SocketKind::Descriptor,
            SocketKind::Control,
            SocketKind::Other(200),
        ];
        const ORIGINS: [Origin; 4] = [Origin::Bound, Origin::Offered, Origin::Activated, Origin::Other(9)];
        wire::Socket {
            name: self.name(number),
            kind: KINDS[self.below(KINDS.len())],
            origin: ORIGINS[self.below(ORIGINS.len())],
            requested: OsStr::from_bytes(&self.bytes(300)).to_owned(),
            actual: OsStr::from_bytes(&self.bytes(300)).to_owned(),
            path: (self.below(usize::MAX) as u64, self.below(usize::MAX) as u64),
        }
    }
}

/// Names, kinds, origins, addresses of any bytes; descriptors of any kind, in any number.
#[tokio::test]
async fn any_list_of_sockets_survives_encode_pass_and_decode() {
    let place = tempfile::tempdir().unwrap();
    let (read, write) = pipe();
    let descriptors: Vec<Arc<OwnedFd>> =
        [tcp(), udp(), unix_listener(&place), seqpacket(&place), read, write, file()].map(Arc::new).to_vec();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for most in [0, 1, 2, 252, 253, 254, 300, 600, 20, 20, 20] {
        let list: Vec<_> = (0..most)
            .map(|number| (random.socket(number), Arc::clone(&descriptors[random.below(descriptors.len())])))
            .collect();
        let (ours, theirs) = sys::socket_pair().unwrap();
        let (mut ours, mut theirs) = (Channel::new(ours).unwrap(), Channel::new(theirs).unwrap());
        let pass = async {
            for batch in list.chunks(sys::MAX_DESCRIPTORS) {
                let (sockets, descriptors): (Vec<_>, Vec<_>) = batch.iter().cloned().unzip();
                ours.say(&Message::Sockets(sockets), descriptors);
                ours.flush().await;
            }
            drop(ours);
        };
        let receive = async {
            let mut received = Vec::new();
            while let Some((message, descriptors)) = theirs.next().await.unwrap() {
                let Message::Sockets(sockets) = message else { panic!("{message:?}") };
                received.extend(sockets.into_iter().zip(descriptors));
            }
            received
        };
        let ((), received) = tokio::join!(pass, receive);
        let seen =
            |(socket, descriptor): &(wire::Socket, OwnedFd)| (socket.clone(), sys::identity(descriptor).unwrap());
        let said = |(socket, descriptor): &(wire::Socket, Arc<OwnedFd>)| {
            (socket.clone(), sys::identity(&**descriptor).unwrap())
        };
        let received: Vec<(wire::Socket, Identity)> = received.iter().map(seen).collect();
        assert!(received == list.iter().map(said).collect::<Vec<_>>(), "{most} sockets");
    }
}

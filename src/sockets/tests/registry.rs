//! What is found by which name, passed on, and let go.

use super::*;

#[tokio::test]
async fn a_listener_is_known_by_its_name_also_after_accepting_has_ended() {
    let mut registry = Registry::default();
    let listener = tcp_listen(&mut registry, "http", ([127, 0, 0, 1], 0).into()).unwrap();
    assert_eq!(registry.name_of(listener.as_fd()), Some(name("http")));
    registry.close(&HashSet::new(), true, &HashSet::new());
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
    let wrong = registry.claim::<TcpListener>(&name("memory")).unwrap_err();
    assert_eq!(wrong.to_string(), "claim \"memory\" as a TCP listener: it is no socket");
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
    verify(passed()).unwrap();
    for index in 0..4 {
        let mut wrong = passed();
        wrong[index].0.actual = "elsewhere".into();
        let error = verify(wrong).unwrap_err().to_string();
        assert!(error.contains("it is bound to ") && error.ends_with(", not to elsewhere"), "{error}");
    }
    for index in 0..5 {
        let mut wrong = passed();
        wrong[index].1 = file();
        verify(wrong).unwrap_err();
    }
    let mut twice = passed();
    twice[1].0.name = name("tcp");
    assert!(verify(twice).unwrap_err().to_string().ends_with("the name was passed twice"));
    // A later version's kind may be anything.
    let mut later = passed();
    later[0].0.kind = SocketKind::Other(77);
    verify(later).unwrap();
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
    until_refused(|| net::TcpStream::connect(dropped));
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
    next.close(&HashSet::new(), false, &HashSet::new());
    assert_eq!(files(&place), ["bound", "bound too", "control", "datagram", "listener"], "before it owns them");
    registry.close(&HashSet::from([name("bound")]), true, &HashSet::new());
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

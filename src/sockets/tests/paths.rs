//! Unix paths: stale, live, contested, impossible; mode and owner.

use super::*;

/// As a generation that has nothing inherited binds it.
async fn bind<S: Address<A>, A: Send>(address: A, options: &mut Options<'_>) -> Result<S, Error> {
    let asked = S::resolve(address).await.unwrap();
    Registry::default().listen(&name("x"), &asked, options)
}

async fn listen(path: &Path) -> Result<UnixListener, Error> {
    bind(path.to_owned(), &mut Options::default()).await
}

#[tokio::test]
async fn a_stale_path_is_replaced_and_a_live_one_is_left_to_its_owner() {
    let place = tempfile::tempdir().unwrap();
    let path = at(&place, "s");
    drop(listen(&path).await.unwrap());
    until_refused(|| unix::UnixStream::connect(&path));
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
    until_refused(|| unix::UnixDatagram::unbound()?.connect(&path));
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

/// In a process of its own: a program that a test beside this one starts holds a copy of each descriptor until its exec,
/// and so a listener that was dropped here would answer for a moment longer.
#[test]
fn of_starters_that_race_for_a_path_exactly_one_wins() {
    alone("sockets::tests::paths::a_race_for_a_path");
}

/// All find a stale path, or none. Whoever wins answers, also when all have made up their minds.
#[test]
#[ignore = "run by the test above"]
fn a_race_for_a_path() {
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
            while has_won && unix::UnixStream::connect(&path).is_ok() {
                // As in `until_refused`, but where two have won, the path may be gone.
                std::thread::yield_now();
            }
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
    let wanted = (0..ROUNDS).map(|round| (round, true)).collect::<Vec<_>>();
    assert!(won == wanted, "one in each, and the path leads to it: {won:?}");
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

//! Sockets that somebody else has opened: systemd's socket units, `systemd-socket-activate`, `systemfd`.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::fd::OwnedFd,
    process::Stdio,
    sync::atomic::{AtomicU8, Ordering},
};

use super::{SERVICE, UNIT, reload, stop};
use crate::support::{Manager, Setup, echo, example, http::Client, process};

/// An address whose port is free, which nobody else will have bound by the time that systemd does: no other test binds
/// anything there.
fn address() -> SocketAddr {
    static NUMBER: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    let here = Ipv4Addr::new(127, high.max(1), low, NUMBER.fetch_add(1, Ordering::Relaxed));
    TcpListener::bind((here, 0)).expect("a loopback address").local_addr().expect("bound")
}

#[test]
fn the_first_client_starts_the_server_and_each_generation_has_systemds_own_socket() {
    let Some(manager) = Manager::start() else { return };
    let address = address();
    let unit = example("server.socket").replace("ListenStream=8080", &format!("ListenStream={address}"));
    manager.unit("server.socket", &unit);
    // Found by its name: this address is another one.
    let mut fleet = manager.shipped(UNIT, Setup::new().with("LISTEN", "127.0.0.1:0"), &[]);
    manager.ctl(["start", "server.socket"]);
    assert_eq!(manager.main_pid(SERVICE), 0);
    let mut client = Client::connect(address);
    client.ask("/");
    assert_eq!(client.answer().expect("it waited in the queue").generation, 0);
    drop(client);
    let mut pid = fleet.greet();
    assert_eq!(fleet.http, address);
    let sockets = process::listening(pid);
    for generation in 0..2 {
        pid = reload(&manager, &mut fleet, generation);
        assert_eq!(process::listening(pid), sockets);
        assert_eq!(Client::connect(address).get("/").generation, generation + 1);
        fleet.until(&format!("done generation={generation}"));
    }
    manager.ctl(["stop", SERVICE]);
    // It is systemd's, which listens on, and starts the server again.
    let mut client = Client::connect(address);
    client.ask("/");
    assert_eq!(client.answer().expect("by a new server").generation, 0);
    drop(client);
    let again = fleet.greet();
    assert!(sockets.iter().any(|socket| process::listening(again).contains(socket)));
    manager.ctl(["stop", "server.socket", SERVICE]);
}

#[test]
fn a_socket_without_a_name_is_found_by_its_path_and_the_path_is_never_removed() {
    let Some(manager) = Manager::start() else { return };
    let setup = Setup::new();
    let path = setup.place().join("activated");
    let unit = format!("[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream={}\n", path.display());
    manager.unit("server.socket", &unit);
    let mut fleet = manager.shipped(UNIT, setup.with("UNIX_ECHO", &path), &[]);
    manager.ctl(["start", "server.socket"]);
    let file = process::file(&path);
    echo::at(&path).unwrap();
    fleet.greet();
    for generation in 0..2 {
        reload(&manager, &mut fleet, generation);
        fleet.until(&format!("done generation={generation}"));
        assert_eq!(process::file(&path), file);
        echo::at(&path).unwrap();
    }
    stop(&manager, &mut fleet);
    assert_eq!(process::file(&path), file);
}

#[test]
fn systemd_socket_activate_passes_sockets_by_name() {
    if Manager::start().is_none() {
        return;
    }
    let setup = Setup::new();
    let (path, other) = (setup.place().join("activated"), setup.place().join("other"));
    let listen = path.to_str().expect("UTF-8").to_owned();
    let variables = ["-E", "HR_PROGRAM", "-E", "HR_UNIX_ECHO"];
    let arguments = ["-l", &listen, "--fdname=unix echo"].into_iter().chain(variables);
    let mut fleet = setup.with("UNIX_ECHO", &other).through("systemd-socket-activate", arguments).spawn();
    // The first client starts the server; between bind and listen it is refused.
    process::until(|| echo::at(&path).is_ok());
    let file = process::file(&path);
    let mut pid = fleet.greet();
    assert_eq!(pid, fleet.first());
    for generation in 0..2 {
        pid = fleet.restart(generation, pid);
        echo::at(&path).unwrap();
    }
    assert!(!other.exists(), "its name was enough");
    fleet.signal(pid, nix::sys::signal::Signal::SIGTERM);
    fleet.until_all_have_ended();
    assert_eq!(process::file(&path), file, "whoever made it removes it");
}

/// As `systemfd` does: the variable names no process.
#[test]
fn sockets_without_a_pid_are_taken_by_whoever_finds_them_and_only_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let pass = "exec 3<&0 0</dev/null; export LISTEN_FDS=1 LISTEN_FDNAMES=http; exec \"$0\" \"$@\"";
    let setup = Setup::new().through("sh", ["-c", pass]).tune(|command| {
        command.stdin(Stdio::from(OwnedFd::from(listener)));
    });
    let mut fleet = setup.start();
    assert_eq!(fleet.http, address);
    let mut pid = fleet.first();
    let sockets = process::listening(pid);
    for generation in 0..2 {
        pid = fleet.restart(generation, pid);
        assert_eq!(process::listening(pid), sockets);
        let environment = fs::read_to_string(format!("/proc/{pid}/environ")).unwrap();
        assert!(!environment.contains("LISTEN_FD"), "what was passed was passed to generation 0: {environment:?}");
    }
    echo::echo(fleet.echo).unwrap();
    fleet.signal(pid, nix::sys::signal::Signal::SIGTERM);
    fleet.until_all_have_ended();
}

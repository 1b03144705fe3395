//! The harness itself: a systemd of the test's own, and the strict stand-in of its notify socket.

use std::{
    fs,
    io::{IoSlice, Read},
    os::{
        fd::AsRawFd,
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
};

use nix::{
    fcntl::OFlag,
    sys::socket::{ControlMessage, MsgFlags, sendmsg},
};

use crate::support::{Fleet, Manager, Setup, notify::NotifySocket, process};

/// Says that it is ready, counts reloads in a file beside it, and takes no notice of anything else.
const SCRIPT: &str = r#"
trap 'echo reloaded >>"$0"; systemd-notify --ready --status="reloaded"' HUP
trap 'echo stopped >>"$0"; exit 0' TERM
systemd-notify --ready --status="up"
while :; do sleep 1000 & wait; done
"#;

#[test]
fn a_manager_of_our_own_starts_reloads_and_stops_a_unit_and_leaves_nobody() {
    let Some(manager) = Manager::start() else { return };
    let (script, record) = (manager.path("script"), manager.path("record"));
    fs::write(&script, SCRIPT).unwrap();
    let exec = format!("sh -c '. {}' {}", script.display(), record.display());
    let text = format!("[Service]\nType=notify\nNotifyAccess=all\nExecStart={exec}\nExecReload=kill -HUP $MAINPID\n");
    manager.unit("script.service", &text);
    manager.ctl(["start", "script.service"]);
    assert_eq!(manager.show("script.service", "ActiveState"), "active");
    assert_eq!(manager.show("script.service", "StatusText"), "up");
    let pid = manager.main_pid("script.service");
    assert!(manager.processes("script.service").contains(&pid));
    manager.ctl(["reload", "script.service"]);
    manager.until("script.service", "StatusText", "reloaded");
    assert_eq!(manager.main_pid("script.service"), pid);
    manager.ctl(["stop", "script.service"]);
    assert_eq!(fs::read_to_string(&record).unwrap(), "reloaded\nstopped\n");
    assert_eq!(manager.processes("script.service"), [0; 0]);

    manager.ctl(["start", "script.service"]);
    let pids = manager.processes("script.service");
    assert!(!pids.is_empty());
    drop(manager);
    assert!(!pids.iter().any(|pid| Fleet::lives(*pid)), "nobody outlives the manager");
}

#[test]
fn a_unit_that_is_wrong_fails_with_what_the_manager_says() {
    let Some(manager) = Manager::start() else { return };
    manager.unit("wrong.service", "[Service]\nType=notify\nExecStart=/nonexistent/program\n");
    let output = manager.try_ctl(["start", "wrong.service"]);
    assert!(!output.status.success());
    assert_eq!(manager.show("wrong.service", "Result"), "exit-code");
    process::until(|| manager.log().contains("wrong.service: Failed with result 'exit-code'."));
}

#[test]
fn the_server_runs_as_a_unit_and_a_stop_drains() {
    let Some(manager) = Manager::start() else { return };
    let mut fleet = manager.service("server", "[Service]\nType=exec\nKillMode=control-group", Setup::new());
    manager.ctl(["start", "server.service"]);
    let pid = fleet.greet();
    assert_eq!(manager.main_pid("server.service"), pid);
    assert_eq!(crate::support::http::Client::connect(fleet.http).get("/").body, b"hello world");
    manager.ctl(["stop", "server.service"]);
    assert_eq!(fleet.until("done generation=0").number("code"), 0);
    fleet.until_all_have_ended();
    assert_eq!(manager.show("server.service", "Result"), "success");
}

#[allow(clippy::disallowed_methods, reason = "nix wants numbers")]
fn say(to: &NotifySocket, text: &str, file: Option<&dyn AsRawFd>) {
    let socket = UnixDatagram::unbound().unwrap();
    match to.name().to_str().unwrap().strip_prefix('@') {
        Some(name) => socket.connect_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap(),
        None => socket.connect(to.name()).unwrap(),
    }
    let numbers: Vec<_> = file.iter().map(|file| file.as_raw_fd()).collect();
    let rights = [ControlMessage::ScmRights(&numbers)];
    let rights = if numbers.is_empty() { &[][..] } else { &rights[..] };
    let bytes = [IoSlice::new(text.as_bytes())];
    sendmsg::<()>(socket.as_raw_fd(), &bytes, rights, MsgFlags::empty(), None).unwrap();
}

#[test]
fn the_stand_in_records_who_said_what_and_keeps_what_it_is_given() {
    let manager = NotifySocket::at_an_abstract_name();
    let file = tempfile::tempfile().unwrap();
    say(&manager, "READY=1\nSTATUS=up", None);
    say(&manager, "FDSTORE=1\nFDNAME=http\nFDPOLL=0", Some(&file));
    say(&manager, "MAINPID=7", None);
    let said = manager.next();
    assert_eq!((said.pid, said.value("STATUS")), (std::process::id() as i32, Some("up")));
    manager.until("MAINPID=7");
    assert_eq!(manager.stored("http"), 1);
    let [kept] = &manager.take_stored("http")[..] else { panic!("one") };
    let inode = |number| process::target(std::process::id() as i32, number);
    #[allow(clippy::disallowed_methods, reason = "to compare")]
    let ours = file.as_raw_fd();
    assert_eq!(inode(kept.0), inode(ours));
    assert_eq!(manager.all().len(), 3);
}

#[test]
fn the_stand_in_closes_barriers_or_holds_them() {
    let manager = NotifySocket::new();
    for held in [false, true] {
        if held {
            manager.hold_barriers();
        }
        let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
        say(&manager, "BARRIER=1", Some(&write));
        drop(write);
        manager.until("BARRIER=1");
        if held {
            manager.release_barriers();
        }
        assert_eq!(fs::File::from(read).read(&mut [0]).unwrap(), 0);
    }
}

#[test]
fn the_stand_in_takes_nothing_that_systemd_would_ignore() {
    let file = tempfile::tempfile().unwrap();
    let long = format!("STATUS={}", "x".repeat(4096));
    for (text, file) in [
        ("READY", None),
        ("READY=0", None),
        ("REDY=1", None),
        ("READY=1\n", None),
        ("RELOADING=1", None),
        ("RELOADING=1\nMONOTONIC_USEC=18446744073709551615", None),
        ("BARRIER=1", None),
        ("BARRIER=1\nREADY=1", Some(&file)),
        ("FDSTORE=1\nFDNAME=x\nFDPOLL=0", None),
        ("READY=1", Some(&file)),
        (&long, None),
    ] {
        let manager = NotifySocket::new();
        say(&manager, text, file.map(|file| file as &dyn AsRawFd));
        let refused = std::panic::catch_unwind(|| drop(manager.next()));
        assert!(refused.is_err(), "{text:?}");
        manager.forgive();
    }
}

//! Processes that inherit the variable and are nobody's successor: they start as generation 0 and touch nothing.
#![allow(clippy::disallowed_methods)] // the frames are sent by hand, and numbers are what goes with them

use std::{
    ffi::OsStr,
    fs::File,
    net::{TcpListener, TcpStream},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::{ffi::OsStrExt, net::UnixStream},
    },
    process::Stdio,
};

use nix::sys::{signal::Signal, stat::fstat};

use crate::support::{
    Setup,
    echo::echo,
    frames::{self, Wire},
};

fn inode(of: impl AsFd) -> u64 {
    fstat(of).unwrap().st_ino
}

/// With this as descriptor 0 and this variable it is generation 0, serves, and ends well.
#[track_caller]
fn starts_anew(stdin: impl Into<Stdio>, variable: impl AsRef<OsStr>) {
    let setup = Setup::new().tune(|command| {
        command.stdin(stdin).env("TOKIO_HOTRESTART_CHANNEL", variable);
    });
    let mut fleet = setup.start();
    echo(fleet.echo).unwrap();
    let second = fleet.restart(0, fleet.first());
    fleet.until("done generation=0");
    fleet.signal(second, Signal::SIGTERM);
    assert_eq!(fleet.until("done generation=1").number("code"), 0);
    fleet.until_all_have_ended();
}

#[test]
fn a_variable_that_names_nothing_is_ignored() {
    for variable in ["", "x", "0", "0:", ":1", "-1:5", "0:1:2", "0:x", "99999999999:1", "1000:1", "0: 1"] {
        starts_anew(Stdio::null(), variable);
    }
    starts_anew(Stdio::null(), OsStr::from_bytes(b"\xff:\xfe"));
}

/// On which nobody ever speaks: whoever took it for a channel would wait for a HELLO.
#[test]
fn a_silent_socket_at_the_number_is_not_waited_for() {
    let (_ours, theirs) = UnixStream::pair().unwrap();
    let stale = format!("0:{}", inode(&theirs) + 1);
    starts_anew(OwnedFd::from(theirs), stale);
}

#[test]
fn another_socket_at_the_number_is_left_alone() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    Wire(ours.as_raw_fd()).say(b"for somebody else, and long enough for a HELLO");
    let stale = format!("0:{}", inode(&theirs) + 1);
    let kept = theirs.try_clone().unwrap();
    starts_anew(OwnedFd::from(theirs), stale);
    finds(&kept, b"for somebody else, and long enough for a HELLO");
}

#[test]
fn what_is_no_unix_socket_is_left_alone() {
    let file = tempfile::tempfile().unwrap();
    let variable = format!("0:{}", inode(&file));
    starts_anew(file, variable);

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let variable = format!("0:{}", inode(&client));
    starts_anew(OwnedFd::from(client), variable);

    let null = File::open("/dev/null").unwrap();
    let variable = format!("0:{}", inode(&null));
    starts_anew(null, variable);
}

/// Variable and channel both, as a program inherits them that a successor's shell script runs before it becomes the
/// server.
#[test]
fn a_hello_to_another_process_is_left_where_it_is() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let hello = frames::hello(std::process::id(), 7, (1, 1));
    let socket = frames::socket("echo", "127.0.0.1:0", &address);
    let wire = Wire(ours.as_raw_fd());
    wire.say(&hello);
    wire.pass(&socket, &[listener.as_raw_fd()]);
    let variable = format!("0:{}", inode(&theirs));
    let kept = theirs.try_clone().unwrap();
    starts_anew(OwnedFd::from(theirs), variable);
    finds(&kept, &[hello, socket].concat());
    let said = ours.set_nonblocking(true).and_then(|()| std::io::Read::read(&mut &ours, &mut [0]));
    assert_eq!(said.unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "and nothing was answered");
}

/// Everything that was said lies there still, to the byte.
#[track_caller]
fn finds(kept: &UnixStream, said: &[u8]) {
    let mut lies = vec![0; said.len()];
    std::io::Read::read_exact(&mut &*kept, &mut lies).unwrap();
    assert_eq!(lies, said);
}

/// A successor's own children inherit its environment, but not its channel.
#[test]
fn a_server_that_is_started_by_a_successors_script_is_a_server_of_its_own() {
    let mut fleet = Setup::new().start();
    let helper = fleet.path("helper");
    let again = crate::support::again();
    let server = again.strip_prefix("exec ").unwrap();
    // The helper is a whole server, run to its end; then the script becomes the successor.
    fleet.release.after(&format!(
        "{server} > '{0}' 2>&1 & helper=$!
         until grep -q '^ready' '{0}'; do :; done
         kill -TERM $helper; wait $helper; echo helper status=$?",
        helper.display()
    ));
    fleet.restart(0, fleet.first());
    assert_eq!(fleet.until("helper").number("status"), 0);
    let said = std::fs::read_to_string(&helper).unwrap();
    assert!(said.contains("ready generation=0"), "{said}");
    echo(fleet.echo).unwrap();
}

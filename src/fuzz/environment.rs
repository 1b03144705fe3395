//! What variables say, a line of the input each: the channel's name, the manager's, and where the control path lies.

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::{
        fd::{AsFd, AsRawFd},
        unix::{ffi::OsStrExt, fs::MetadataExt},
    },
    path::Path,
    process,
};

use super::block_on;
use crate::{
    control::{given, named_after},
    sys,
    systemd::{Environment, Watchdog, address},
};

pub(super) fn run(input: &[u8]) {
    // One that is missing is a variable that is not there.
    let mut lines = input.split(|byte| *byte == b'\n').map(OsStr::from_bytes);
    let channel = lines.next();
    let variables =
        ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "SYSTEMD_EXEC_PID"].map(|name| (name, lines.next()));
    let (runtime, user, program) = (lines.next(), lines.next(), lines.next());
    if let Some(channel) = channel.and_then(OsStr::to_str) {
        named(channel);
    }
    manager(&variables);
    control_path(runtime, user, program);
}

/// Where `N` stands in the input is the number of a socket, and where `I` stands its inode.
fn named(channel: &str) {
    let (socket, _peer) = sys::socket_pair().expect("a pair");
    let name = sys::name_for_heir(&socket).expect("a socket");
    let (number, inode) = name.split_once(':').expect("a number and an inode");
    let channel = channel.replace('N', number).replace('I', inode);
    let said = channel.split_once(':').and_then(|(number, inode)| Some((number.parse().ok()?, inode.parse().ok()?)));
    let is_it = said.is_some_and(|(said_number, said_inode): (i32, u64)| {
        said_number.to_string() == number && said_inode.to_string() == inode
    });
    let found = sys::Named::find(&channel);
    assert!(found.is_some() || !is_it, "{channel}");
    // It may name any other of this process's, too; but what is found must be what it says, number and inode.
    if let Some(found) = found {
        #[expect(clippy::disallowed_methods, reason = "the number is what is compared")]
        let number = found.as_fd().as_raw_fd();
        assert_eq!(said, Some((number, inode_of(number))), "{channel}");
    }
}

/// As `/proc` has it, and not as the code does that is tried here.
fn inode_of(number: i32) -> u64 {
    fs::metadata(format!("/proc/self/fd/{number}")).expect("it is open").ino()
}

fn manager(variables: &[(&str, Option<&OsStr>)]) {
    let value = |name: &str| variables.iter().find(|(it, _)| *it == name)?.1.map(OsString::from);
    // `P` stands for this process's pid.
    let with_pid = |value: OsString| match value.to_str() {
        Some(text) => text.replace('P', &process::id().to_string()).into(),
        None => value,
    };
    let environment = Environment::read(|name| match name {
        "WATCHDOG_PID" | "SYSTEMD_EXEC_PID" => value(name).map(with_pid),
        _ => value(name),
    });
    environment.names_this_process();
    let interval = environment.watchdog_interval();
    assert!(interval.is_none_or(|it| !it.is_zero()));
    if interval.is_some() {
        assert!(value("WATCHDOG_USEC").is_some());
        block_on(async { Watchdog::new(interval).tick().await });
    }
    let Some(socket) = value("NOTIFY_SOCKET") else {
        return;
    };
    match address(&socket) {
        Ok(address) => {
            let path = address.as_pathname().map(|path| path.as_os_str().as_bytes().to_vec());
            let name = address.as_abstract_namespace().map(|name| [b"@", name].concat());
            let read = path.or(name);
            assert_eq!(read.as_deref(), Some(socket.as_bytes()));
        }
        Err(error) => assert!(!error.message().is_empty()),
    }
}

fn control_path(runtime: Option<&OsStr>, user: Option<&OsStr>, program: Option<&OsStr>) {
    for uid in [0, 1000] {
        let place = given(runtime.map(OsString::from), user.map(OsString::from), uid);
        assert!(place.as_ref().is_none_or(|place| place.is_absolute()));
        assert!(place.is_some() || uid != 0, "root has a place whatever the variables say");
        let Some((place, program)) = place.zip(program.and_then(|it| Path::new(it).file_name())) else {
            continue;
        };
        let path = place.join(named_after(program));
        assert_eq!(path.parent(), Some(place.components().as_path()), "{path:?} lies in that directory");
    }
}

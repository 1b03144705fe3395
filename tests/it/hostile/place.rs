//! What lies at our paths and is none of ours: it stays as it is, and the error names it.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use nix::sys::{signal::Signal, stat::Mode};

use crate::support::{Setup, echo::echo, process};

/// A path at which each of these lies in its turn, and what must not be touched by whoever comes there.
fn each(lies: impl Fn(&Path)) {
    type Lay = fn(&Path, &Path);
    let lay: [Lay; 4] = [
        |path, precious| symlink(precious, path).unwrap(),
        |path, _| symlink("/nonexistent/precious", path).unwrap(),
        |path, _| nix::unistd::mkfifo(path, Mode::S_IRWXU).unwrap(),
        |path, _| fs::write(path, "precious").unwrap(),
    ];
    for lay in lay {
        let place = tempfile::tempdir().unwrap();
        let (path, precious) = (place.path().join("path"), place.path().join("precious"));
        fs::write(&precious, "precious").unwrap();
        lay(&path, &precious);
        let before = process::file(&path);
        lies(&path);
        assert_eq!(process::file(&path), before, "it is what it was");
        assert_eq!(fs::read(&precious).unwrap(), b"precious");
        let mut all: Vec<_> = fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        all.sort();
        assert_eq!(all, ["path", "precious"], "and nothing lies beside it");
    }
}

/// The server does not start, with these words.
fn does_not_start(setup: Setup, status: i32, words: &[&str]) {
    let mut fleet = setup.spawn();
    fleet.until_all_have_ended();
    assert_eq!(fleet.first_exit().code(), Some(status), "{}", fleet.log());
    words.iter().for_each(|word| fleet.until_logged(word, 1));
}

#[test]
fn at_the_control_path_it_is_left_alone_and_named() {
    each(|path| {
        let named = path.display().to_string();
        does_not_start(Setup::new().with("CONTROL", path), 20, &["not started: ", &named, "Address already in use"]);
    });
}

#[test]
fn at_the_path_of_a_unix_listener_it_is_left_alone_and_named() {
    each(|path| {
        let named = path.display().to_string();
        let words = ["generation 0 failed: bind \"unix echo\"", &named, "Address already in use"];
        does_not_start(Setup::new().with("UNIX_ECHO", path), 21, &words);
    });
}

/// What others have laid where the pid file is to be, and how the server comes to be there. It replaces what lies there, and
/// what that leads to stays as it is.
fn replaces(lies: impl Fn(Setup, &Path, &str) -> Setup) {
    for target in ["precious", "/nonexistent/precious"] {
        let setup = Setup::new();
        let place = setup.place();
        let (path, precious): (PathBuf, _) = (place.join("server.pid"), place.join("precious"));
        fs::write(&precious, "precious").unwrap();
        let mut fleet = lies(setup.with("PID_FILE", &path), &path, target).start();
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", fleet.first()));
        assert_eq!(fs::read(&precious).unwrap(), b"precious");
        echo(fleet.echo).unwrap();
        fleet.signal(fleet.first(), Signal::SIGTERM);
        fleet.until_all_have_ended();
        assert!(!path.exists() && !Path::new(target).exists());
        assert_eq!(fs::read(&precious).unwrap(), b"precious");
        let names = fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert_eq!(names.filter(|name| name.starts_with("server.pid")).count(), 0, "nor does anything lie beside it");
    }
}

#[test]
fn a_link_at_the_pid_file_s_path_is_replaced_and_what_it_leads_to_is_left_alone() {
    replaces(|setup, path, target| {
        symlink(target, path).unwrap();
        setup
    });
}

/// At the name of the file that is renamed over it, which can be guessed: it ends with the pid, which a shell has before it
/// becomes the server.
#[test]
fn a_link_beside_the_pid_file_is_replaced_and_what_it_leads_to_is_left_alone() {
    replaces(|setup, path, target| {
        let script = format!("ln -s '{target}' '{}.'$$ && exec \"$@\"", path.display());
        setup.through("sh", ["-c", &script, "sh"])
    });
}

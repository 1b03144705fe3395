//! What a restart starts: the program file as it is then, with the arguments, the directory and the environment of
//! start-up.

use std::{
    ffi::OsString,
    fs,
    os::unix::{ffi::OsStringExt, fs::symlink, process::CommandExt},
    path::{Path, PathBuf},
};

use nix::sys::signal::Signal;

use crate::support::{Fleet, Setup, again, process, this, write_program};

/// A server that finds its program by itself.
fn unaided() -> Setup {
    Setup::new().tune(|command| {
        command.env_remove("HR_PROGRAM");
    })
}

/// The server's program as a file of its own.
fn install(path: &Path) {
    // Its own name is enough; where the file systems differ, a copy.
    if fs::hard_link(this(), path).is_err() {
        fs::copy(this(), path).expect("copied");
    }
}

/// A later release: the same server, known by its environment.
fn release(path: &Path, name: &str) {
    write_program(path, format!("#!/bin/sh\nexport RELEASE={name}\n{}\n", again()).as_bytes(), 0o755);
}

/// `NAME=value`s with which a process was started.
fn environment(pid: i32) -> Vec<OsString> {
    let bytes = fs::read(format!("/proc/{pid}/environ")).expect("it lives");
    bytes.split(|byte| *byte == 0).map(|pair| OsString::from_vec(pair.to_vec())).collect()
}

fn is_release(pid: i32, name: &str) -> bool {
    environment(pid).contains(&OsString::from(format!("RELEASE={name}")))
}

fn working_directory(pid: i32) -> PathBuf {
    fs::read_link(format!("/proc/{pid}/cwd")).expect("it lives")
}

fn restart(fleet: &mut Fleet) -> i32 {
    let first = fleet.first();
    fleet.restart(0, first)
}

#[test]
fn a_program_renamed_over_the_running_one_is_what_starts() {
    let setup = unaided();
    let server = setup.place().join("server");
    install(&server);
    let start = format!("exec '{}' \"$@\"", server.display());
    let mut fleet = setup.through("sh", ["-c", &start]).start();
    release(&server, "next");
    let second = restart(&mut fleet);
    assert!(is_release(second, "next"));
}

#[test]
fn a_release_directory_that_is_a_link_is_followed_anew() {
    let setup = unaided();
    let place = setup.place().canonicalize().unwrap();
    for number in ["1", "2"] {
        fs::create_dir(place.join(number)).unwrap();
    }
    install(&place.join("1/server"));
    release(&place.join("2/server"), "two");
    symlink("1", place.join("now")).unwrap();
    let start = format!("cd '{}' && exec ./server \"$@\"", place.join("now").display());
    let mut fleet = setup.through("sh", ["-c", &start]).start();
    symlink("2", place.join("next")).unwrap();
    fs::rename(place.join("next"), place.join("now")).unwrap();
    let second = restart(&mut fleet);
    assert!(is_release(second, "two"));
    assert_eq!(working_directory(second), place.join("2"), "the directory's name is what was meant");
}

#[test]
fn a_relative_name_and_the_directory_are_those_of_start_up_wherever_the_application_went() {
    let setup = unaided();
    let place = setup.place().canonicalize().unwrap();
    let stood = place.join("stood");
    install(&place.join("server"));
    let start = format!("cd '{}' && exec ./server \"$@\"", place.display());
    let mut fleet = setup.with("CHDIR", "/").through("sh", ["-c", &start]).start();
    assert_eq!(working_directory(fleet.first()), Path::new("/"));
    let tell = format!("#!/bin/sh\npwd -P > '{}'\n{}\n", stood.display(), again());
    write_program(&place.join("server"), tell.as_bytes(), 0o755);
    restart(&mut fleet);
    assert_eq!(fs::read_to_string(stood).unwrap().trim_end(), place.to_str().unwrap());
}

#[test]
fn a_deleted_program_is_missing_until_another_lies_at_its_place() {
    let setup = unaided();
    let server = setup.place().join("server");
    install(&server);
    let start = format!("exec '{}' \"$@\"", server.display());
    let mut fleet = setup.through("sh", ["-c", &start]).start();
    fs::remove_file(&server).unwrap();
    fleet.ask(fleet.first());
    let answer = fleet.answer(0);
    assert!(answer.starts_with("ProgramMissing: ") && answer.contains(server.to_str().unwrap()), "{answer}");
    release(&server, "next");
    let second = restart(&mut fleet);
    assert!(is_release(second, "next"));
}

/// The kernel calls such an image `… (deleted)`, and its first argument says nothing either.
#[test]
fn a_program_that_was_deleted_before_it_looked_is_sought_where_it_was() {
    let setup = unaided();
    let server = setup.place().canonicalize().unwrap().join("server");
    install(&server);
    let start = format!("exec 9<'{0}'; rm '{0}'; exec -a nobody /proc/self/fd/9 \"$@\"", server.display());
    let mut fleet = setup.through("bash", ["-c", &start]).start();
    release(&server, "next");
    let second = restart(&mut fleet);
    assert!(is_release(second, "next"));
}

#[test]
fn a_first_argument_that_leads_nowhere_gives_way_to_the_image() {
    let mut fleet = unaided()
        .tune(|command| {
            command.arg0("a nice name");
        })
        .start();
    let second = restart(&mut fleet);
    assert_eq!(fs::read_link(format!("/proc/{second}/exe")).unwrap(), this());
    let arguments = fs::read(format!("/proc/{second}/cmdline")).unwrap();
    assert!(arguments.starts_with(b"a nice name\0"), "the arguments stay what they were");
}

#[test]
fn arguments_are_passed_on_byte_by_byte() {
    let bytes = OsString::from_vec(b"--name\ncaf\xe9 \xff\n".to_vec());
    let mut fleet = Setup::new().with("ARGS", &bytes).start();
    let heard = fleet.path("heard");
    let tell = format!("printf '%s\\n' \"$@\" > '{}'\n{}", heard.display(), again());
    fleet.release.script(&tell);
    let second = restart(&mut fleet);
    assert_eq!(fs::read(&heard).unwrap(), b"--name\ncaf\xe9 \xff\n\n");
    fleet.restart(1, second);
    assert_eq!(fs::read(&heard).unwrap(), b"--name\ncaf\xe9 \xff\n\n", "by every generation");
}

#[test]
fn a_working_directory_that_was_deleted_is_inherited() {
    let setup = unaided();
    let gone = setup.place().join("gone");
    fs::create_dir(&gone).unwrap();
    let start = format!("cd '{}' && exec \"$0\" \"$@\"", gone.display());
    let mut fleet = setup.through("sh", ["-c", &start]).start();
    fs::remove_dir(&gone).unwrap();
    let here = process::directory(fleet.first());
    let second = restart(&mut fleet);
    assert_eq!(process::directory(second), here);
    let third = fleet.restart(1, second);
    assert_eq!(process::directory(third), here);
}

#[test]
fn a_working_directory_that_is_gone_is_an_error_that_names_it() {
    let setup = unaided().with("CHDIR", "/");
    let gone = setup.place().join("gone");
    fs::create_dir(&gone).unwrap();
    let start = format!("cd '{}' && exec \"$0\" \"$@\"", gone.display());
    let mut fleet = setup.through("sh", ["-c", &start]).start();
    fs::remove_dir(&gone).unwrap();
    fleet.ask(fleet.first());
    let answer = fleet.answer(0);
    assert!(answer.starts_with("Spawn: ") && answer.contains(gone.to_str().unwrap()), "{answer}");
    fs::create_dir(&gone).unwrap();
    restart(&mut fleet);
}

#[test]
fn the_environment_is_passed_on_less_what_was_for_one_process_only() {
    let odd = OsString::from_vec(b"\xff\xfe".to_vec());
    let mut fleet = Setup::new()
        .with("ODD", &odd)
        .tune(|command| {
            command.env("LISTEN_FDS", "1").env("LISTEN_PID", "1").env("LISTEN_FDNAMES", "http");
            command.env("LISTEN_ADDR", "127.0.0.1:8080");
            command.env("WATCHDOG_PID", "1").env("WATCHDOG_USEC", "30000000").env("PLAIN", "kept");
        })
        .start();
    let second = restart(&mut fleet);
    assert_environment(second);
    let third = fleet.restart(1, second);
    assert_environment(third);
}

fn assert_environment(pid: i32) {
    let environment: Vec<_> = environment(pid).into_iter().map(OsString::into_vec).collect();
    let count = |start: &[u8]| environment.iter().filter(|pair| pair.starts_with(start)).count();
    assert_eq!((count(b"LISTEN_"), count(b"LISTEN_ADDR=")), (1, 1), "the application's own");
    assert_eq!(count(b"WATCHDOG_PID="), 0);
    assert_eq!(count(b"PLAIN=kept"), 1);
    assert_eq!(count(b"HR_ODD=\xff\xfe"), 1);
    assert_eq!(count(b"TOKIO_HOTRESTART_CHANNEL="), 1, "its own, and not its predecessor's as well");
}

#[test]
fn the_log_tells_whether_the_program_has_changed() {
    let mut fleet = Setup::new().start();
    let second = restart(&mut fleet);
    fleet.until_logged("unchanged=true", 1);
    fleet.release.after("");
    fleet.restart(1, second);
    fleet.until_logged("unchanged=false", 1);
}

#[test]
fn another_program_can_be_named() {
    let setup = Setup::new();
    let other = setup.place().join("other");
    release(&other, "other");
    let mut fleet = setup.with("PROGRAM", &other).start();
    let second = restart(&mut fleet);
    assert!(is_release(second, "other"));
    fleet.signal(second, Signal::SIGTERM);
    fleet.until("done generation=1");
}

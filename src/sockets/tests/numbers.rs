//! Numbers that came through an exec, in a process that was started with them.

use std::process::{Command, Stdio};

use super::*;

/// A test in a process that finds `passed` at number 5, as a shell passes it.
fn with_5(passed: OwnedFd, test: &str) {
    let mut process = Command::new("/bin/sh");
    process.args(["-c", "exec 5<&0 </dev/null; exec \"$0\" \"$@\""]).arg(std::env::current_exe().unwrap());
    let output = process.args(["--exact", test, "--ignored"]).stdin(Stdio::from(passed)).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

fn refused<S: Socket + Debug>(number: i32) -> String {
    let error = adopt_number::<S>(number).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Socket);
    error.to_string()
}

#[test]
fn a_number_that_came_through_an_exec_is_adopted_once() {
    with_5(tcp(), "sockets::tests::numbers::at_5_is_a_listener");
}

#[tokio::test]
#[ignore = "run by the test above"]
async fn at_5_is_a_listener() {
    let before = fs::read_link("/proc/self/fd/5").unwrap();
    assert_eq!(
        refused::<UdpSocket>(5),
        "adopt a number as a UDP socket: descriptor 5: it is a socket of another type (SOCK_STREAM)"
    );
    assert_eq!(fs::read_link("/proc/self/fd/5").unwrap(), before, "it stays where it was");
    let listener = adopt_number::<TcpListener>(5).unwrap();
    assert!(!is_blocking(&listener) && closes_on_exec(&listener));
    assert_eq!(refused::<TcpListener>(5), "adopt a number as a TCP listener: descriptor 5 is closed");
    let _client = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    listener.accept().await.unwrap();
    // Where it is now, it is this process's own.
    let is_at = |number: &i32| fs::read_link(format!("/proc/self/fd/{number}")).is_ok_and(|link| link == before);
    let now = (3..64).find(is_at).expect("it is open");
    let said = format!("adopt a number as a TCP listener: descriptor {now} is close-on-exec");
    assert!(refused::<TcpListener>(now).starts_with(&said));
    assert!(is_at(&now));
}

/// Without a runtime tokio panics, and what it panics over was a duplicate.
#[test]
fn a_number_that_cannot_be_adopted_stays_as_it_was() {
    with_5(tcp(), "sockets::tests::numbers::at_5_is_what_nobody_can_register");
}

#[test]
#[ignore = "run by the test above"]
fn at_5_is_what_nobody_can_register() {
    std::panic::catch_unwind(|| adopt_number::<TcpListener>(5)).unwrap_err();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    runtime.block_on(async { adopt_number::<TcpListener>(5).map(drop) }).unwrap();
}

#[tokio::test]
async fn a_number_that_was_never_one_and_a_standard_stream_are_refused() {
    for number in [-1, i32::MIN, 0, 1, 2] {
        let said = format!("adopt a number as a descriptor: {number} is no number beyond the standard streams");
        assert_eq!(refused::<OwnedFd>(number), said);
    }
    assert!(refused::<OwnedFd>(i32::MAX).ends_with(" is closed"));
}

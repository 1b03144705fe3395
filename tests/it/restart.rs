//! A restart that goes well.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use nix::sys::signal::Signal;

use crate::support::{Fleet, Setup};

/// One line there and back over the raw listener.
fn echo(fleet: &Fleet) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(fleet.echo)?;
    stream.write_all(b"line\n")?;
    let mut back = [0; 5];
    stream.read_exact(&mut back)
}

#[test]
fn a_successor_takes_over_the_same_sockets_and_the_predecessor_ends() {
    let mut fleet = Setup::new().start();
    echo(&fleet).unwrap();
    let first = fleet.first();
    let second = fleet.restart(0, first);
    assert_ne!(first, second);
    fleet.until("done generation=0");
    assert!(fleet.first_exit().success());
    echo(&fleet).unwrap();
    fleet.signal(second, Signal::SIGTERM);
    assert_eq!(fleet.until("done generation=1").number("code"), 0);
    fleet.until_all_have_ended();
    assert!(echo(&fleet).is_err());
}

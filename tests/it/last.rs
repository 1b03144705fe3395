//! A listener that is last to close.

use std::net::{SocketAddr, TcpStream};

use nix::sys::signal::Signal;

use crate::support::{Fleet, Setup, echo, http::Client};

fn started() -> (Fleet, SocketAddr) {
    let mut fleet = Setup::new().with("LAST", "127.0.0.1:0").with("STOP_DEADLINE_MS", "600000").start();
    let health = fleet.until("health generation=0 ")["address"].parse().unwrap();
    (fleet, health)
}

#[test]
fn it_answers_old_and_new_clients_until_everything_else_is_over() {
    let (mut fleet, health) = started();
    let held = echo::Client::served(fleet.echo);
    let mut old = Client::served(health);
    fleet.signal(fleet.first(), Signal::SIGTERM);
    fleet.until("ending generation=0 ");
    // Accepting has ended everywhere else as soon as its queue was empty.
    crate::support::process::until(|| TcpStream::connect(fleet.http).is_err());
    for _ in 0..3 {
        assert!(!old.get("/").close);
        assert!(!Client::connect(health).get("/").close);
    }
    drop(held);
    let done = fleet.until("done generation=0");
    assert_eq!((done.number("cut"), done.number("code")), (0, 0));
    assert_eq!(old.rest().expect("no reset"), b"");
    fleet.until_all_have_ended();
    assert!(TcpStream::connect(health).is_err());
}

#[test]
fn at_a_restart_it_is_the_successors_like_any_other() {
    let (mut fleet, health) = started();
    let mut old = Client::served(health);
    let held = echo::Client::served(fleet.echo);
    let second = fleet.restart(0, fleet.first());
    let answer = old.get("/");
    assert!(answer.generation == 0 || answer.close);
    for _ in 0..3 {
        assert_eq!(Client::connect(health).get("/").generation, 1);
    }
    drop((held, old));
    fleet.until("done generation=0");
    fleet.stop(second, 1);
    fleet.until_all_have_ended();
}

//! Names that the successor does not take over: dropped, or bound to another address.

use std::net::SocketAddr;

use nix::sys::signal::Signal;

use crate::support::{
    Setup,
    echo::{Client, echo},
    process,
};

#[test]
fn a_name_that_the_successor_drops_is_emptied_and_closed() {
    let mut fleet = Setup::new().with("EXTRA", "127.0.0.1:0").with("AT", "0:LetGo:hold").start();
    let extra: SocketAddr = fleet.until("extra generation=0")["address"].parse().unwrap();
    let mut served = Client::served(extra);
    fleet.release.after("unset HR_EXTRA");
    let first = fleet.first();
    fleet.signal(first, Signal::SIGUSR2);
    fleet.until_held("LetGo");
    // Nobody accepts just now, and the successor never will.
    let mut waiting: Vec<_> = (0..20).map(|_| Client::connect(extra).expect("queued")).collect();
    fleet.signal(first, Signal::SIGCONT);
    for client in &mut waiting {
        client.line().expect("the predecessor empties the queue");
    }
    served.line().expect("it finishes what it has accepted");
    fleet.until("ending generation=0 ");
    let second = fleet.until("ready generation=1").pid();
    process::until(|| echo(extra).is_err());
    drop((waiting, served));
    let done = fleet.until("done generation=0");
    assert_eq!((done.number("cut"), done.number("code")), (0, 0));
    echo(fleet.echo).expect("the other names are not concerned");
    let third = fleet.restart(1, second);
    assert_eq!(process::listening(third).len(), 2, "it is passed on no more");
}

#[test]
fn a_name_that_the_successor_adds_is_passed_on_from_then() {
    let mut fleet = Setup::new().start();
    fleet.release.after("export HR_EXTRA=127.0.0.1:0");
    let first = fleet.first();
    let second = fleet.restart(0, first);
    let extra: SocketAddr = fleet.until("extra generation=1")["address"].parse().unwrap();
    echo(extra).unwrap();
    let sockets = process::listening(second);
    let third = fleet.restart(1, second);
    assert_eq!(process::listening(third), sockets);
    echo(extra).unwrap();
}

#[test]
fn a_name_whose_address_has_changed_is_bound_anew_and_the_old_one_emptied() {
    let mut fleet = Setup::new().with("AT", "0:LetGo:hold").start();
    let old = fleet.echo;
    let mut served = Client::served(old);
    fleet.release.after("export HR_ECHO=127.0.0.2:0");
    let first = fleet.first();
    fleet.signal(first, Signal::SIGUSR2);
    fleet.until_held("LetGo");
    let ready = fleet.until("ready generation=1");
    let new: SocketAddr = ready["echo"].parse().unwrap();
    assert_eq!(new.ip().to_string(), "127.0.0.2");
    echo(new).expect("the successor serves there already");
    let mut waiting: Vec<_> = (0..20).map(|_| Client::connect(old).expect("queued")).collect();
    fleet.signal(first, Signal::SIGCONT);
    for client in &mut waiting {
        client.line().expect("the predecessor empties the queue");
    }
    served.line().expect("it finishes what it has accepted");
    process::until(|| echo(old).is_err());
    drop((waiting, served));
    assert_eq!(fleet.until("done generation=0").number("cut"), 0);
    fleet.until_logged("the address has changed", 1);
    fleet.restart(1, ready.pid());
    echo(new).expect("passed on under its name");
}

/// The same for the HTTP listener, with the predecessor back in service when the restart fails.
#[test]
fn a_failed_change_of_address_leaves_the_old_one_served() {
    let mut fleet = Setup::new().with("PROBATION_MS", "60000").with("AT", "1:AnswerReady:kill").start();
    fleet.release.after("export HR_ECHO=127.0.0.2:0");
    fleet.ask(fleet.first());
    assert!(fleet.answer(0).starts_with("Probation: "));
    echo(fleet.echo).unwrap();
}

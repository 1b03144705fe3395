//! A stop's first part: not ready, and still accepting.

use std::{
    io::ErrorKind,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread::JoinHandle,
};

use nix::sys::signal::Signal;

use crate::support::{
    Control, Fleet, Setup,
    echo::{Client as Lines, echo},
    http::{Answer, Client},
    process,
};

/// A lame duck that ends when the test lets it, and never by a slow machine.
const ENDLESS: &str = "600000";

fn endless() -> Setup {
    Setup::new().with("LAME_DUCK_MS", ENDLESS).with("STATES", "")
}

#[track_caller]
fn begin(fleet: &mut Fleet) {
    fleet.signal(fleet.first(), Signal::SIGTERM);
    fleet.until("state generation=0");
    while &fleet.until("state generation=0")["is"] != "lame_duck" {}
}

#[track_caller]
fn says(answer: &Answer, body: &str) {
    assert_eq!((answer.generation, String::from_utf8_lossy(&answer.body)), (0, body.into()));
}

/// Everybody is served: old clients and new ones, of HTTP and of lines.
#[track_caller]
fn serves(fleet: &Fleet) {
    says(&Client::connect(fleet.http).get("/"), "hello world");
    echo(fleet.echo).expect("served");
}

#[test]
fn readiness_flips_at_once_and_old_and_new_clients_are_served_until_the_end() {
    let mut fleet = endless().start();
    let (mut kept, mut lines) = (Client::connect(fleet.http), Lines::served(fleet.echo));
    says(&kept.get("/readyz"), "ready");
    begin(&mut fleet);
    says(&Client::connect(fleet.http).get("/readyz"), "lame duck");
    serves(&fleet);
    // Its turn has most likely not come, in so long a lame duck; if it has, it is told and served all the same.
    says(&kept.get("/readyz"), "lame duck");
    lines.line().expect("served");
    fleet.signal(fleet.first(), Signal::SIGTERM);
    fleet.until_all_have_ended();
    assert!(echo(fleet.echo).is_err());
}

/// What a client sees of it.
const RESET: [ErrorKind; 2] = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];

/// Clients of either kind, as fast as they can, until nobody listens. Each ends then, one or two of them perhaps by a reset:
/// whoever connects in the very moment in which a listener closes.
struct Clients {
    threads: Vec<JoinHandle<usize>>,
    told: Arc<AtomicUsize>,
    refused: Arc<AtomicBool>,
    reset: Arc<AtomicUsize>,
}

impl Clients {
    fn on(address: SocketAddr) -> Self {
        let (told, refused) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let reset = Arc::<AtomicUsize>::default();
        let client = |keeps: bool| {
            let (told, refused, reset) = (told.clone(), refused.clone(), reset.clone());
            std::thread::spawn(move || {
                let mut connections = 0;
                while let Some(mut client) = Client::try_connect(address) {
                    connections += 1;
                    let mut answered = client.try_get("/");
                    if answered.as_ref().is_err_and(|error| RESET.contains(&error.kind())) {
                        reset.fetch_add(1, Relaxed);
                        break;
                    }
                    // Until it is told: nothing else ends a connection on which somebody asks without a pause.
                    loop {
                        let answer = answered.expect("answered");
                        says(&answer, "hello world");
                        told.fetch_add(usize::from(answer.close), Relaxed);
                        if answer.close {
                            assert_eq!(client.rest().expect("no reset"), b"");
                            break;
                        }
                        if !keeps {
                            break;
                        }
                        answered = client.try_get("/");
                    }
                }
                refused.store(true, Relaxed);
                connections
            })
        };
        let threads = [true, true, true, true, false, false].map(client).into();
        Self { threads, told, refused, reset }
    }
}

/// The server stands still in the moment in which its lame duck is over: until then nobody was refused, and of those who
/// kept a connection all were told on it. Then nobody listens, which is all that a client ever sees go wrong.
#[test]
fn under_load_nobody_is_refused_before_its_end_and_all_are_told() {
    let setup = Setup::new().with("LAME_DUCK_MS", "1000").with("AT", "0:LameDuckOver:hold");
    let mut fleet = setup.start();
    let clients = Clients::on(fleet.http);
    fleet.signal(fleet.first(), Signal::SIGTERM);
    fleet.until_held("LameDuckOver");
    assert!(!clients.refused.load(Relaxed), "while it is a lame duck, it accepts");
    // Each connection's turn comes within the lame duck, so those of its beginning have all been told.
    let told = clients.told.load(Relaxed);
    assert!(told >= 4, "{told}");
    process::go_on(fleet.first());
    let connections: usize = clients.threads.into_iter().map(|client| client.join().expect("all served")).sum();
    assert!(connections > told && clients.reset.load(Relaxed) <= 2);
    let done = fleet.until("done generation=0");
    assert_eq!((done.number("raced"), done.number("cut"), done.number("code")), (0, 0, 0));
}

#[test]
fn a_connection_that_idles_is_not_let_go_before_its_end() {
    let setup = Setup::new().with("LAME_DUCK_MS", "1000").with("GRACE_MS", "100").with("AT", "0:LameDuckOver:hold");
    let mut fleet = setup.start();
    let mut clients: Vec<_> = (0..20).map(|_| Client::served(fleet.http)).collect();
    fleet.signal(fleet.first(), Signal::SIGTERM);
    fleet.until_held("LameDuckOver");
    for client in &mut clients {
        client.stream.set_nonblocking(true).unwrap();
        assert_eq!(client.stream.peek(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        client.stream.set_nonblocking(false).unwrap();
    }
    process::go_on(fleet.first());
    clients.into_iter().for_each(|client| assert_eq!(client.rest().expect("no reset"), b""));
    assert_eq!(fleet.until("done generation=0").number("finished"), 20);
}

#[test]
fn a_second_stop_in_it_ends_everything_at_once() {
    let mut fleet = endless().with("STOP_DEADLINE_MS", ENDLESS).start();
    let mut slow = Client::connect(fleet.http);
    slow.ask("/slow/600000");
    let _lines = Lines::served(fleet.echo);
    begin(&mut fleet);
    let _late = Lines::served(fleet.echo);
    fleet.signal(fleet.first(), Signal::SIGTERM);
    let done = fleet.until("done generation=0");
    assert_eq!((done.number("cut"), done.number("code")), (3, 0));
    fleet.until_all_have_ended();
    assert!(echo(fleet.echo).is_err());
}

/// A restart is under way, and the predecessor is asked to stop just then: it takes the restart back, and is a lame duck
/// like any other.
fn it_takes_the_restart_back_at(step: &str) {
    let mut fleet = endless().with("PROBATION_MS", ENDLESS).with("AT", format!("{step}:hold")).start();
    let mut kept = Client::served(fleet.http);
    let first = fleet.first();
    fleet.ask(first);
    let held = fleet.until_held(step.split_once(':').expect("generation:step").1);
    if held == first {
        fleet.signal(first, Signal::SIGTERM);
        process::go_on(first);
        while &fleet.until("state generation=0")["is"] != "lame_duck" {}
    } else {
        fleet.signal(first, Signal::SIGTERM);
        while &fleet.until("state generation=0")["is"] != "lame_duck" {}
        process::go_on(held);
    }
    assert!(fleet.answer(0).starts_with("Ending: "));
    process::until(|| process::children(first).is_empty());
    // All of it by the lame duck: nobody else is left.
    serves(&fleet);
    says(&kept.get("/readyz"), "lame duck");
    fleet.signal(first, Signal::SIGTERM);
    fleet.until_all_have_ended();
    assert!(echo(fleet.echo).is_err());
}

macro_rules! each {
    ($($name:ident($step:literal)),* $(,)?) => {
        $(#[test] fn $name() { super::it_takes_the_restart_back_at($step); })*
    };
}

mod a_stop_in_a_restart_is_a_lame_duck_too {
    each! {
        before_the_spawn("0:Spawn"),
        when_it_has_spawned("0:Spawned"),
        when_the_sockets_are_accepted("0:Accepted"),
        while_the_successor_starts("1:ReadyAsked"),
        when_ready_has_come("0:Ready"),
        before_commit("0:Confirm"),
        when_the_successor_is_confirmed("1:Confirmed"),
    }
}

#[test]
fn it_refuses_restarts_and_its_status_says_what_it_is() {
    let control = Control::new();
    let mut fleet = control.setup().with("LAME_DUCK_MS", ENDLESS).with("STATES", "").start();
    begin(&mut fleet);
    assert_eq!(control.now(), (0, "lame duck".to_owned()));
    fleet.ask(fleet.first());
    let answer = fleet.answer(0);
    assert!(answer.starts_with("Ending: "), "{answer}");
    serves(&fleet);
    fleet.signal(fleet.first(), Signal::SIGTERM);
    fleet.until_all_have_ended();
}

#[test]
fn one_of_0_is_none() {
    let mut fleet = Setup::new().with("LAME_DUCK_MS", "0").start();
    fleet.stop(fleet.first(), 0);
    assert!(!fleet.log().contains("lame duck"), "{}", fleet.log());
}

#[test]
fn a_restart_has_none() {
    let mut fleet = endless().without_handover().start();
    let mut kept = Client::served(fleet.http);
    fleet.restart(0, fleet.first());
    assert_eq!(kept.get("/").generation, 0);
    let done = fleet.until("done generation=0");
    assert_eq!(done.number("code"), 0);
    assert!(!fleet.log().contains("lame duck"), "{}", fleet.log());
}

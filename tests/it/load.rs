//! Restarts in a row under load. Every request is counted, nothing is tried again, and nothing is lost.

use std::{path::PathBuf, time::Duration};

use ::load::{Exchange, Load, Mode, Tally, Target};
use nix::sys::signal::Signal;

use crate::support::{Fleet, Line, Setup, Traffic, server::large};

pub const RESTARTS: u64 = 5;

/// A server that tells everybody at once, and lets nobody go for idling, however slow the machine is: whoever is not told
/// has been forgotten.
pub fn server() -> Setup {
    Setup::new().with("GRACE_MS", "60000").with("AT_ONCE", "1")
}

fn on_one_thread() -> Setup {
    server().with("THREADS", "1")
}

/// Restarts again and again under these loads. Each generation answers each load and ends, and nobody loses anything.
/// What each load counted, and what each predecessor said at its end.
#[track_caller]
pub fn survive(setup: Setup, loads: impl FnOnce(&mut Fleet) -> Vec<Load>) -> (Vec<Tally>, Vec<Line>) {
    let mut fleet = setup.start();
    let traffic = Traffic::on(loads(&mut fleet));
    traffic.generation(0);
    let (mut pid, mut ends) = (fleet.first(), Vec::new());
    for generation in 0..RESTARTS {
        traffic.reach(2);
        pid = fleet.restart(generation, pid);
        traffic.generation(generation + 1);
        ends.push(ended_well(&mut fleet, generation));
    }
    let tallies = traffic.off();
    fleet.signal(pid, Signal::SIGTERM);
    ended_well(&mut fleet, RESTARTS);
    fleet.until_all_have_ended();
    tallies.iter().for_each(|tally| assert_eq!(tally.lost(), 0, "{tally}"));
    (tallies, ends)
}

#[track_caller]
fn ended_well(fleet: &mut Fleet, generation: u64) -> Line {
    let done = fleet.until(&format!("done generation={generation}"));
    assert_eq!(["raced", "cut", "code"].map(|count| done.number(count)), [0; 3], "{done:?}");
    done
}

/// The same with clients that keep their connections: each keeps its first, through all generations.
#[track_caller]
fn survive_kept(setup: Setup, clients: u32, mode: Mode) {
    let (tallies, ends) = survive(setup, |fleet| vec![Load::new(fleet.http, mode).clients(clients)]);
    kept(&tallies);
    let counts = |done: &Line| ["handed", "finished"].map(|count| done.number(count));
    ends.iter().for_each(|done| assert_eq!(counts(done), [clients.into(), 0], "{done:?}"));
}

/// The same where connections stay with their generation. Each is told of its connection's end before it comes.
#[track_caller]
fn survive_told(setup: Setup, clients: u32, mode: Mode) {
    all_told(survive(setup.without_handover(), |fleet| vec![Load::new(fleet.http, mode).clients(clients)]));
}

/// One after the other.
#[track_caller]
fn survive_either_way(setup: impl Fn() -> Setup, clients: u32, mode: Mode) {
    survive_kept(setup(), clients, mode.clone());
    survive_told(setup(), clients, mode);
}

/// Both sides say so. (Not where clients come on fresh connections: they end them themselves, told or not.)
#[track_caller]
fn all_told((tallies, ends): (Vec<Tally>, Vec<Line>)) {
    told(&tallies);
    ends.iter().for_each(|done| assert_eq!(done.number("told"), done.number("finished"), "{done:?}"));
}

/// No client of these saw its connection end without a word.
#[track_caller]
pub fn told(tallies: &[Tally]) {
    let tally: Tally = tallies.iter().cloned().sum();
    assert!(tally.untold() == 0 && tally.told() >= RESTARTS, "{tally}");
}

/// No client of these saw its connection end at all.
#[track_caller]
pub fn kept(tallies: &[Tally]) {
    tallies.iter().for_each(|tally| assert_eq!(tally.reconnects(), 0, "{tally}"));
}

fn stream() -> Exchange {
    Exchange::stream(Duration::from_millis(150))
}

fn slow() -> Exchange {
    Exchange::slow(Duration::from_millis(30))
}

#[test]
fn kept_alive_connections_are_kept_or_told_and_lose_nothing() {
    survive_either_way(server, 8, Mode::KeepAlive(Exchange::get()));
}

#[test]
fn kept_alive_connections_lose_nothing_on_a_current_thread_runtime() {
    survive_either_way(on_one_thread, 8, Mode::KeepAlive(Exchange::get()));
}

/// Nor those of a server that tells one after the other.
#[test]
fn kept_alive_connections_that_are_told_by_turns_lose_nothing() {
    survive_told(Setup::new().with("GRACE_MS", "2500"), 8, Mode::KeepAlive(Exchange::get()));
}

#[test]
fn small_uploads_come_back_whole() {
    survive_either_way(server, 8, Mode::KeepAlive(Exchange::post(3_000)));
}

#[test]
fn middling_uploads_come_back_whole() {
    survive_kept(server(), 8, Mode::KeepAlive(Exchange::post(200_000)));
}

#[test]
fn uploads_of_several_megabytes_come_back_whole() {
    survive_kept(server(), 2, Mode::KeepAlive(Exchange::post(4_000_000)));
}

#[test]
fn downloads_of_several_megabytes_are_whole() {
    let size = 6_000_000;
    let exchange = Exchange::get_at(format!("/large/{size}"), large(size));
    survive_kept(server(), 2, Mode::KeepAlive(exchange));
}

#[test]
fn slow_requests_are_waited_for() {
    survive_either_way(server, 16, Mode::KeepAlive(slow()));
}

#[test]
fn streams_are_waited_for() {
    survive_either_way(server, 16, Mode::KeepAlive(stream()));
}

#[test]
fn fresh_connections_are_all_answered() {
    survive(server(), |fleet| vec![Load::new(fleet.http, Mode::Fresh(Exchange::get())).clients(8)]);
}

#[test]
fn fresh_connections_are_all_answered_on_a_current_thread_runtime() {
    survive(on_one_thread(), |fleet| vec![Load::new(fleet.http, Mode::Fresh(Exchange::get())).clients(8)]);
}

#[test]
fn pipelines_lose_nothing() {
    survive_either_way(server, 8, Mode::Pipelined { exchange: Exchange::get(), depth: 8 });
}

/// The client still reads, or still sends, when the server ends the connection: an end in one step would reset it.
#[test]
fn pipelines_of_large_answers_lose_nothing() {
    survive_either_way(server, 4, Mode::Pipelined { exchange: Exchange::post(200_000), depth: 8 });
}

#[test]
fn pipelines_of_large_answers_lose_nothing_on_a_current_thread_runtime() {
    let mode = Mode::Pipelined { exchange: Exchange::post(200_000), depth: 8 };
    survive_either_way(on_one_thread, 4, mode);
}

/// Their state can't be taken out of them, so they are told.
#[cfg(feature = "http2")]
fn survive_over_http2(setup: Setup, exchange: Exchange, streams: usize) {
    all_told(survive(setup, |fleet| vec![Load::new(fleet.http, Mode::Http2 { exchange, streams }).clients(4)]));
}

#[cfg(feature = "http2")]
#[test]
fn streams_of_http2_lose_nothing() {
    survive_over_http2(server(), Exchange::get(), 8);
}

#[cfg(feature = "http2")]
#[test]
fn streams_of_http2_lose_nothing_on_a_current_thread_runtime() {
    survive_over_http2(on_one_thread(), Exchange::get(), 8);
}

#[cfg(feature = "http2")]
#[test]
fn uploads_over_http2_come_back_whole() {
    survive_over_http2(server(), Exchange::post(50_000), 4);
}

/// Closed by the application, which sees the drain: a message that crosses the close frame is sent again.
#[test]
fn websockets_are_closed_in_order() {
    let mode = Mode::WebSocket(Exchange::messages(1_000));
    told(&survive(server(), |fleet| vec![Load::new(fleet.http, mode).clients(8)]).0);
}

/// They are between two requests nearly always, so that most restarts find them idle.
fn thinking(fleet: &Fleet) -> Vec<Load> {
    let load = Load::new(fleet.http, Mode::KeepAlive(Exchange::get())).clients(64);
    vec![load.think(Duration::from_millis(50))]
}

#[test]
fn thinking_clients_are_kept() {
    kept(&survive(server(), |fleet| thinking(fleet)).0);
}

#[test]
fn thinking_clients_are_told_with_their_next_answer() {
    all_told(survive(server().without_handover(), |fleet| thinking(fleet)));
}

/// Two loads, one on kept-alive connections and one on fresh ones. What each has counted.
#[track_caller]
fn survive_over_unix(setup: Setup, clients: u32) -> Vec<Tally> {
    let path = setup.place().join("socket");
    let load = |mode| Load::new(path.clone(), mode).clients(clients);
    let loads = vec![load(Mode::KeepAlive(Exchange::get())), load(Mode::Fresh(Exchange::get()))];
    survive(setup.with("UNIX", &path), |_| loads).0
}

#[test]
fn a_unix_socket_loses_nothing() {
    kept(&survive_over_unix(server(), 4));
    told(&survive_over_unix(server().without_handover(), 4));
}

/// Clients wait in `connect` nearly always.
#[test]
fn a_unix_socket_whose_queue_is_full_loses_nothing() {
    kept(&survive_over_unix(server().with("BACKLOG", "1"), 16));
    told(&survive_over_unix(server().without_handover().with("BACKLOG", "1"), 16));
}

/// Every way of asking, over both kinds of sockets.
fn everything(fleet: &Fleet, unix: PathBuf) -> Vec<Load> {
    let think = Duration::from_millis(10);
    let tcp = Target::from(fleet.http);
    let load = |target: &Target, mode| Load::new(target, mode).clients(2).think(think);
    let mut loads: Vec<_> = [
        Mode::KeepAlive(Exchange::get()),
        Mode::KeepAlive(Exchange::post(3_000)),
        Mode::KeepAlive(slow()),
        Mode::KeepAlive(stream()),
        Mode::Fresh(Exchange::get()),
        Mode::Pipelined { exchange: Exchange::get(), depth: 8 },
        Mode::Pipelined { exchange: Exchange::post(200_000), depth: 8 },
        Mode::WebSocket(Exchange::messages(1_000)),
        #[cfg(feature = "http2")]
        Mode::Http2 { exchange: Exchange::get(), streams: 4 },
    ]
    .map(|mode| load(&tcp, mode))
    .into();
    let unix = Target::from(unix);
    loads.extend([Mode::KeepAlive(Exchange::get()), Mode::Fresh(Exchange::get())].map(|mode| load(&unix, mode)));
    loads
}

#[track_caller]
fn survive_everything(setup: impl Fn() -> Setup) {
    for setup in [setup(), setup().without_handover()] {
        let path = setup.place().join("socket");
        let setup = setup.with("UNIX", &path);
        told(&survive(setup, |fleet| everything(fleet, path)).0);
    }
}

#[test]
fn everything_at_once_loses_nothing() {
    survive_everything(server);
}

#[test]
fn everything_at_once_loses_nothing_on_a_current_thread_runtime() {
    survive_everything(on_one_thread);
}

#[test]
fn a_good_restart_after_a_bad_one_loses_nothing() {
    let setup = server();
    let path = setup.place().join("socket");
    let mut fleet = setup.with("UNIX", &path).start();
    let traffic = Traffic::on(everything(&fleet, path));
    let mut pid = fleet.first();
    for generation in 0..2 {
        fleet.release.script("echo broken >&2; exit 3");
        fleet.ask(pid);
        let answer = fleet.answer(generation);
        assert!(answer.starts_with("Exited") && answer.ends_with("broken"), "{answer}");
        traffic.reach(5);
        fleet.release.good();
        pid = fleet.restart(generation, pid);
        traffic.generation(generation + 1);
    }
    traffic.off().iter().for_each(|tally| assert_eq!((tally.lost(), tally.untold()), (0, 0), "{tally}"));
}

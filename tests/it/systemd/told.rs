//! What systemd is told, by whom, and in which order: before the strict stand-in of its notify socket.

use std::{
    os::unix::net::UnixDatagram,
    path::Path,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use crate::support::{
    Control, Fifo, Fleet, Orders, Setup, Trial, activated, doors,
    drain::pass,
    echo::{self, Client},
    http,
    notify::{NotifySocket, Said},
    process,
};

/// As long as a predecessor waits for systemd to have heard who follows.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) fn told(manager: &NotifySocket, setup: Setup) -> Setup {
    let name = manager.name().to_owned();
    setup.tune(|command| {
        command.env("NOTIFY_SOCKET", name);
    })
}

/// Up, and `READY=1` heard.
pub(super) fn up(manager: &NotifySocket, setup: Setup) -> Fleet {
    let fleet = told(manager, setup).start();
    let ready = manager.until("READY=1");
    assert_eq!(ready.pid, fleet.first());
    assert!(ready.value("STATUS").expect("told").starts_with("generation 0: ready"), "{ready:?}");
    assert_eq!(ready.value("MAINPID"), None, "systemd knows whom it has started");
    fleet
}

/// What this process has said.
pub(super) fn by(manager: &NotifySocket, pid: i32) -> Vec<Said> {
    manager.all().into_iter().filter(|said| said.pid == pid).collect()
}

/// How often this was said, by whomever.
pub(super) fn times(manager: &NotifySocket, line: &str) -> usize {
    manager.all().iter().filter(|said| said.says(line)).count()
}

#[track_caller]
pub(super) fn stop(fleet: &mut Fleet, pid: i32) {
    fleet.signal(pid, Signal::SIGTERM);
    fleet.until_all_have_ended();
}

// ---------------------------------------------------------------------------------------------------------- a restart

#[test]
fn a_restart_is_told_by_the_predecessor_up_to_the_successors_name_and_by_the_successor_from_there() {
    for manager in [NotifySocket::new(), NotifySocket::at_an_abstract_name()] {
        let mut fleet = up(&manager, Setup::new());
        let first = fleet.first();
        let second = fleet.restart(0, first);
        let reloading = manager.until("RELOADING=1");
        let names: Vec<_> = reloading.lines.iter().filter_map(|line| Some(line.split_once('=')?.0)).collect();
        assert_eq!((reloading.pid, &names[..]), (first, &["RELOADING", "MONOTONIC_USEC", "EXTEND_TIMEOUT_USEC"][..]));
        let named = manager.until(&format!("MAINPID={second}"));
        assert_eq!((named.pid, &named.lines[..]), (first, &[format!("MAINPID={second}"), "READY=1".into()][..]));
        assert_eq!(manager.next(), Said { pid: first, lines: vec!["BARRIER=1".into()] });
        let ready = manager.next();
        assert_eq!((ready.pid, &ready.lines[..2]), (second, &["READY=1".into(), format!("MAINPID={second}")][..]));
        assert!(ready.value("STATUS").expect("told").starts_with("generation 1: ready"));
        fleet.until("done generation=0");
        process::until(|| !Fleet::lives(first));
        stop(&mut fleet, second);
        assert_eq!(by(&manager, first).last().expect("said").lines, ["BARRIER=1"], "and nothing from it after that");
        assert_eq!(times(&manager, "STOPPING=1"), 1);
        assert_eq!(manager.until("STOPPING=1").pid, second);
        assert!(manager.all().iter().all(|said| [first, second].contains(&said.pid)));
    }
}

#[test]
fn a_restart_that_fails_is_ended_by_ready_and_a_status_that_tells_why() {
    let manager = NotifySocket::new();
    let mut fleet = up(&manager, Setup::new());
    let first = fleet.first();
    fleet.release.script("exit 3");
    fleet.ask(first);
    fleet.answer(0);
    manager.until("RELOADING=1");
    let ready = manager.until("READY=1");
    assert_eq!((ready.pid, ready.value("MAINPID")), (first, None));
    let why = "; the last restart failed: the successor ended before it was ready: ";
    let status = ready.value("STATUS").expect("told");
    assert!(status.starts_with("generation 0: ready") && status.contains(why), "{status}");
    fleet.release.missing();
    fleet.ask(first);
    fleet.answer(0);
    manager.until("RELOADING=1");
    let why = manager.until("READY=1");
    assert!(why.value("STATUS").expect("told").contains("failed: start "), "{why:?}");
    stop(&mut fleet, first);
    assert!(manager.all().iter().all(|said| said.pid == first));
}

/// It is refused, or something is missing for it: nothing was started.
#[track_caller]
fn ends_as_it_was(manager: &NotifySocket, mut fleet: Fleet, why: &str) {
    let first = fleet.first();
    fleet.ask(first);
    let answer = fleet.answer(0);
    assert!(answer.contains(why), "{answer}");
    stop(&mut fleet, first);
    let said = manager.all();
    let said: Vec<_> = said.iter().filter_map(|said| Some((said.pid, said.lines[0].split_once('=')?.0))).collect();
    let wanted = ["READY", "RELOADING", "READY", "STOPPING"].map(|name| (first, name));
    let of_states: Vec<_> = said.into_iter().filter(|said| wanted.contains(said)).collect();
    assert_eq!(of_states, wanted);
}

#[test]
fn a_restart_that_never_begins_is_told_as_one_that_fails() {
    let manager = NotifySocket::new();
    let fleet = up(&manager, Setup::new().with("MAX_DRAINING", "0"));
    ends_as_it_was(&manager, fleet, "Busy: 0 earlier generations are still draining");

    let manager = NotifySocket::new();
    let setup = Setup::new().with("CHDIR", "/");
    let here = setup.place().join("here");
    std::fs::create_dir(&here).unwrap();
    let fleet = up(&manager, setup.through("sh", ["-c", &format!("cd '{}' && exec \"$0\" \"$@\"", here.display())]));
    std::fs::remove_dir(&here).unwrap();
    ends_as_it_was(&manager, fleet, "Spawn: the working directory of start-up is gone");

    let manager = NotifySocket::new();
    let fleet = up(&manager, Setup::new().with("FOREIGN", "1"));
    fleet.release.missing();
    ends_as_it_was(&manager, fleet, "ProgramMissing: start ");
}

/// Of a successor that is its sibling.
#[test]
fn a_restart_that_fails_under_systemd_loses_nobody_and_leaves_nothing_behind() {
    let manager = NotifySocket::new();
    let mut trial = Trial::of(told(&manager, Setup::new().with("STORE", "1")));
    trial.fleet.release.script("exit 3");
    // Whoever reaps it may be slow to tell its status.
    assert!(trial.fails("Exited").contains("before it was ready"));
    trial.fleet.release.missing();
    trial.fails("ProgramMissing");
    trial.succeeds();
}

/// Whoever has started the successor watches it: it is a service of its own.
#[test]
fn a_generation_whose_successor_has_come_by_itself_stays_the_main_process_until_its_drain_is_over() {
    let (manager, at) = (NotifySocket::new(), Control::new());
    let setup = at.setup().variable("WATCHDOG_USEC", "100000");
    let mut fleet = up(&manager, setup);
    let first = fleet.first();
    let client = Client::served(fleet.echo);
    let mut second = at.setup().spawn();
    second.until("ready generation=1");
    fleet.until("ending generation=0 ");
    assert_eq!(manager.until("RELOADING=1").pid, first);
    manager.until("READY=1");
    for _ in 0..3 {
        manager.until("WATCHDOG=1");
    }
    let waits =
        |said: &Said| said.value("STATUS").is_some_and(|it| it.starts_with("generation 0: draining, waits for 1 task"));
    process::until(|| manager.all().iter().any(waits));
    drop(client);
    fleet.until_all_have_ended();
    let all = manager.all();
    assert!(all.iter().all(|said| said.pid == first), "{all:?}");
    assert!(!all.iter().any(|said| said.says("STOPPING=1") || said.value("MAINPID").is_some()), "{all:?}");
    second.stop(second.first(), 1);
}

/// From then on nobody speaks for it.
#[test]
fn a_foreign_successor_is_named_in_one_datagram_which_ends_the_watch_over_signs_of_life() {
    let manager = NotifySocket::new();
    let setup = Setup::new().with("FOREIGN", "1").variable("WATCHDOG_USEC", "60000000");
    let mut fleet = up(&manager, setup);
    let first = fleet.first();
    activated::release(&fleet.release, "serve READY=1");
    fleet.ask(first);
    let (second, _) = activated::serving(&mut fleet);
    let named = manager.until(&format!("MAINPID={second}"));
    let wanted = [format!("MAINPID={second}"), "READY=1".into(), "WATCHDOG_USEC=0".into()];
    assert_eq!((named.pid, &named.lines[..]), (first, &wanted[..]));
    assert_eq!(manager.next(), Said { pid: first, lines: vec!["BARRIER=1".into()] });
    fleet.until("done generation=0");
    activated::stop(&mut fleet, second);
    fleet.until_all_have_ended();
    assert_eq!(by(&manager, first).last().expect("said").lines, ["BARRIER=1"]);
}

#[test]
fn an_open_connection_is_told_once_however_old_it_gets() {
    let manager = NotifySocket::new();
    let (fifo, setup) = Fifo::before_ready();
    let mut fleet = told(&manager, setup.with("DOORS", "make").variable("WATCHDOG_USEC", "1000000")).spawn();
    // The first generation serves from its first moment on, so READY=1 tells of this one.
    let client = http::Client::served(doors::address(&mut fleet, "make"));
    fifo.release();
    manager.until("READY=1");
    // Six seconds: it looks every five whether there is any news.
    for _ in 0..12 {
        manager.until("WATCHDOG=1");
    }
    let all = manager.all();
    let told: Vec<_> = all.iter().filter_map(|said| said.value("STATUS")).filter(|it| it.contains(": ready")).collect();
    assert_eq!(told, ["generation 0: ready, 1 connection: 1 http1"]);
    drop(client);
    let first = fleet.greet();
    stop(&mut fleet, first);
}

#[test]
fn more_time_is_asked_for_while_the_successor_starts() {
    let manager = NotifySocket::new();
    let mut fleet = up(&manager, Setup::new().with("EXTEND_MS", "123000"));
    let first = fleet.first();
    let second = fleet.restart(0, first);
    manager.until("RELOADING=1");
    let extended = manager.until("EXTEND_TIMEOUT_USEC=133000000");
    assert_eq!(extended.pid, first);
    manager.until(&format!("MAINPID={second}"));
    stop(&mut fleet, second);
    // The first one in its own start.
    let said = by(&manager, first);
    let before_ready = said.iter().take_while(|said| !said.says("READY=1"));
    assert_eq!(before_ready.filter(|said| said.says("EXTEND_TIMEOUT_USEC=133000000")).count(), 1);
}

#[test]
fn the_predecessor_does_not_let_go_before_it_is_known_who_follows() {
    let manager = NotifySocket::new();
    let mut fleet = up(&manager, Setup::new());
    manager.hold_barriers();
    let began = Instant::now();
    fleet.signal(fleet.first(), Signal::SIGUSR2);
    manager.until("BARRIER=1");
    let second = fleet.until("ready generation=1").pid();
    echo::echo(fleet.echo).expect("the successor serves meanwhile");
    let waits = !fleet.has_logged_draining(0);
    // On a machine that stood still just now there is nothing to see.
    assert!(waits || began.elapsed() > PATIENCE, "{}", fleet.log());
    manager.release_barriers();
    fleet.until("ending generation=0 ");
    stop(&mut fleet, second);
}

/// The generation before it has nothing to do with who follows.
#[test]
fn the_end_of_an_older_generation_does_not_make_the_predecessor_let_go() {
    let manager = NotifySocket::new();
    let mut fleet = up(&manager, Setup::new().with("LOG", "debug"));
    let first = fleet.first();
    let client = Client::served(fleet.echo);
    let second = fleet.restart(0, first);
    fleet.until_logged("action=LetGo", 1);
    manager.hold_barriers();
    let before = fleet.log().len();
    fleet.signal(second, Signal::SIGUSR2);
    manager.until("BARRIER=1");
    manager.until("BARRIER=1");
    drop(client);
    fleet.until_logged("event=PredecessorGone", 1);
    manager.release_barriers();
    fleet.until_logged("action=LetGo", 2);
    let log = fleet.log().split_off(before);
    let at = |text: &str| log.find(text).unwrap_or_else(|| panic!("no {text} in {log}"));
    // It is itself what ends the wait for a manager that does not answer: a machine may have stood still for so long.
    assert!(at("event=SupervisorKnows") < at("action=LetGo"), "{log}");
    let third = fleet.until("ready generation=2").pid();
    stop(&mut fleet, third);
}

#[test]
fn a_manager_that_never_says_that_it_knows_holds_up_neither_a_restart_nor_a_stop() {
    let manager = NotifySocket::new();
    let mut fleet = up(&manager, Setup::new().with("STORE", "1"));
    manager.hold_barriers();
    let mut pid = fleet.first();
    for generation in 0..2 {
        pid = fleet.restart(generation, pid);
        fleet.until(&format!("done generation={generation}"));
    }
    stop(&mut fleet, pid);
    assert_eq!(times(&manager, "BARRIER=1"), 3);
}

// -------------------------------------------------------------------------------------------------------------- a stop

#[test]
fn a_stop_is_told_once_however_often_it_is_asked_for() {
    let manager = NotifySocket::new();
    let mut fleet = up(&manager, Setup::new());
    let first = fleet.first();
    let _client = Client::served(fleet.echo);
    fleet.signal(first, Signal::SIGTERM);
    fleet.until("ending generation=0 ");
    assert_eq!(manager.until("STOPPING=1").pid, first);
    fleet.signal(first, Signal::SIGTERM);
    fleet.until_all_have_ended();
    assert_eq!(times(&manager, "STOPPING=1"), 1);
}

/// Before its first part, for the whole of it: in that part nobody has told yet that it ends.
#[test]
fn a_stop_with_a_lame_duck_is_told_before_it_with_the_time_that_all_of_it_may_take() {
    let manager = NotifySocket::new();
    let setup = Setup::new().with("LAME_DUCK_MS", "600000").with("STOP_DEADLINE_MS", "30000");
    let hooks = "0:at_exit:one:ok,0:at_exit:two:ok,0:before_spawn:other:ok";
    let mut fleet = up(&manager, setup.with("HOOKS", hooks).with("HOOK_DEADLINE_MS", "100000"));
    let first = fleet.first();
    fleet.signal(first, Signal::SIGTERM);
    assert_eq!(manager.next(), Said { pid: first, lines: vec!["STOPPING=1".into()] });
    let extended = manager.next();
    let time: u64 = extended.value("EXTEND_TIMEOUT_USEC").expect("told").parse().unwrap();
    // The lame duck, the drain, two hooks, and something to spare.
    assert!((830_000_000..900_000_000).contains(&time), "{extended:?}");
    let status = manager.next();
    assert!(status.value("STATUS").expect("told").starts_with("generation 0: lame duck"), "{status:?}");
    echo::echo(fleet.echo).expect("it accepts");
    stop(&mut fleet, first);
    assert_eq!((times(&manager, "STOPPING=1"), by(&manager, first).len()), (1, manager.all().len()));
}

#[test]
fn a_lame_duck_without_any_time_is_told_to_nobody() {
    let manager = NotifySocket::new();
    let mut fleet = up(&manager, Setup::new());
    let first = fleet.first();
    stop(&mut fleet, first);
    let said = manager.all();
    let mut status = said.iter().filter_map(|said| said.value("STATUS"));
    assert!(!status.any(|status| status.contains("lame duck")), "{said:?}");
    assert!(!said.iter().any(|said| said.value("EXTEND_TIMEOUT_USEC").is_some()), "a drain has its time in the unit");
}

/// The stand-in takes no other number than systemd: one of 64 bits.
#[test]
fn hooks_without_a_deadline_ask_for_a_time_that_systemd_can_read() {
    let manager = NotifySocket::new();
    let hooks = "*:before_spawn:one:ok,*:before_commit:two:ok,*:at_exit:three:ok";
    let setup = Setup::new().with("LAME_DUCK_MS", "1").with("HOOKS", hooks);
    let mut fleet = up(&manager, setup.with("HOOK_DEADLINE_MS", u64::MAX.to_string()));
    let second = fleet.restart(0, fleet.first());
    let most = format!("EXTEND_TIMEOUT_USEC={}", u64::MAX - 1);
    assert!(manager.until("RELOADING=1").says(&most));
    stop(&mut fleet, second);
    manager.until("STOPPING=1");
    assert_eq!(manager.until(&most).pid, second);
}

/// The application awaits the drain of the stop that it has asked for, and a clone does too: neither is a second stop, which
/// would cut.
#[test]
fn who_awaits_the_drain_while_the_store_is_emptied_cuts_nothing() {
    let manager = NotifySocket::new();
    let (orders, setup) = Orders::to(0, Setup::new().with("STORE", "1"));
    let mut fleet = up(&manager, setup);
    let mut request = http::Client::served(fleet.http);
    request.announce(4);
    let mut line = Client::served(fleet.echo);
    manager.hold_barriers();
    orders.give(&mut fleet, "drain");
    manager.until("BARRIER=1");
    // Both have been asked for before that: the loop hears of it first.
    manager.release_barriers();
    fleet.until("ending generation=0 ");
    line.line().expect("not cut");
    request.say("body");
    assert_eq!(request.answer().expect("not cut").body, b"body");
    drop((request, line));
    let done = fleet.until("done generation=0");
    assert_eq!((done.number("cut"), done.number("code")), (0, 0));
    fleet.until_all_have_ended();
}

#[test]
fn a_stop_before_ready_is_told_and_ready_never_is() {
    let manager = NotifySocket::new();
    let (fifo, setup) = Fifo::before_ready();
    let mut fleet = told(&manager, setup.with("STORE", "1")).spawn();
    let first = fleet.until("waiting generation=0").pid();
    fleet.signal(first, Signal::SIGTERM);
    manager.until("STOPPING=1");
    fifo.release();
    fleet.until_all_have_ended();
    assert_eq!((times(&manager, "STOPPING=1"), times(&manager, "READY=1"), manager.stored("http")), (1, 0, 0));
}

/// The predecessor has let go, and the successor stands still: both that and the signal are news to it.
#[test]
fn a_stop_that_comes_with_the_predecessors_last_word_is_told_by_the_successor_as_the_main_process() {
    let manager = NotifySocket::new();
    let mut fleet = up(&manager, Setup::new().with("AT", "0:LetGo:hold").with("STORE", "1"));
    let first = fleet.first();
    fleet.signal(first, Signal::SIGUSR2);
    fleet.until_held("LetGo");
    let second = fleet.until("ready generation=1").pid();
    fleet.signal(second, Signal::SIGSTOP);
    process::until(|| process::state(second) == 'T');
    process::go_on(first);
    fleet.until("done generation=0");
    fleet.signal(second, Signal::SIGTERM);
    process::go_on(second);
    fleet.until_all_have_ended();
    assert_eq!(manager.until("STOPPING=1").pid, second);
    assert_eq!(times(&manager, "FDSTOREREMOVE=1"), 2);
}

/// It was never the main one.
#[test]
fn a_successor_that_is_stopped_in_its_start_tells_nothing() {
    let manager = NotifySocket::new();
    let mut fleet = up(&manager, Setup::new().with("AT", "1:SayReady:hold"));
    let first = fleet.first();
    fleet.ask(first);
    let second = fleet.until_held("SayReady");
    fleet.signal(second, Signal::SIGTERM);
    process::go_on(second);
    fleet.answer(0);
    stop(&mut fleet, first);
    assert_eq!(by(&manager, second), []);
    assert_eq!(times(&manager, "STOPPING=1"), 1);
}

// ------------------------------------------------------------------------------------------------------- the watchdog

#[test]
fn signs_of_life_come_from_the_main_process_from_its_first_moment_and_from_nobody_else() {
    let manager = NotifySocket::new();
    // As systemd has it, which says whom it means.
    let mean = ["-c", "export WATCHDOG_PID=$$; exec \"$0\" \"$@\""];
    let setup = Setup::new().through("sh", mean).with("PROBATION_MS", "300").tune(|command| {
        command.env("WATCHDOG_USEC", "100000");
    });
    let mut fleet = told(&manager, setup).start();
    let first = fleet.first();
    assert_eq!(manager.next(), Said { pid: first, lines: vec!["WATCHDOG=1".into()] });
    let second = fleet.restart(0, first);
    assert_eq!(manager.until(&format!("MAINPID={second}")).pid, first);
    for _ in 0..3 {
        assert_eq!(manager.until("WATCHDOG=1").pid, second, "which was told the interval");
    }
    let third = fleet.restart(1, second);
    manager.until(&format!("MAINPID={third}"));
    for _ in 0..3 {
        assert_eq!(manager.until("WATCHDOG=1").pid, third);
    }
    // Also while it drains.
    let client = Client::served(fleet.echo);
    fleet.signal(third, Signal::SIGTERM);
    manager.until("STOPPING=1");
    for _ in 0..3 {
        assert_eq!(manager.until("WATCHDOG=1").pid, third);
    }
    drop(client);
    fleet.until_all_have_ended();
    let all = manager.all();
    for (main, next) in [(first, second), (second, third)] {
        let named = all.iter().position(|said| said.says(&format!("MAINPID={next}"))).expect("named");
        assert!(all[..named].iter().all(|said| said.pid != next), "nothing from it before that");
        let rest = all[named + 1..].iter().filter(|said| said.pid == main && !said.says("BARRIER=1"));
        assert_eq!(rest.count(), 0, "nothing from it after that");
    }
}

// ---------------------------------------------------------------------------------------------------------- the store

#[test]
fn sockets_are_stored_by_name_and_withdrawn_before_the_queue_is_emptied_and_closed() {
    let manager = NotifySocket::new();
    let mut fleet = up(&manager, Setup::new().with("STORE", "1"));
    let first = fleet.first();
    for name in ["http", "echo"] {
        manager.until(&format!("FDNAME={name}"));
        assert_eq!(manager.stored(name), 1);
    }
    let second = fleet.restart(0, first);
    manager.until(&format!("MAINPID={second}"));
    for name in ["http", "echo"] {
        assert_eq!(manager.until(&format!("FDNAME={name}")).pid, second);
    }
    // The server's own loop is counted by nobody: without this one the drain could be over before it has emptied the queue.
    let kept = Client::served(fleet.echo);
    manager.hold_barriers();
    fleet.signal(second, Signal::SIGTERM);
    manager.until("STOPPING=1");
    let mut removed: Vec<_> = (0..2).map(|_| manager.next().lines).collect();
    removed.sort();
    assert_eq!(removed, ["echo", "http"].map(|name| ["FDSTOREREMOVE=1".into(), format!("FDNAME={name}")]));
    assert_eq!(manager.next().lines, ["BARRIER=1"]);
    // It has not closed yet, and stands still: these wait in the queue.
    fleet.signal(second, Signal::SIGSTOP);
    process::until(|| process::state(second) == 'T');
    let open = !fleet.has_logged_draining(1);
    let mut waiting: Vec<_> = if open { (0..50).flat_map(|_| Client::connect(fleet.echo)).collect() } else { vec![] };
    waiting.iter_mut().for_each(|client| client.ask().expect("sent"));
    manager.release_barriers();
    process::go_on(second);
    waiting.iter_mut().for_each(|client| client.answered().expect("the queue was emptied"));
    drop((waiting, kept));
    fleet.until_all_have_ended();
    assert_eq!(times(&manager, "FDSTOREREMOVE=1"), 2);
}

#[test]
fn without_being_told_to_nothing_is_stored() {
    let manager = NotifySocket::new();
    let mut fleet = up(&manager, Setup::new());
    let second = fleet.restart(0, fleet.first());
    stop(&mut fleet, second);
    assert_eq!((times(&manager, "FDSTORE=1"), times(&manager, "FDSTOREREMOVE=1")), (0, 0));
}

// ------------------------------------------------------------------------------------------------------- a bad manager

/// With signs of life the socket's queue is soon full.
fn with_signs_of_life(name: &Path) -> Setup {
    Setup::new().with("STORE", "1").with("THREADS", "1").tune(|command| {
        command.env("NOTIFY_SOCKET", name).env("WATCHDOG_USEC", "20000");
    })
}

#[track_caller]
fn restarts_and_stops(fleet: &mut Fleet) {
    let mut pid = fleet.first();
    for generation in 0..2 {
        pass(Duration::from_millis(300));
        pid = fleet.restart(generation, pid);
        echo::echo(fleet.echo).unwrap();
        assert_eq!(fleet.until(&format!("done generation={generation}")).number("code"), 0);
    }
    stop(fleet, pid);
}

#[test]
fn a_socket_that_nobody_reads_stops_nothing() {
    let place = tempfile::tempdir().unwrap();
    let name = place.path().join("notify");
    let _deaf = UnixDatagram::bind(&name).unwrap();
    restarts_and_stops(&mut with_signs_of_life(&name).start());
}

#[test]
fn a_socket_that_goes_away_stops_nothing_and_is_logged_once() {
    let place = tempfile::tempdir().unwrap();
    let name = place.path().join("notify");
    let gone = UnixDatagram::bind(&name).unwrap();
    let mut fleet = with_signs_of_life(&name).start();
    drop(gone);
    restarts_and_stops(&mut fleet);
    // Once by each of the three generations.
    assert_eq!(fleet.log().matches("the manager can't be told").count(), 3, "{}", fleet.log());
}

#[test]
fn a_socket_that_was_never_there_stops_nothing() {
    let place = tempfile::tempdir().unwrap();
    restarts_and_stops(&mut with_signs_of_life(&place.path().join("notify")).start());
}

#[test]
fn a_socket_that_nobody_here_can_speak_to_stops_nothing() {
    for name in ["vsock:2:1234", "relative"] {
        restarts_and_stops(&mut with_signs_of_life(Path::new(name)).start());
    }
}

//! Operators at the control path: whoever asks gets an answer, from the generation that serves.

use std::{
    io::{Read, Write},
    os::{
        fd::AsRawFd,
        unix::{
            fs::MetadataExt,
            net::UnixStream,
            process::{CommandExt, ExitStatusExt},
        },
    },
    process::Command,
    thread,
    time::{Duration, Instant, SystemTime},
};

use nix::sys::signal::Signal;
use tokio_hotrestart::{
    Error, ErrorKind,
    control::{Request, ask},
    status::Status,
};

use crate::{
    fake,
    support::{
        Clients, Control, Fifo, Fleet, Footprint, Setup,
        control::wait,
        echo::{Client, echo},
        frames::{self, Wire},
        http,
        nobody::{NOBODY, can_be_nobody},
        notify::NotifySocket,
        process, this,
    },
};

/// A probation that ends by what the test does, and never by a slow machine.
const ENDLESS: &str = "60000";

const RESTART: u8 = 2;
const STATUS: u8 = 3;
const STOP: u8 = 4;

/// What the last restart failed as.
fn failure(status: Status) -> Error {
    status.last_restart.expect("there was one").outcome.expect_err("it failed")
}

// -------------------------------------------------------------------------------------------------------------- status

#[test]
fn a_status_tells_who_serves_what_from_where() {
    let began = SystemTime::now();
    let at = Control::new();
    let setup = at.setup();
    let unix = setup.place().join("socket");
    let mut fleet = setup.with("UNIX", &unix).with("KINDS", "udp").start();
    let status = at.status();
    assert_eq!((status.generation, status.pid, &*status.state), (0, fleet.first() as u32, "ready"));
    assert!(status.since > began - Duration::from_secs(1) && status.since <= SystemTime::now());
    let program = std::fs::metadata(this()).unwrap();
    assert_eq!(status.program, fleet.release.current());
    assert_eq!(status.program_file, (program.dev(), program.ino()));
    let sockets: Vec<_> = status.sockets.iter().map(|it| [&*it.name, &*it.kind, &*it.address, &*it.origin]).collect();
    let (http, echo, control) = (fleet.http.to_string(), fleet.echo.to_string(), at.path());
    let udp = fleet.until("kind generation=0 name=udp")["address"].to_owned();
    assert_eq!(
        sockets,
        [
            ["@hotrestart control", "control listener", control.to_str().unwrap(), "bound"],
            ["http", "TCP listener", &http, "bound"],
            ["echo", "TCP listener", &echo, "bound"],
            ["unix", "Unix listener", unix.to_str().unwrap(), "bound"],
            ["udp", "UDP socket", &udp, "bound"],
        ]
    );
    assert!(status.leftovers.is_empty() && status.draining.is_empty() && status.last_restart.is_none(), "{status:?}");
}

#[test]
fn a_status_counts_connections_by_kind_and_state() {
    let at = Control::new();
    let fleet = at.start();
    let _idle = [http::Client::served(fleet.http), http::Client::served(fleet.http)];
    let mut active = http::Client::served(fleet.http);
    active.announce(1_000);
    let _task = Client::served(fleet.echo);
    let counted = || {
        let status = at.status();
        let open = status.connections.into_iter().map(|it| (it.kind, it.state, it.count));
        let mut open: Vec<_> = open.collect();
        open.sort();
        open
    };
    let of = |kind: &str, state: &str, count| (kind.to_owned(), state.to_owned(), count);
    let wanted = [of("http1", "active", 1), of("http1", "idle", 2), of("task", "active", 1)];
    process::until(|| counted() == wanted);
}

#[test]
fn a_status_tells_how_far_the_server_is() {
    let at = Control::new();
    let fifo = Fifo::new(at.path().with_extension("fifo"));
    let setup = at.setup().with("FIFO", fifo.path()).with("PROBATION_MS", ENDLESS);
    let mut fleet = setup.with("AT", "0:ProbationOver:hold").spawn();
    fleet.until("waiting generation=0");
    assert_eq!(at.now(), (0, "starting".into()));
    fifo.release();
    fleet.greet();
    assert_eq!(at.now(), (0, "ready".into()));
    fleet.signal(fleet.first(), Signal::SIGUSR2);
    fleet.until("waiting generation=1");
    assert_eq!(at.now(), (0, "restarting".into()));
    fifo.release();
    let second = fleet.until("ready generation=1").pid();
    assert_eq!(at.now(), (0, "restarting".into()), "it may take it back");
    fleet.stop(second, 1);
    process::until(|| at.now() == (0, "ready".into()));
    assert_eq!(failure(at.status()).kind(), ErrorKind::Exited);
    let client = Client::served(fleet.echo);
    fleet.signal(fleet.first(), Signal::SIGTERM);
    fleet.until("ending generation=0 ");
    assert_eq!(at.now(), (0, "draining".into()));
    drop(client);
    fleet.until_all_have_ended();
}

#[test]
fn a_status_tells_what_earlier_generations_wait_for() {
    let at = Control::new();
    let mut fleet = at.setup().with("RESTART_DEADLINE_MS", "300000").start();
    let first = fleet.first();
    let mut clients = vec![Client::served(fleet.echo)];
    let second = fleet.restart(0, first);
    clients.push(Client::served(fleet.echo));
    clients.push(Client::served(fleet.echo));
    let third = fleet.restart(1, second);
    let draining = || at.status().draining;
    process::until(|| draining().iter().map(|it| &*it.waits_for).eq(["1 task", "2 tasks"]));
    let those = draining();
    let who: Vec<_> = those.iter().map(|it| (it.generation, it.pid as i32)).collect();
    assert_eq!(who, [(0, first), (1, second)]);
    let soon = Duration::from_secs(290)..=Duration::from_secs(300);
    assert!(those.iter().all(|it| soon.contains(&it.remaining.expect("told"))), "{those:?}");
    clients.remove(0);
    fleet.until("done generation=0");
    process::until(|| draining().iter().map(|it| it.generation).eq([1]));
    clients.clear();
    fleet.until("done generation=1");
    process::until(|| draining().is_empty());
    fleet.stop(third, 2);
    fleet.until_all_have_ended();
}

/// The listener is in both, and the channel between them is closed. It drains, and has nothing to say for the server.
#[test]
fn a_successor_that_was_stopped_on_probation_is_not_asked() {
    let at = Control::new();
    let mut fleet = at.setup().with("PROBATION_MS", ENDLESS).start();
    fleet.signal(fleet.first(), Signal::SIGUSR2);
    let second = fleet.until("ready generation=1").pid();
    let client = Client::served(fleet.echo);
    fleet.signal(second, Signal::SIGTERM);
    fleet.until("ending generation=1 ");
    fleet.until_logged("the restart failed", 1);
    for _ in 0..50 {
        assert_eq!(at.now(), (0, "ready".into()));
    }
    assert!(Fleet::lives(second));
    drop(client);
    fleet.until("done generation=1");
    fleet.stop(fleet.first(), 0);
    fleet.until_all_have_ended();
}

// ------------------------------------------------------------------------------------------------------------- restart

#[test]
fn a_restart_is_answered_when_the_successor_serves() {
    let at = Control::new();
    let mut fleet = at.start();
    let clients = Clients::on(&fleet);
    for number in 1..3 {
        let by = at.restart().unwrap();
        let ready = fleet.until(&format!("ready generation={number}"));
        assert_eq!((by.generation(), by.pid() as i32), (number, ready.pid()));
        let status = at.status();
        assert_eq!((status.generation, &*status.state), (number, "ready"));
        assert_eq!(status.last_restart.expect("by which it came").outcome.unwrap(), by);
        clients.until_served();
    }
    clients.off();
    at.stop().unwrap();
    fleet.until_all_have_ended();
}

/// Fails so, and changes nothing. What the operator is told.
#[track_caller]
fn fails(at: &Control, fleet: &Fleet, kind: ErrorKind) -> Error {
    let before = Footprint::of(fleet.first());
    let clients = Clients::on(fleet);
    let error = at.restart().expect_err("it fails");
    assert_eq!(error.kind(), kind, "{error}");
    let last = failure(at.status());
    assert_eq!((last.kind(), last.to_string()), (kind, error.to_string()), "the status tells the same");
    clients.until_served();
    assert_eq!(clients.off(), 0);
    before.returns(fleet.first());
    error
}

#[test]
fn a_restart_that_fails_is_answered_with_all_that_is_known() {
    let at = Control::new();
    let fleet = at.setup().with("READY_DEADLINE_MS", "1500").with("PROBATION_MS", "3000").start();
    let release = &fleet.release;
    release.missing();
    let error = fails(&at, &fleet, ErrorKind::ProgramMissing);
    assert!(error.to_string().contains("/current: No such file"), "{error}");
    release.script("echo 'no config: line 7' >&2; exit 3");
    let error = fails(&at, &fleet, ErrorKind::Exited);
    assert_eq!(error.exit_status().and_then(|status| status.code()), Some(3));
    assert_eq!(error.stderr().map(str::trim_end), Some("no config: line 7"));
    release.script("kill -KILL $$");
    let error = fails(&at, &fleet, ErrorKind::Killed);
    assert_eq!(error.exit_status().and_then(|status| status.signal()), Some(9));
    release.script("echo thinking >&2; exec sleep 600");
    let error = fails(&at, &fleet, ErrorKind::Deadline);
    assert_eq!(error.stderr().map(str::trim_end), Some("thinking"));
    fake::release(release, "take refuse:the_licence_has_expired exit:1");
    let error = fails(&at, &fleet, ErrorKind::Refused);
    assert_eq!(error.to_string(), "the successor refused: the licence has expired");
    fake::release(release, "take ACCEPTED READY hear:COMMIT write:the_disk_is_full exit:5");
    let error = fails(&at, &fleet, ErrorKind::Probation);
    assert_eq!(error.exit_status().and_then(|status| status.code()), Some(5));
    assert_eq!(error.stderr().map(str::trim_end), Some("the disk is full"));
    release.good();
    assert_eq!(at.restart().unwrap().generation(), 1);
}

#[test]
fn all_who_ask_for_a_restart_get_one_answer() {
    let at = Control::new();
    let mut fleet = at.setup().with("LOG", "info,tokio_hotrestart=debug").start();
    let gate = Fifo::new(fleet.path("gate"));
    fleet.release.script(&format!("cat '{}'; echo 'no config' >&2; exit 3", gate.path().display()));
    let answers: Vec<_> = thread::scope(|scope| {
        let asked: Vec<_> = (0..3).map(|_| scope.spawn(|| at.restart())).collect();
        fleet.until_logged("event=RestartAsked", 3);
        gate.release();
        asked.into_iter().map(|asked| asked.join().unwrap().unwrap_err().to_string()).collect()
    });
    assert_eq!(answers, vec![answers[0].clone(); 3]);
    assert!(answers[0].contains("exit status: 3") && answers[0].ends_with("no config"), "{}", answers[0]);
    assert_eq!(fleet.log().matches("action=Spawn").count(), 1);
    fleet.release.after(&format!("cat '{}'", gate.path().display()));
    let answers: Vec<_> = thread::scope(|scope| {
        let asked: Vec<_> = (0..3).map(|_| scope.spawn(|| at.restart())).collect();
        fleet.until_logged("event=RestartAsked", 6);
        gate.release();
        asked.into_iter().map(|asked| asked.join().unwrap().unwrap()).collect()
    });
    let second = fleet.until("ready generation=1").pid() as u32;
    assert!(answers.iter().all(|by| (by.pid(), by.generation()) == (second, 1)), "{answers:?}");
}

#[test]
fn an_operator_joins_a_successor_that_came_by_itself_and_is_told_of_it() {
    let at = Control::new();
    let mut first = at.setup().with("LOG", "info,tokio_hotrestart=debug").start();
    let mut second = at.setup().with("AT", "1:SayReady:hold").spawn();
    let held = second.until_held("SayReady");
    thread::scope(|scope| {
        let asked = scope.spawn(|| at.restart());
        first.until_logged("event=RestartAsked", 1);
        process::go_on(held);
        let by = asked.join().unwrap().unwrap();
        assert_eq!((by.pid() as i32, by.generation()), (second.first(), 1));
    });
    first.until_all_have_ended();
}

#[test]
fn a_server_that_is_not_ready_or_ends_is_not_restarted() {
    let at = Control::new();
    let fifo = Fifo::new(at.path().with_extension("fifo"));
    let mut fleet = at.setup().with("FIFO", fifo.path()).spawn();
    fleet.until("waiting generation=0");
    assert_eq!(at.restart().unwrap_err().kind(), ErrorKind::NotReady);
    fifo.release();
    fleet.greet();
    let client = Client::served(fleet.echo);
    fleet.signal(fleet.first(), Signal::SIGTERM);
    fleet.until("ending generation=0 ");
    assert_eq!(at.restart().unwrap_err().kind(), ErrorKind::Ending);
    drop(client);
    fleet.until_all_have_ended();
    assert_eq!(at.restart().unwrap_err().kind(), ErrorKind::Nobody);
}

// ---------------------------------------------------------------------------------------------------------------- stop

#[test]
fn a_stop_is_answered_with_the_report_when_the_drain_is_over() {
    let at = Control::new();
    let mut fleet = at.start();
    let mut client = Client::served(fleet.echo);
    let stopped = thread::scope(|scope| {
        let asked = scope.spawn(|| at.stop());
        fleet.until("ending generation=0 ");
        client.line().expect("it is finished");
        assert!(!asked.is_finished());
        drop(client);
        asked.join().unwrap().unwrap()
    });
    assert_eq!(stopped.code, 0);
    assert!(stopped.report.starts_with("stopped: drained in "), "{}", stopped.report);
    assert_eq!(fleet.until("done generation=0").number("cut"), 0);
    fleet.until_all_have_ended();
    assert!(!at.path().exists());
}

#[test]
fn a_second_stop_ends_the_drain_at_once_and_both_are_answered() {
    let at = Control::new();
    let mut fleet = at.setup().with("STOP_DEADLINE_MS", ENDLESS).start();
    let mut client = Client::served(fleet.echo);
    let (one, two) = thread::scope(|scope| {
        let asked = scope.spawn(|| at.stop());
        fleet.until("ending generation=0 ");
        let two = at.stop();
        (asked.join().unwrap().unwrap(), two.unwrap())
    });
    assert_eq!(one, two);
    assert!(client.line().is_err());
    assert_eq!(fleet.until("done generation=0").number("cut"), 1);
    fleet.until_all_have_ended();
}

#[test]
fn a_stop_while_a_successor_starts_stops_the_server_and_not_the_successor_alone() {
    let at = Control::new();
    let fifo = Fifo::new(at.path().with_extension("fifo"));
    let mut fleet = at.start();
    fleet.release.after(&format!("export HR_FIFO='{}'", fifo.path().display()));
    fleet.signal(fleet.first(), Signal::SIGUSR2);
    fleet.until("waiting generation=1");
    // Each might be answered by the wrong one.
    for _ in 0..50 {
        assert_eq!(at.now(), (0, "restarting".into()));
    }
    at.stop().unwrap();
    assert_eq!(fleet.until("done generation=0").number("code"), 0);
    fleet.until_all_have_ended();
    assert!(echo(fleet.echo).is_err() && !at.path().exists());
}

#[test]
fn a_successor_on_probation_is_not_asked_for_anything() {
    let at = Control::new();
    let mut fleet = at.setup().with("PROBATION_MS", ENDLESS).start();
    fleet.signal(fleet.first(), Signal::SIGUSR2);
    fleet.until("ready generation=1");
    for _ in 0..50 {
        assert_eq!(at.now(), (0, "restarting".into()));
    }
    at.stop().unwrap();
    fleet.until("done generation=0");
    fleet.until("done generation=1");
    fleet.until_all_have_ended();
}

#[test]
fn a_successor_whose_predecessor_has_died_is_asked_before_it_is_ready() {
    let at = Control::new();
    let fifo = Fifo::new(at.path().with_extension("fifo"));
    let mut fleet = at.start();
    fleet.release.after(&format!("export HR_FIFO='{}'", fifo.path().display()));
    fleet.signal(fleet.first(), Signal::SIGUSR2);
    fleet.until("waiting generation=1");
    fleet.signal(fleet.first(), Signal::SIGKILL);
    assert_eq!(at.now(), (1, "starting".into()));
    fifo.release();
    fleet.until("ready generation=1");
    at.stop().unwrap();
}

// ------------------------------------------------------------------------------------------------------------ forwards

/// Somebody who has been let in by this generation, and is silent.
fn let_in(at: &Control, pid: i32) -> UnixStream {
    let held = process::descriptors(pid).len();
    let visitor = at.connect();
    process::until(|| process::descriptors(pid).len() > held);
    visitor
}

#[allow(clippy::disallowed_methods, reason = "the frames are sent by hand")]
fn say(visitor: &UnixStream, bytes: &[u8]) {
    Wire(visitor.as_raw_fd()).say(bytes);
}

/// The payload of the answer, which begins with its sort.
#[allow(clippy::disallowed_methods, reason = "the frames are heard by hand")]
#[track_caller]
fn hear(visitor: &UnixStream) -> Vec<u8> {
    Wire(visitor.as_raw_fd()).until("ANSWER")
}

/// The generation that a status tells.
fn generation(answer: &[u8]) -> u64 {
    assert_eq!(answer[0], STATUS, "a status");
    u64::from_le_bytes(answer[1..9].try_into().unwrap())
}

#[test]
fn who_was_let_in_before_a_restart_is_answered_by_the_newest_over_any_number_of_generations() {
    let at = Control::new();
    let mut fleet = at.start();
    let first = fleet.first();
    let (one, two) = (let_in(&at, first), let_in(&at, first));
    let mut clients = vec![Client::served(fleet.echo)];
    let second = fleet.restart(0, first);
    say(&one, &frames::want(STATUS));
    assert_eq!(generation(&hear(&one)), 1);
    clients.push(Client::served(fleet.echo));
    let third = fleet.restart(1, second);
    say(&two, &frames::want(STATUS));
    assert_eq!(generation(&hear(&two)), 2);
    drop((clients, third));
    at.stop().unwrap();
    fleet.until_all_have_ended();
}

#[test]
fn who_was_let_in_before_a_restart_is_answered_though_the_drain_has_nothing_to_wait_for() {
    let at = Control::new();
    let mut fleet = at.start();
    let visitor = let_in(&at, fleet.first());
    fleet.restart(0, fleet.first());
    say(&visitor, &frames::want(STATUS));
    assert_eq!(generation(&hear(&visitor)), 1);
    fleet.until("done generation=0");
    assert!(fleet.first_exit().success());
}

/// They and the stop are there to be heard at once, and who has passed them on is gone.
#[test]
fn all_who_were_let_in_before_a_restart_are_answered_though_it_is_stopped_just_then() {
    let at = Control::new();
    let mut fleet = at.start();
    let first = fleet.first();
    let visitors: Vec<_> = (0..8).map(|_| let_in(&at, first)).collect();
    let second = fleet.restart(0, first);
    // So that the drain takes its time.
    let client = Client::served(fleet.echo);
    fleet.signal(second, Signal::SIGSTOP);
    process::until(|| process::state(second) == 'T');
    visitors.iter().for_each(|visitor| say(visitor, &frames::want(STATUS)));
    fleet.until("done generation=0");
    fleet.signal(second, Signal::SIGTERM);
    process::go_on(second);
    for visitor in &visitors {
        assert_eq!(generation(&hear(visitor)), 1);
    }
    drop(client);
    fleet.until_all_have_ended();
}

#[test]
fn who_was_let_in_and_says_nothing_holds_no_stop_up() {
    let at = Control::new();
    let mut fleet = at.start();
    let mut visitor = let_in(&at, fleet.first());
    let began = Instant::now();
    at.stop().unwrap();
    fleet.until_all_have_ended();
    assert!(began.elapsed() < Duration::from_secs(5), "as long as it may be silent");
    assert_eq!(visitor.read(&mut [0]).unwrap(), 0);
}

/// The request to stop has come before the point of no return, and is heard after it.
#[test]
fn a_stop_that_comes_with_the_point_of_no_return_stops_the_one_that_serves() {
    let at = Control::new();
    let mut fleet = at.setup().with("AT", "0:LetGo:hold").start();
    let first = fleet.first();
    let client = Client::served(fleet.echo);
    let visitor = let_in(&at, first);
    fleet.signal(first, Signal::SIGUSR2);
    fleet.until_held("LetGo");
    say(&visitor, &frames::want(STOP));
    process::go_on(first);
    assert_eq!(hear(&visitor)[0], STOP, "it is stopped");
    fleet.until("done generation=1");
    drop(client);
    assert_eq!(&fleet.until("done generation=0")["lost"], "false");
    fleet.until_all_have_ended();
}

#[test]
fn a_stop_while_the_supervisor_is_told_of_the_successor_stops_that_one() {
    let (at, supervisor) = (Control::new(), NotifySocket::new());
    supervisor.hold_barriers();
    let setup = at.setup().tune(|command| {
        command.env("NOTIFY_SOCKET", supervisor.name());
    });
    let mut fleet = setup.start();
    fleet.signal(fleet.first(), Signal::SIGUSR2);
    supervisor.until("BARRIER=1");
    thread::scope(|scope| {
        let asked = scope.spawn(|| at.stop());
        fleet.until("ending generation=0 ");
        assert_eq!(asked.join().unwrap().unwrap().code, 0);
    });
    fleet.until("done generation=1");
    assert_eq!(&fleet.until("done generation=0")["lost"], "false");
    fleet.until_all_have_ended();
}

#[test]
fn a_successor_that_was_let_in_before_a_restart_takes_over_from_the_newest() {
    let at = Control::new();
    let mut fleet = at.start();
    let first = fleet.first();
    let client = Client::served(fleet.echo);
    let heir = let_in(&at, first);
    let second = fleet.restart(0, first);
    say(&heir, &frames::want(frames::TAKE_OVER));
    let hello = frames_until(&heir, "HELLO");
    assert_eq!(u64::from_le_bytes(hello[20..28].try_into().unwrap()), 2, "it would be generation 2");
    drop((heir, client));
    process::until(|| at.now() == (1, "ready".into()));
    assert_eq!(failure(at.status()).kind(), ErrorKind::Exited);
    fleet.stop(second, 1);
}

#[allow(clippy::disallowed_methods, reason = "the frames are heard by hand")]
fn frames_until(visitor: &UnixStream, name: &str) -> Vec<u8> {
    Wire(visitor.as_raw_fd()).until(name)
}

// ------------------------------------------------------------------------------------------------------------ visitors

#[test]
fn visitors_that_stall_delay_nobody_else() {
    let at = Control::new();
    let mut fleet = at.start();
    let want = frames::want(STATUS);
    let stalled: Vec<_> = (0..20)
        .map(|number| {
            let mut visitor = at.connect();
            visitor.write_all(&want[..number]).unwrap();
            visitor
        })
        .collect();
    let began = Instant::now();
    assert_eq!(at.now(), (0, "ready".into()));
    at.restart().unwrap();
    assert!(began.elapsed() < Duration::from_secs(5), "as long as they may stall");
    fleet.until("ready generation=1");
    drop(stalled);
    at.stop().unwrap();
    fleet.until_all_have_ended();
}

#[test]
fn after_many_silent_visitors_a_status_is_told() {
    let at = Control::new();
    let fleet = at.start();
    let before = Footprint::of(fleet.first());
    let silent: Vec<_> = (0..40).map(|_| at.connect()).collect();
    assert_eq!(at.now(), (0, "ready".into()), "when their time is over");
    drop(silent);
    before.returns(fleet.first());
}

/// The restart takes as long as it may, and nobody sees that they do not wait for it any more.
#[test]
fn askers_who_have_gone_away_keep_nobody_else_out() {
    let at = Control::new();
    let fleet = at.start();
    fake::release(&fleet.release, "take ACCEPTED linger");
    let askers: Vec<_> = (0..40).map(|_| at.connect()).collect();
    askers.iter().for_each(|asker| say(asker, &frames::want(RESTART)));
    fleet.until_logged("asked at the control path", askers.len());
    drop(askers);
    let began = Instant::now();
    assert_eq!(at.now(), (0, "restarting".into()));
    assert!(began.elapsed() < Duration::from_secs(5), "at once, and not when somebody is given up");
    at.stop().unwrap();
}

#[test]
fn visitors_that_talk_nonsense_are_told_so_and_change_nothing() {
    let at = Control::new();
    let fleet = at.start();
    let before = Footprint::of(fleet.first());
    for (bytes, kind) in [
        (b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(), 23_u16),
        (vec![0xff; 4096], 23),
        (frames::recorded("COMMIT"), 23),
        (frames::want(99), 6),
    ] {
        let visitor = at.connect();
        say(&visitor, &bytes);
        let answer = hear(&visitor);
        assert_eq!((answer[0], u16::from_le_bytes([answer[1], answer[2]])), (2, kind), "{bytes:?}");
        assert_eq!(at.now(), (0, "ready".into()));
    }
    before.returns(fleet.first());
}

// -------------------------------------------------------------------------------------------------------- another user

/// Not a test: an operator of another user's, at the path in `HR_PATH`.
#[test]
#[ignore = "another user's operator, whom tests below start"]
fn another_user() {
    let path = std::env::var_os("HR_PATH").expect("a path");
    for request in [Request::Status, Request::Restart, Request::Stop] {
        println!("\nasked: {:?}", wait(ask(&path, request)).map(drop).map_err(|error| error.kind()));
    }
}

fn asked_by(uid: u32, at: &Control) -> String {
    let mut operator = Command::new(this());
    operator.args(["control::another_user", "--exact", "--ignored", "--nocapture"]).env("HR_PATH", at.path());
    let output = operator.uid(uid).gid(uid).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn of_nobody(setup: Setup) -> Setup {
    setup.tune(|command| {
        command.uid(NOBODY).gid(NOBODY);
    })
}

#[test]
fn another_user_gets_no_answer_and_no_succession() {
    if !can_be_nobody() {
        return;
    }
    let at = Control::new();
    let mut fleet = at.start();
    at.open_to_all();
    let said = asked_by(NOBODY, &at);
    assert_eq!(said.matches("asked: Err(Denied)").count(), 3, "{said}");
    let mut stranger = of_nobody(at.setup()).spawn();
    stranger.until_all_have_ended();
    assert_eq!(stranger.first_exit().code(), Some(20));
    stranger.until_logged("not started: user 65534 may not ask this server for anything", 1);
    assert_eq!(at.now(), (0, "ready".into()));
    fleet.stop(fleet.first(), 0);
}

#[test]
fn a_user_who_is_named_is_answered_and_still_nobody_else() {
    if !can_be_nobody() {
        return;
    }
    let at = Control::new();
    // The directory only: what is bound there lets them in by itself.
    at.open_to_all();
    let mut fleet = at.setup().with("CONTROL_USER", NOBODY.to_string()).start();
    let said = asked_by(NOBODY - 1, &at);
    assert_eq!(said.matches("asked: Err(Denied)").count(), 3, "{said}");
    fleet.until_logged("user 65533 may not ask this server for anything", 1);
    let said = asked_by(NOBODY, &at);
    assert_eq!(said.matches("asked: Ok(())").count(), 3, "{said}");
    fleet.until_all_have_ended();
}

#[test]
fn a_server_of_another_user_s_is_neither_asked_nor_followed() {
    if !can_be_nobody() {
        return;
    }
    let at = Control::new();
    at.open_to_all();
    let mut stranger = of_nobody(at.setup()).spawn();
    stranger.greet();
    assert_eq!(at.restart().unwrap_err().kind(), ErrorKind::Denied);
    let mut fleet = at.setup().spawn();
    fleet.until_all_have_ended();
    fleet.until_logged("not started: user 65534 listens at", 1);
    assert!(Fleet::lives(stranger.first()));
}

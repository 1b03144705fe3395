use std::{
    io::ErrorKind as Io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    sync::oneshot,
    time::{Instant, sleep, timeout},
};

use super::{Drain, Kind, Level, Outcome, Policy, Report, Times, Turn, Watch, Why};
use crate::{Error, ErrorKind, generation::Cause, log::capture::subscribe};

const SECOND: Duration = Duration::from_secs(1);

fn stopped() -> Cause {
    Cause::Stopped { by: None }
}

fn times(grace: u64, deadline: u64) -> Times {
    Times::for_stop().grace(SECOND * grace as u32).deadline(SECOND * deadline as u32)
}

fn replaced() -> Cause {
    Cause::Replaced { by: crate::generation::Successor { pid: 7, generation: 1 } }
}

/// Begins, and runs to the end.
async fn drained(drain: &Drain, times: &Times) -> Report {
    drain.begin(stopped(), times);
    drain.ended().await
}

#[tokio::test(start_paused = true)]
async fn a_drain_with_nothing_to_wait_for_ends_at_once() {
    let report = drained(&Drain::new(), &Times::for_restart()).await;
    assert_eq!((report.took(), report.total()), (Duration::ZERO, super::Tally::default()));
    assert!(report.is_clean());
    assert_eq!(report.to_string(), "stopped: drained in 0.0 s, nothing was left to do");
}

#[tokio::test(start_paused = true)]
async fn levels_rise_at_their_times() {
    let drain = Drain::new();
    let guard = drain.tracker().guard();
    let running = tokio::spawn(drain.ended());
    assert_eq!(drain.watch().level(), Level::Serving);
    drain.begin(stopped(), &times(8, 20));
    let began = Instant::now();
    for (level, at) in [(Level::Draining, 0), (Level::HalfOpenOver, 5), (Level::GraceOver, 8), (Level::Over, 20)] {
        drain.watch().reached(level).await;
        assert_eq!((drain.watch().level(), began.elapsed()), (level, SECOND * at));
    }
    drop(guard);
    assert_eq!(running.await.unwrap().took(), SECOND * 20);
}

#[tokio::test(start_paused = true)]
async fn a_grace_longer_than_the_deadline_ends_with_it() {
    let drain = Drain::new();
    let _guard = drain.tracker().guard();
    let report = drained(&drain, &times(60, 2)).await;
    assert_eq!((report.took(), report.cut()), (SECOND * 3, 1));
    assert_eq!(drain.watch().let_go_at(Turn::MIDDLE, None).unwrap().elapsed(), SECOND * 3 - SECOND * 6 / 5);
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_was_dropped_goes_on_where_it_was() {
    let drain = Drain::new();
    let guard = drain.tracker().guard();
    drain.begin(stopped(), &times(1, 20));
    for _ in 0..4 {
        timeout(SECOND * 3, drain.run()).await.unwrap_err();
    }
    drop(guard);
    assert_eq!(drain.ended().await.took(), SECOND * 12);
}

#[tokio::test(start_paused = true)]
async fn begin_and_shorten_and_cut_wake_a_drain_that_is_waiting() {
    let drain = Drain::new();
    let _guard = drain.tracker().guard();
    let running = tokio::spawn(drain.ended());
    sleep(SECOND).await;
    drain.begin(stopped(), &Times::for_restart());
    sleep(SECOND).await;
    drain.shorten(&times(5, 10));
    drain.shorten(&times(50, 100)); // never longer again
    sleep(SECOND).await;
    assert_eq!(drain.watch().level(), Level::Draining);
    drain.cut();
    drain.watch().reached(Level::Over).await;
    assert_eq!(running.await.unwrap().took(), SECOND * 3);
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_is_shortened_has_the_shorter_grace_too() {
    let drain = Drain::new();
    let _guard = drain.tracker().guard();
    let running = tokio::spawn(drain.ended());
    drain.begin(stopped(), &times(60, 300));
    sleep(SECOND).await;
    drain.shorten(&times(5, 20));
    let began = Instant::now();
    drain.watch().reached(Level::GraceOver).await;
    assert_eq!(began.elapsed(), SECOND * 5);
    drain.watch().reached(Level::Over).await;
    assert_eq!(began.elapsed(), SECOND * 20);
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_first_cause_is_the_one_that_is_told() {
    let drain = Drain::new();
    let watch = drain.watch();
    let waiting = tokio::spawn(watch.draining());
    tokio::task::yield_now().await;
    drain.begin(stopped(), &Times::for_stop());
    drain.begin(Cause::Failed { why: Error::new(ErrorKind::Socket, "late") }, &Times::for_stop());
    assert_eq!(waiting.await.unwrap().to_string(), "stopped");
    assert_eq!(watch.draining().await.to_string(), "stopped");
    assert!(watch.is_draining() && !Watch::never().is_draining());
}

#[tokio::test(start_paused = true)]
async fn a_follower_misses_no_rise_and_is_woken_by_each() {
    let drain = Drain::new();
    let _guard = drain.tracker().guard();
    let mut follower = drain.watch().follow();
    drain.begin(stopped(), &times(8, 20)); // before the first poll
    let driving = tokio::spawn(drain.ended());
    let mut seen = Vec::new();
    std::future::poll_fn(|cx| {
        seen.push(follower.poll_level(cx));
        if seen.last() == Some(&Level::Over) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    assert_eq!(seen, [Level::Draining, Level::HalfOpenOver, Level::GraceOver, Level::Over]);
    driving.abort();
}

#[tokio::test(start_paused = true)]
async fn outcomes_are_counted_by_kind_and_only_once_draining() {
    let drain = Drain::new();
    let tracker = drain.tracker();
    drop(tracker.guard());
    let guards = [Outcome::Finished, Outcome::Told, Outcome::Raced, Outcome::Cut(Why::Deadline)].map(|outcome| {
        let guard = tracker.guard_of(Kind::Fresh);
        guard.set_kind(Kind::Http1);
        guard.set_outcome(outcome);
        guard
    });
    let serve = tracker.guard_of(Kind::Serve);
    drain.begin(stopped(), &Times::for_stop());
    drop((guards, serve));
    let report = drain.ended().await;
    let tally = report.of(Kind::Http1);
    assert_eq!((tally.finished, tally.told, tally.raced, tally.cut), (2, 1, 1, 1));
    assert_eq!(report.total(), tally);
    assert_eq!((report.is_clean(), report.exit_code()), (false, 0));
    assert_eq!(
        report.to_string(),
        "stopped: drained in 0.0 s, 2 finished (1 told), 1 raced, 1 cut at the deadline (http1)"
    );
}

#[tokio::test(start_paused = true)]
async fn what_nothing_can_cut_is_left_behind_and_counts_as_cut() {
    let drain = Drain::new();
    let _guard = drain.tracker().guard_of(Kind::Upgraded);
    let report = drained(&drain, &Times::for_stop()).await;
    assert_eq!((report.of(Kind::Upgraded).cut, report.took()), (1, SECOND * 21));
    assert_eq!((report.cut_by(Why::LeftBehind), report.cut_by(Why::Deadline)), (1, 0));
    assert_eq!(report.to_string(), "stopped: drained in 21.0 s, 1 left behind (upgraded)");
}

#[tokio::test(start_paused = true)]
async fn a_report_says_of_each_reason_how_many_of_which_kind_were_cut_and_nothing_of_those_that_were_none() {
    let drain = Drain::new();
    let cut = [
        (Kind::Http1, Why::Deadline),
        (Kind::Upgraded, Why::Deadline),
        (Kind::Upgraded, Why::Deadline),
        (Kind::Upgraded, Why::Policy),
        (Kind::Handshake, Why::HalfOpen),
    ];
    let guards = cut.map(|(kind, why)| {
        let guard = drain.tracker().guard_of(kind);
        guard.set_outcome(Outcome::Cut(why));
        guard
    });
    drain.begin(stopped(), &Times::for_stop());
    drop(guards);
    let report = drain.ended().await;
    let said = "stopped: drained in 0.0 s, 3 cut at the deadline (2 upgraded, 1 http1), 1 closed by policy (upgraded), \
                1 cut half open (in handshake)";
    assert_eq!(report.to_string(), said);
    let by = Why::ALL.map(|why| (report.cut_by(why), report.of(Kind::Upgraded).cut_by(why)));
    assert_eq!(by, [(3, 2), (1, 1), (1, 0), (0, 0), (0, 0)]);
    assert_eq!((report.cut(), report.finished()), (5, 0));
}

#[tokio::test(start_paused = true)]
async fn what_a_policy_closes_leaves_a_report_clean_and_what_anything_else_cuts_does_not() {
    for why in Why::ALL {
        let drain = Drain::new();
        let guard = drain.tracker().guard_of(Kind::Upgraded);
        guard.set_outcome(Outcome::Cut(why));
        drain.begin(stopped(), &Times::for_stop());
        drop(guard);
        let report = drain.ended().await;
        assert_eq!((report.cut(), report.is_clean()), (1, why == Why::Policy), "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_handed_over_is_told_apart_by_kind_and_what_is_undecided_counts_as_cut() {
    let drain = Drain::new();
    let ends = [
        (Kind::Http1, Outcome::HandedOver),
        (Kind::Http1, Outcome::HandedOver),
        (Kind::Fresh, Outcome::HandedOver),
        (Kind::Http1, Outcome::Cut(Why::Undecided)),
    ];
    let guards = ends.map(|(kind, outcome)| {
        let guard = drain.tracker().guard_of(kind);
        guard.set_outcome(outcome);
        guard
    });
    drain.begin(stopped(), &Times::for_stop());
    drop(guards);
    let report = drain.ended().await;
    let said = "stopped: drained in 0.0 s, 3 handed over (2 http1, 1 fresh), 1 undecided (http1)";
    assert_eq!(report.to_string(), said);
    assert_eq!((report.handed_over(), report.of(Kind::Http1).handed_over, report.finished()), (3, 2, 0));
    assert_eq!((report.cut_by(Why::Undecided), report.is_clean()), (1, false));
}

#[tokio::test(start_paused = true)]
async fn a_lost_successor_and_a_failed_serve_exit_with_1() {
    let drain = Drain::new();
    drain.successor_lost();
    let report = drained(&drain, &Times::for_restart()).await;
    assert_eq!((report.exit_code(), report.is_clean()), (1, false));
    assert!(report.to_string().ends_with("\nthe successor was lost: nobody serves"));

    let drain = Drain::new();
    drain.failed(Error::new(ErrorKind::Socket, "no such socket"));
    let report = drained(&drain, &Times::for_stop()).await;
    assert_eq!((report.exit_code(), report.is_clean(), report.failures().len()), (1, false, 1));
    assert!(report.to_string().ends_with("\nfailed: no such socket"));
}

#[tokio::test(start_paused = true)]
async fn a_spawned_task_is_waited_for() {
    let drain = Drain::new();
    let task = drain.tracker().spawn(async {
        sleep(SECOND * 7).await;
        "done"
    });
    let report = drained(&drain, &Times::for_stop()).await;
    assert_eq!((report.took(), report.of(Kind::Task).finished), (SECOND * 7, 1));
    assert_eq!(task.await.unwrap(), "done");
}

#[tokio::test(start_paused = true)]
async fn a_spawned_task_is_aborted_at_the_deadline() {
    let drain = Drain::new();
    let (kept, mut closed) = oneshot::channel::<()>();
    let task = drain.tracker().spawn(async move {
        let _kept = kept;
        std::future::pending::<()>().await;
    });
    let report = drained(&drain, &Times::for_stop()).await;
    assert_eq!((report.took(), report.of(Kind::Task).cut), (SECOND * 20, 1));
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(closed.try_recv(), Err(oneshot::error::TryRecvError::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_task_spawned_after_the_deadline_is_aborted_too() {
    let drain = Drain::new();
    let guard = drain.tracker().guard();
    drain.begin(stopped(), &times(0, 0));
    let running = tokio::spawn(drain.ended());
    drain.watch().reached(Level::Over).await;
    let (late, began) = (drain.tracker().spawn(std::future::pending::<()>()), Instant::now());
    assert!(late.await.unwrap_err().is_cancelled());
    assert_eq!(began.elapsed(), Duration::ZERO);
    drop(guard);
    running.await.unwrap();
}

#[tokio::test]
async fn a_finished_task_leaves_the_register() {
    let drain = Drain::new();
    let tracker = drain.tracker();
    tracker.spawn(async {}).await.unwrap();
    assert!(tracker.is_empty());
    assert_eq!(format!("{tracker:?}"), "Tracker { len: 0, .. }");
    assert_eq!(tracker.registered(), 0);
}

#[test]
fn a_task_that_is_spawned_while_the_runtime_shuts_down_neither_hangs_nor_leaks() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let tracker = Drain::new().tracker();
    let handle = runtime.handle().clone();
    drop(runtime);
    let _inside = handle.enter();
    drop(tracker.spawn(async {}));
    assert_eq!((tracker.len(), tracker.registered()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_tracked_connection_is_cut_in_both_directions_at_once() {
    let drain = Drain::new();
    let (mut client, server) = duplex(4);
    let server = drain.tracker().track(server);
    let (mut reader, mut writer) = tokio::io::split(server);
    let reading = tokio::spawn(async move { reader.read(&mut [0; 8]).await.map_err(|e| e.kind()) });
    let writing = tokio::spawn(async move { writer.write_all(&[0; 64]).await.map_err(|e| e.kind()) });
    let report = drained(&drain, &Times::for_stop()).await;
    assert_eq!(reading.await.unwrap(), Err(Io::ConnectionAborted));
    assert_eq!(writing.await.unwrap(), Err(Io::ConnectionAborted));
    assert_eq!((report.took(), report.of(Kind::Other).cut), (SECOND * 20, 1));
    assert_eq!(client.read_to_end(&mut Vec::new()).await.unwrap(), 4, "what was written before arrives");
}

#[tokio::test(start_paused = true)]
async fn a_tracked_connection_fails_after_the_deadline_also_where_it_could_go_on() {
    let drain = Drain::new();
    let (mut client, server) = duplex(64);
    let mut server = drain.tracker().track(server);
    client.write_all(b"hello").await.unwrap();
    let running = tokio::spawn(drain.ended());
    drain.begin(stopped(), &times(0, 0));
    drain.watch().reached(Level::Over).await;
    assert_eq!(server.read(&mut [0; 8]).await.unwrap_err().kind(), Io::ConnectionAborted);
    assert_eq!(server.write(b"x").await.unwrap_err().kind(), Io::ConnectionAborted);
    let (_, guard) = server.into_parts();
    drop(guard);
    assert_eq!(running.await.unwrap().cut(), 1);
}

struct Counts(AtomicUsize);

impl Wake for Counts {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_follower_that_is_polled_between_a_rise_and_its_telling_is_woken_by_the_next() {
    let watch = Watch::new();
    let mut follower = watch.follow();
    let counts = Arc::new(Counts(0.into()));
    let waker = Waker::from(counts.clone());
    let mut cx = Context::from_waker(&waker);
    assert_eq!(follower.poll_level(&mut cx), Level::Serving);
    watch.raise_untold(Level::Draining);
    assert_eq!(follower.poll_level(&mut cx), Level::Draining);
    watch.tell();
    assert_eq!(follower.poll_level(&mut cx), Level::Draining);
    let before = counts.0.load(Ordering::SeqCst);
    watch.raise(Level::Over);
    assert!(counts.0.load(Ordering::SeqCst) > before);
}

#[tokio::test(start_paused = true)]
async fn a_cut_that_does_not_concern_it_yet_costs_no_follower_its_wake_up() {
    let drain = Drain::new();
    let _guard = drain.tracker().guard();
    let mut follower = drain.last().0.follow();
    let counts = Arc::new(Counts(0.into()));
    let waker = Waker::from(counts.clone());
    let mut cx = Context::from_waker(&waker);
    drain.begin(stopped(), &times(5, 20));
    assert_eq!(follower.poll_level(&mut cx), Level::Serving);
    drain.cut();
    assert_eq!(follower.poll_level(&mut cx), Level::Serving);
    let before = counts.0.load(Ordering::SeqCst);
    drain.end_last();
    assert!(counts.0.load(Ordering::SeqCst) > before);
}

#[tokio::test(start_paused = true)]
async fn the_grace_ends_with_a_drain_that_has_nothing_to_wait_for() {
    let drain = Drain::new();
    let (first, last) = (drain.watch().grace_over(), drain.last().0.grace_over());
    let began = Instant::now();
    drained(&drain, &times(5, 20)).await;
    tokio::join!(first, last);
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn what_remains_is_the_time_until_the_deadline_once_it_drains() {
    let drain = Drain::new();
    assert_eq!(drain.remaining(), None);
    let guard = drain.tracker().guard();
    drain.begin(stopped(), &Times::for_restart());
    sleep(SECOND).await;
    assert_eq!(drain.remaining(), Some(SECOND * 299));
    drain.shorten(&times(5, 20));
    assert_eq!(drain.remaining(), Some(SECOND * 20));
    drain.cut();
    sleep(SECOND).await;
    assert_eq!(drain.remaining(), Some(Duration::ZERO));
    drop(guard);
}

#[tokio::test(start_paused = true)]
async fn a_lame_duck_tells_all_but_what_is_last_to_close() {
    let drain = Drain::new();
    let (watch, (last, _)) = (drain.watch(), drain.last());
    let ending = tokio::spawn(watch.ending());
    let running = tokio::spawn(drain.ended());
    let times = Times::for_stop().lame_duck(SECOND * 4);
    assert!(!watch.is_ending() && !watch.tells(Turn::FIRST));
    drain.begin_lame_duck(stopped(), &times);
    assert_eq!(ending.await.unwrap().to_string(), "stopped");
    assert_eq!((watch.is_ending(), watch.is_draining(), last.is_ending()), (true, false, false));
    assert_eq!((watch.tells(Turn::FIRST), watch.tells(Turn::MIDDLE), last.tells(Turn::FIRST)), (true, false, false));
    sleep(SECOND * 2).await;
    assert!(watch.tells(Turn::MIDDLE) && !running.is_finished());
    assert_eq!((drain.remaining(), drain.end(), drain.deadline_has_come()), (None, None, false));
    sleep(SECOND * 2).await;
    drain.begin(Cause::Failed { why: Error::new(ErrorKind::Socket, "late") }, &times);
    let report = running.await.unwrap();
    assert_eq!((report.cause().to_string(), report.took()), ("stopped".to_owned(), Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn the_level_rises_with_a_lame_duck_of_0_too() {
    let drain = Drain::new();
    let mut follower = drain.watch().follow();
    let mut level = async || std::future::poll_fn(|cx| Poll::Ready(follower.poll_level(cx))).await;
    assert_eq!(level().await, Level::Serving);
    drain.begin_lame_duck(stopped(), &Times::for_stop());
    assert_eq!(level().await, Level::LameDuck);
    assert!(drain.watch().tells(Turn::MIDDLE), "its whole window has passed");
    drain.begin(stopped(), &Times::for_stop());
    assert_eq!(level().await, Level::Draining);
    assert!(drain.watch().tells(Turn::MIDDLE));
}

#[tokio::test(start_paused = true)]
async fn what_is_last_to_close_is_told_when_all_else_is_over_and_counted_with_it() {
    let drain = Drain::new();
    let (last, tracker) = drain.last();
    let (guard, health) = (drain.tracker().guard(), tracker.guard_of(Kind::Http1));
    assert_eq!((drain.tracker().len(), tracker.len()), (2, 2));
    drain.begin(stopped(), &times(5, 20));
    let running = tokio::spawn(drain.run());
    sleep(SECOND * 7).await;
    assert!(!running.is_finished() && !last.is_ending());
    drop(guard);
    running.await.unwrap();
    assert!(!last.is_ending());
    drain.end_last();
    assert!(last.is_draining() && last.tells(Turn::MIDDLE));
    let report = tokio::spawn(drain.run_last());
    sleep(SECOND / 2).await;
    drop(health);
    let report = report.await.unwrap();
    assert_eq!((report.took(), report.finished(), report.of(Kind::Http1).finished), (SECOND * 15 / 2, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn what_is_last_to_close_has_a_second() {
    let drain = Drain::new();
    let (last, tracker) = drain.last();
    let _guard = tracker.guard();
    let task = tracker.spawn(std::future::pending::<()>());
    drain.begin(stopped(), &times(5, 20));
    let running = tokio::spawn(drain.ended());
    last.reached(Level::Over).await;
    assert!(task.await.unwrap_err().is_cancelled());
    let report = running.await.unwrap();
    assert_eq!((report.took(), report.cut()), (SECOND * 2, 2), "its second, and one to notice");
    assert_eq!(drain.end().unwrap().elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn at_a_restart_nothing_is_last() {
    let drain = Drain::new();
    let (last, tracker) = drain.last();
    let guard = tracker.guard();
    drain.begin(replaced(), &times(5, 60));
    assert!(last.is_draining() && !last.tells(Turn::MIDDLE));
    let running = tokio::spawn(drain.run());
    last.reached(Level::GraceOver).await;
    sleep(SECOND * 10).await;
    assert!(!running.is_finished());
    drop(guard);
    running.await.unwrap();
    drain.end_last(); // which changes nothing
    assert_eq!(drain.run_last().await.took(), SECOND * 15);
}

#[tokio::test(start_paused = true)]
async fn what_is_last_to_close_can_be_cut() {
    let drain = Drain::new();
    let (last, tracker) = drain.last();
    let guard = tracker.guard();
    drain.begin(stopped(), &Times::for_stop());
    drain.run().await;
    drain.end_last();
    let running = tokio::spawn(drain.run_last());
    tokio::task::yield_now().await;
    assert!(last.level() < Level::Over);
    drain.cut();
    tokio::task::yield_now().await;
    assert_eq!(last.level(), Level::Over);
    drop(guard);
    assert_eq!(running.await.unwrap().took(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn whoever_follows_is_woken_when_less_time_is_left() {
    let drain = Drain::new();
    let _guard = drain.tracker().guard();
    let watch = drain.watch();
    drain.begin(stopped(), &Times::for_restart());
    let mut follower = watch.follow();
    let counts = Arc::new(Counts(0.into()));
    let waker = Waker::from(counts.clone());
    assert_eq!(follower.poll_level(&mut Context::from_waker(&waker)), Level::Draining);
    let before = (watch.let_go_at(Turn::MIDDLE, None), watch.close_at(Policy::CloseAfter(SECOND * 100)));
    drain.shorten(&times(1, 2));
    assert!(counts.0.load(Ordering::SeqCst) > 0);
    assert!(watch.let_go_at(Turn::MIDDLE, None) < before.0);
    assert!(before.1.is_some() && watch.close_at(Policy::CloseAfter(SECOND * 100)).is_none());
}

/// Each with its time.
type Lines = Arc<Mutex<Vec<(Duration, String)>>>;

/// What is logged in this thread until the second is dropped.
fn log() -> (Lines, tracing::subscriber::DefaultGuard) {
    let lines = Lines::default();
    let (log, began) = (lines.clone(), Instant::now());
    let layer = tracing_subscriber::fmt().without_time().with_target(false).with_ansi(false);
    let write = move || Line(log.clone(), began);
    (lines, subscribe(layer.with_writer(write).finish()))
}

struct Line(Lines, Instant);

impl std::io::Write for Line {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(line).trim().to_owned();
        self.0.lock().unwrap().push((self.1.elapsed(), text));
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_takes_long_says_every_five_seconds_what_it_waits_for() {
    let (lines, _log) = log();
    let drain = Drain::new();
    let [http2, upgraded, _] = [Kind::Http2, Kind::Upgraded, Kind::Serve].map(|kind| drain.tracker().guard_of(kind));
    sleep(SECOND * 36).await;
    drain.begin(stopped(), &times(3, 60));
    // Dropped and asked for again, it neither forgets nor repeats itself.
    for _ in 0..4 {
        timeout(SECOND * 2, drain.run()).await.unwrap_err();
    }
    drop(upgraded);
    timeout(SECOND * 6, drain.run()).await.unwrap_err();
    drop(http2);
    let lines = lines.lock().unwrap();
    let line = |at, waits_for: &str, left| {
        (SECOND * at, format!("INFO still draining waits_for=\"{waits_for}\" remaining={left}s"))
    };
    let first = line(41, "2 connections: oldest 41 s, 1 http2, 1 upgraded", 55);
    assert_eq!(*lines, [first, line(46, "1 connection: oldest 46 s, 1 http2", 50)]);
}

#[tokio::test(start_paused = true)]
async fn a_drain_shorter_than_five_seconds_is_silent() {
    let (lines, _log) = log();
    let drain = Drain::new();
    let guard = drain.tracker().guard();
    drain.begin(stopped(), &times(1, 60));
    let running = tokio::spawn(drain.ended());
    sleep(Duration::from_millis(4_900)).await;
    drop(guard);
    assert_eq!(running.await.unwrap().took(), Duration::from_millis(4_900));
    assert_eq!(*lines.lock().unwrap(), []);
}

//! A handle that is detached from the process: everything but a restart.

use std::{
    fs::File,
    io,
    net::SocketAddr,
    os::{fd::AsFd, unix::fs::MetadataExt},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket, UnixListener},
    task::yield_now,
};

use super::shared::Ask;
use crate::{Cause, ErrorKind, Graceful, Signals, State, control, drain::Times, hooks::Hook};

async fn bound(graceful: &Graceful, name: &str) -> (TcpListener, SocketAddr) {
    let listener = graceful.listen(name, "127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[tokio::test]
async fn a_stop_ends_accepting_and_the_drain_reports() {
    let graceful = Graceful::detached();
    let token = graceful.token();
    graceful.ready().await.unwrap();
    assert_eq!(*graceful.state().borrow(), State::Ready);
    graceful.stop();
    assert!(matches!(graceful.restart_signal().await, Cause::Stopped { by: None }));
    assert!(token.is_cancelled());
    assert!(graceful.drain().await.is_clean());
    assert_eq!(*graceful.state().borrow(), State::Done);
}

#[tokio::test]
async fn a_drain_that_is_awaited_early_stops_first_and_everybody_gets_the_report() {
    let graceful = Graceful::detached();
    let (one, two) = tokio::join!(graceful.drain(), graceful.clone().drain());
    assert_eq!(one.to_string(), two.to_string());
    assert!(graceful.drain().await.is_clean(), "also after the end");
}

#[tokio::test]
async fn after_a_user_dropped_its_listener_at_a_stop_connect_is_refused() {
    let graceful = Graceful::detached();
    let (listener, address) = bound(&graceful, "http").await;
    let token = graceful.token();
    let server = tokio::spawn(async move {
        token.cancelled().await;
        drop(listener);
    });
    TcpStream::connect(address).await.unwrap();
    graceful.stop();
    server.await.unwrap();
    refused(address).await;
}

/// Waits until nobody listens there. A process that another test has just forked holds copies of our descriptors until it
/// is another program, and so long what we have closed is open.
async fn refused(address: SocketAddr) {
    loop {
        if let Err(error) = TcpStream::connect(address).await {
            return assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        }
    }
}

#[tokio::test]
async fn whoever_was_in_the_queue_at_a_stop_is_accepted_before_accepting_ends() {
    let graceful = Graceful::detached();
    let (mut listener, address) = bound(&graceful, "http").await;
    let clients = [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
    graceful.stop();
    graceful.restart_signal().await;
    for _ in &clients {
        assert!(graceful.accept(&mut listener).await.is_some());
    }
    assert!(graceful.accept(&mut listener).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_fills_as_fast_as_it_is_emptied_is_cut_at_the_deadline_of_a_drain_that_is_over() {
    let graceful = Graceful::detached();
    let (mut listener, address) = bound(&graceful, "http").await;
    let _clients = [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
    let socket = graceful.bind::<UdpSocket, _>("dns", "127.0.0.1:0").await.unwrap();
    let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..2 {
        client.send_to(b"?", socket.local_addr().unwrap()).unwrap();
    }
    graceful.stop();
    assert!(graceful.drain().await.is_clean(), "nobody is counted");
    let mut buffer = [0; 8];
    assert!(graceful.accept(&mut listener).await.is_some() && graceful.receive(&socket, &mut buffer).await.is_some());
    tokio::time::advance(Duration::from_secs(20)).await;
    assert!(graceful.accept(&mut listener).await.is_none() && graceful.receive(&socket, &mut buffer).await.is_none());
}

#[tokio::test]
async fn a_name_is_used_once_and_never_again_after_the_end() {
    let graceful = Graceful::detached();
    let (_listener, _) = bound(&graceful, "http").await;
    assert_eq!(graceful.listen("http", "127.0.0.1:0").await.unwrap_err().kind(), ErrorKind::Name);
    assert!(graceful.claim::<UnixListener>("unix").unwrap().is_none(), "nobody has passed one");
    graceful.drain().await;
    assert_eq!(graceful.listen("other", "127.0.0.1:0").await.unwrap_err().kind(), ErrorKind::Ending);
}

#[tokio::test]
async fn an_address_in_use_is_an_error_that_names_socket_and_address() {
    let graceful = Graceful::detached();
    let (_listener, address) = bound(&graceful, "http").await;
    let error = graceful.listen("admin", address).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Socket);
    assert!(error.to_string().contains("admin") && error.to_string().contains(&address.to_string()), "{error}");
}

#[tokio::test]
async fn options_run_on_a_fresh_socket_before_it_is_bound() {
    let graceful = Graceful::detached();
    let mut seen = Vec::new();
    let set = |socket: std::os::fd::BorrowedFd<'_>| {
        seen.push(socket2::SockRef::from(&socket).is_listener()?);
        Ok(())
    };
    graceful.listen("http", "127.0.0.1:0").options(set).await.unwrap();
    assert_eq!(seen, [false]);
    let refuse = |_: std::os::fd::BorrowedFd<'_>| Err(io::Error::other("no"));
    assert!(graceful.listen("other", "127.0.0.1:0").options(refuse).await.unwrap_err().to_string().ends_with("no"));
}

#[tokio::test]
async fn a_unix_path_lives_as_long_as_its_owner() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("server.sock");
    let graceful = Graceful::detached();
    let listener = graceful.listen_unix("unix", &path).await.unwrap();
    assert!(path.exists());
    graceful.drain().await;
    assert!(!path.exists());
    drop(listener);
}

#[tokio::test]
async fn a_path_that_another_server_has_bound_since_is_left_to_it() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("server.sock");
    let graceful = Graceful::detached();
    let _listener = graceful.listen_unix("unix", &path).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    graceful.drain().await;
    assert!(path.exists());
}

#[tokio::test]
async fn a_detached_handle_says_that_it_does_not_restart_and_serves_on() {
    let graceful = Graceful::detached();
    assert_eq!(graceful.restart().await.unwrap_err().kind(), ErrorKind::NotReady);
    graceful.ready().await.unwrap();
    assert_eq!(graceful.restart().await.unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(*graceful.state().borrow(), State::Ready);
    graceful.drain().await;
    assert_eq!(graceful.restart().await.unwrap_err().kind(), ErrorKind::Ending);
    assert_eq!(graceful.ready().await.unwrap_err().kind(), ErrorKind::Ending);
}

#[tokio::test(start_paused = true)]
async fn a_second_stop_ends_the_drain_at_once() {
    let graceful = Graceful::detached();
    let _forever = graceful.spawn(std::future::pending::<()>());
    graceful.stop();
    let drain = tokio::spawn(graceful.drain());
    graceful.restart_signal().await;
    graceful.stop();
    let report = drain.await.unwrap();
    assert_eq!(report.cut(), 1);
    assert!(report.took() < Duration::from_secs(2), "{report}");
}

#[tokio::test]
async fn a_dropped_future_calls_nothing_off() {
    let graceful = Graceful::detached();
    let mut ready = Box::pin(graceful.ready());
    tokio::select! {
        biased;
        _ = &mut ready => {}
        () = yield_now() => {}
    }
    drop(ready);
    graceful.state().wait_for(|state| *state == State::Ready).await.unwrap();
}

#[test]
fn outside_a_runtime_building_is_an_error_and_no_panic() {
    let mut build = Box::pin(Graceful::new());
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(Err(error)) = build.as_mut().poll(&mut cx) else { panic!("it should fail at once") };
    assert_eq!(error.kind(), ErrorKind::Runtime);
}

#[test]
fn the_handle_and_its_futures_can_go_to_any_task() {
    fn check<T: Send + 'static>(_: &T) {}
    fn handle<T: Clone + Send + Sync + 'static>() {}
    handle::<Graceful>();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _guard = runtime.enter();
    let graceful = Graceful::detached();
    check(&graceful.ready());
    check(&graceful.restart_signal());
    check(&graceful.restart());
    check(&graceful.drain());
}

/// One that meets the others at this path.
async fn met_at(path: &std::path::Path) -> Result<Graceful, crate::Error> {
    Graceful::builder().signals(Signals::none()).probation(Duration::ZERO).control(path).build().await
}

/// The predecessor is stopped in the probation of one that is ready: it ends, though nobody has stopped it.
#[tokio::test]
async fn a_successor_that_is_taken_back_is_told_that_its_predecessor_decides() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("control");
    let start = || Graceful::builder().signals(Signals::none()).probation(Duration::MAX).control(&path).build();
    let first = start().await.unwrap();
    first.ready().await.unwrap();
    let second = start().await.unwrap();
    second.ready().await.unwrap();
    first.stop();
    let cause = second.restart_signal().await;
    assert!(matches!(&cause, Cause::TakenBack { .. }) && cause.serves_on(), "{cause:?}");
    assert!(second.drain().await.is_clean());
    let cause = first.restart_signal().await;
    assert!(matches!(cause, Cause::Stopped { by: None }) && !cause.serves_on(), "{cause:?}");
    first.drain().await;
}

/// Nothing that an application could say would make it possible.
#[tokio::test]
async fn where_a_restart_is_impossible_the_application_is_not_asked() {
    let graceful = Graceful::detached();
    graceful.hook(Hook::before_spawn("disk", || async { panic!("it is asked") as io::Result<()> }));
    graceful.pass_state("a", 1, || async { panic!("it is asked") as io::Result<Vec<u8>> }).unwrap();
    graceful.ready().await.unwrap();
    assert_eq!(graceful.restart().await.unwrap_err().kind(), ErrorKind::Unsupported);
}

/// It serves, and who asks again is told what it was told before.
#[tokio::test]
async fn ready_in_a_lame_duck_is_answered_as_before() {
    let times = Times::for_stop().lame_duck(Duration::MAX);
    let graceful = Graceful::builder().signals(Signals::none()).on_stop(times).build().await.unwrap();
    graceful.ready().await.unwrap();
    graceful.stop();
    graceful.state().wait_for(|state| *state == State::LameDuck).await.unwrap();
    graceful.ready().await.unwrap();
    graceful.stop();
    graceful.drain().await;
    assert_eq!(graceful.ready().await.unwrap_err().kind(), ErrorKind::Ending);
}

/// What the one that accepts answers: its number.
async fn ask(address: SocketAddr) -> u64 {
    TcpStream::connect(address).await.unwrap().read_u64().await.unwrap()
}

fn inode(of: &TcpListener) -> u64 {
    File::from(of.as_fd().try_clone_to_owned().unwrap()).metadata().unwrap().ino()
}

/// How many descriptors of this process lead there.
fn copies(inode: u64) -> usize {
    let open = std::fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().path());
    open.filter(|path| std::fs::metadata(path).is_ok_and(|file| file.ino() == inode)).count()
}

#[tokio::test]
async fn handles_of_one_process_restart_each_other_again_and_again() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("control");
    let (mut last, mut address): (Option<Graceful>, Option<SocketAddr>) = (None, None);
    for number in 0..=20 {
        let graceful = met_at(&path).await.unwrap();
        assert_eq!((graceful.generation(), graceful.is_successor()), (number, number > 0));
        let mut listener = graceful.listen("echo", "127.0.0.1:0").await.unwrap();
        let (own, inode) = (listener.local_addr().unwrap(), inode(&listener));
        assert_eq!(*address.get_or_insert(own), own);
        let handle = graceful.clone();
        graceful.spawn(async move {
            while let Some((mut stream, _)) = handle.accept(&mut listener).await {
                stream.write_u64(number).await.unwrap();
            }
        });
        graceful.ready().await.unwrap();
        if let Some(last) = last.replace(graceful.clone()) {
            assert!(last.restart_signal().await.is_replaced());
            assert!(last.drain().await.is_clean());
        }
        assert_eq!(ask(own).await, number);
        let status = control::status(&path).await.unwrap();
        assert_eq!((status.generation, &*status.state), (number, "ready"));
        assert_eq!(copies(inode), 2, "the loop's, and the one to pass on");
    }
    control::stop(&path).await.unwrap();
    assert!(last.unwrap().drain().await.is_clean() && !path.exists());
}

#[tokio::test]
async fn a_handle_that_is_not_ready_is_not_taken_over_by_another_of_its_process() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("control");
    let first = met_at(&path).await.unwrap();
    assert_eq!(met_at(&path).await.unwrap_err().kind(), ErrorKind::NotReady);
    first.ready().await.unwrap();
    let second = met_at(&path).await.unwrap();
    assert_eq!(met_at(&path).await.unwrap_err().kind(), ErrorKind::Busy, "another is on its way");
    second.stop();
    second.drain().await;
    first.state().wait_for(|state| *state == State::Ready).await.unwrap();
    let third = met_at(&path).await.unwrap();
    third.ready().await.unwrap();
    assert!(first.restart_signal().await.is_replaced());
}

#[tokio::test]
async fn a_loop_that_panics_drains_and_ends_rather_than_serve_on_deaf() {
    let graceful = Graceful::detached();
    let (listener, address) = bound(&graceful, "http").await;
    let token = graceful.token();
    graceful.ready().await.unwrap();
    graceful.shared.asks.send(Ask::Panic).unwrap();
    assert!(matches!(graceful.restart_signal().await, Cause::Failed { .. }));
    let report = graceful.drain().await;
    assert_eq!((report.exit_code(), token.is_cancelled()), (1, true));
    drop(listener);
    refused(address).await;
}

#[cfg(feature = "serve")]
mod connections;

#[cfg(all(feature = "layer", feature = "serve"))]
mod end {
    use super::*;

    /// The runtime's own count: nothing of ours is left behind that would keep it alive, or wake it for ever.
    fn tasks() -> usize {
        tokio::runtime::Handle::current().metrics().num_alive_tasks()
    }

    /// What a server has: listeners that are accepted from, by a `serve` and one that is last, connections in all states,
    /// tasks, hooks, watches.
    async fn a_whole_life() {
        let graceful = Graceful::detached();
        let (http, address) = bound(&graceful, "http").await;
        let (admin, _) = bound(&graceful, "admin").await;
        let router =
            || axum::Router::new().route("/", axum::routing::get(|| async { "hello" })).layer(graceful.layer());
        tokio::spawn(graceful.serve(http, router()));
        tokio::spawn(graceful.serve(admin, router()).last_to_close());
        graceful.hook(Hook::at_exit("farewell", || async { Ok::<_, io::Error>(()) }));
        drop(graceful.spawn(async {}));
        let (watch, state) = (graceful.watch(), graceful.state());
        graceful.ready().await.unwrap();
        let mut idle = TcpStream::connect(address).await.unwrap();
        idle.write_all(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n").await.unwrap();
        let silent = TcpStream::connect(address).await.unwrap();
        assert!(tasks() > 0);
        graceful.stop();
        graceful.restart_signal().await;
        drop(silent);
        let mut answer = String::new();
        idle.read_to_string(&mut answer).await.unwrap();
        drop(idle);
        assert!(answer.ends_with("hello"), "{answer}");
        assert!(graceful.drain().await.is_clean());
        assert!(watch.is_draining() && *state.borrow() == State::Done);
        // What ends is still to be polled for the last time; nothing has to come from outside for that.
        for _ in 0..1_000 {
            if tasks() == 0 {
                return;
            }
            yield_now().await;
        }
        panic!("{} tasks live on", tasks());
    }

    #[tokio::test]
    async fn after_the_drain_nothing_of_ours_is_alive() {
        a_whole_life().await;
    }

    /// As a process does whose `main` returns.
    #[test]
    fn a_runtime_of_one_thread_ends_by_itself_after_the_drain() {
        let (done, ends) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(a_whole_life());
            drop(runtime);
            done.send(()).unwrap();
        });
        ends.recv_timeout(Duration::from_secs(60)).expect("it ends");
    }
}

#[cfg(feature = "metrics")]
mod figures {
    use std::{
        collections::BTreeMap,
        sync::atomic::{AtomicBool, Ordering},
    };

    use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
    use tokio::time::timeout;

    use super::*;

    /// A bound for a broken run, and never part of what is tested.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// What was written since this was last asked, as `name{label=value}` without the prefix: a look takes it.
    fn written(to: &Snapshotter) -> BTreeMap<String, DebugValue> {
        let all = to.snapshot().into_vec().into_iter().map(|(key, _, _, value)| {
            let labels: Vec<_> = key.key().labels().map(|it| format!("{}={}", it.key(), it.value())).collect();
            let name = key.key().name().strip_prefix("hotrestart_").expect("ours");
            (format!("{name}{{{}}}", labels.join(",")), value)
        });
        all.collect()
    }

    fn gauge(written: &BTreeMap<String, DebugValue>, key: &str) -> Option<f64> {
        match written.get(key)? {
            DebugValue::Gauge(value) => Some(value.into_inner()),
            _ => None,
        }
    }

    /// How many restarts have ended since, by result.
    fn ended(written: &BTreeMap<String, DebugValue>) -> Vec<(&str, u64)> {
        let restarts =
            written.iter().filter_map(|(key, value)| Some((key.strip_prefix("restarts_total{result=")?, value)));
        let counted = restarts.filter_map(|(result, value)| match value {
            DebugValue::Counter(count @ 1..) => Some((result.trim_end_matches('}'), *count)),
            _ => None,
        });
        counted.collect()
    }

    fn durations(written: &BTreeMap<String, DebugValue>, part: &str) -> Vec<f64> {
        match written.get(&format!("restart_duration_seconds{{phase={part}}}")) {
            Some(DebugValue::Histogram(values)) => values.iter().map(|value| value.into_inner()).collect(),
            _ => vec![],
        }
    }

    #[tokio::test]
    async fn each_restart_is_counted_once_by_its_result_and_timed_only_if_it_has_succeeded() {
        let recorder = DebuggingRecorder::new();
        let to = recorder.snapshotter();
        // All that runs here runs in this thread.
        let _here = metrics::set_default_local_recorder(&recorder);
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("control");
        let first = met_at(&path).await.unwrap();
        let refuses = AtomicBool::new(true);
        first.hook(Hook::before_spawn("disk", move || {
            let answer = if refuses.swap(false, Ordering::Relaxed) { Err("no space left") } else { Ok(()) };
            async move { answer }
        }));
        assert_eq!(met_at(&path).await.unwrap_err().kind(), ErrorKind::NotReady);
        assert_eq!(ended(&written(&to)), [("not_ready", 1)]);

        first.ready().await.unwrap();
        assert_eq!(met_at(&path).await.unwrap_err().kind(), ErrorKind::Hook);
        first.state().wait_for(|state| *state == State::Ready).await.unwrap();
        let now = written(&to);
        assert_eq!(ended(&now), [("hook", 1)]);
        assert_eq!(gauge(&now, "state{state=ready}"), Some(1.0), "{now:?}");

        let second = met_at(&path).await.unwrap();
        assert_eq!(met_at(&path).await.unwrap_err().kind(), ErrorKind::Busy);
        let now = written(&to);
        assert_eq!(ended(&now), [("busy", 1)]);
        assert_eq!(gauge(&now, "state{state=restarting}"), Some(1.0), "{now:?}");
        for part in ["spawn", "ready", "probation", "total"] {
            assert_eq!(durations(&now, part), [0.0; 0], "{part}: none has succeeded");
        }

        let kept = first.shared.tracker.guard();
        second.ready().await.unwrap();
        assert!(first.restart_signal().await.is_replaced());
        let now = written(&to);
        assert_eq!(ended(&now), [("ok", 1)]);
        let [spawn, ready, probation, total] = ["spawn", "ready", "probation", "total"]
            .map(|part| durations(&now, part).try_into().unwrap_or([f64::NAN])[0]);
        assert!(spawn + ready + probation <= total, "{now:?}");
        for (state, value) in [("ready", 1.0), ("draining", 1.0), ("restarting", 0.0)] {
            assert_eq!(gauge(&now, &format!("state{{state={state}}}")), Some(value), "{now:?}");
        }

        // The second is told what the first one waits for.
        let one_drains = async {
            while gauge(&written(&to), "draining_generations{}") != Some(1.0) {
                yield_now().await;
            }
        };
        timeout(PATIENCE, one_drains).await.unwrap();
        drop(kept);
        assert!(first.drain().await.is_clean());
        second.stop();
        assert!(second.drain().await.is_clean());
        let now = written(&to);
        assert_eq!(ended(&now), []);
        assert_eq!(gauge(&now, "state{state=done}"), Some(1.0), "{now:?}");
    }
}

use std::{
    future::pending,
    io,
    panic::panic_any,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{
    sync::Semaphore,
    task::yield_now,
    time::{Instant, sleep},
};

use super::{Hook, Hooks, Moment, Outcome};
use crate::ErrorKind;

const EVERY_MOMENT: [Moment; 4] = [Moment::BeforeSpawn, Moment::BeforeCommit, Moment::AfterPredecessor, Moment::AtExit];
const SECOND: Duration = Duration::from_secs(1);

/// What happened, in order.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    fn read(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// Notes when it is dropped.
    fn note_at_end(&self, what: &str) -> impl Drop + use<> {
        struct AtEnd(Diary, String);
        impl Drop for AtEnd {
            fn drop(&mut self) {
                self.0.note(&self.1);
            }
        }
        AtEnd(self.clone(), what.to_owned())
    }
}

fn hook<F, R>(moment: Moment, name: &str, run: F) -> Hook
where
    F: Fn() -> R + Send + Sync + 'static,
    R: Future<Output = Result<(), String>> + Send + 'static,
{
    match moment {
        Moment::BeforeSpawn => Hook::before_spawn(name, run),
        Moment::BeforeCommit => Hook::before_commit(name, run, || async { Ok::<_, String>(()) }),
        Moment::AfterPredecessor => Hook::after_predecessor(name, run),
        Moment::AtExit => Hook::at_exit(name, run),
    }
}

/// Notes its name.
fn noting(moment: Moment, name: &'static str, diary: &Diary) -> Hook {
    noting_then(moment, name, diary, Ok(()))
}

fn noting_then(moment: Moment, name: &'static str, diary: &Diary, end: Result<(), &'static str>) -> Hook {
    let diary = diary.clone();
    hook(moment, name, move || {
        let diary = diary.clone();
        async move {
            yield_now().await;
            diary.note(name);
            end.map_err(str::to_owned)
        }
    })
}

/// Notes its name and that of its undo; `end` says how its release ends.
fn lock(name: &'static str, diary: &Diary, end: Result<(), &'static str>) -> Hook {
    let (release, undo) = (diary.clone(), diary.clone());
    Hook::before_commit(
        name,
        move || {
            release.note(format!("release {name}"));
            async move { end }
        },
        move || {
            let undo = undo.clone();
            async move {
                yield_now().await;
                undo.note(format!("undo {name}"));
                Ok::<_, String>(())
            }
        },
    )
}

fn all(hooks: impl IntoIterator<Item = Hook>) -> Hooks {
    let mut all = Hooks::default();
    hooks.into_iter().for_each(|hook| all.add(hook));
    all
}

fn sentences(outcome: &Outcome) -> Vec<&str> {
    assert!(outcome.failures.iter().all(|error| error.kind() == ErrorKind::Hook));
    outcome.failures.iter().map(|error| error.message()).collect()
}

/// How the one hook of a moment ends.
async fn alone(hook: Hook) -> Outcome {
    let moment = hook.moment;
    all([hook]).run(moment).next().await
}

#[tokio::test(start_paused = true)]
async fn hooks_of_a_moment_run_one_after_the_other_as_they_were_registered() {
    for moment in EVERY_MOMENT {
        let (diary, slow) = (Diary::default(), Diary::default());
        let other = if moment == Moment::AtExit { Moment::BeforeSpawn } else { Moment::AtExit };
        let first = slow.clone();
        let mut hooks = all([
            hook(moment, "slow", move || {
                let diary = first.clone();
                async move {
                    sleep(3 * SECOND).await;
                    diary.note("slow");
                    Ok(())
                }
            }),
            noting(moment, "one", &slow),
            noting(other, "of another moment", &diary),
            noting(moment, "two", &slow),
        ]);
        assert!(hooks.run(moment).next().await.is_ok());
        assert_eq!(slow.read(), ["slow", "one", "two"], "{moment:?}");
        assert_eq!(diary.read(), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_that_refuses_is_the_restarts_failure_and_no_other_begins() {
    let told = [
        (Moment::BeforeSpawn, "the hook `cron` refused the restart: it is noon"),
        (Moment::BeforeCommit, "the hook `cron` failed: it is noon"),
    ];
    for (moment, sentence) in told {
        let diary = Diary::default();
        let mut hooks = all([
            noting(moment, "one", &diary),
            noting_then(moment, "cron", &diary, Err("it is noon")),
            noting(moment, "two", &diary),
        ]);
        let mut running = hooks.run(moment);
        assert_eq!(sentences(&running.next().await), [sentence]);
        assert_eq!(sentences(&running.next().await), [sentence], "asked again");
        assert_eq!(diary.read(), ["one", "cron"]);
    }
}

#[tokio::test(start_paused = true)]
async fn where_nothing_is_left_to_refuse_all_run_and_each_failure_is_told() {
    for moment in [Moment::AfterPredecessor, Moment::AtExit] {
        let diary = Diary::default();
        let mut hooks = all([
            noting_then(moment, "one", &diary, Err("disk full")),
            hook(moment, "two", || async { panic!("no disk") }),
            hook(moment, "three", pending).deadline(SECOND),
            noting(moment, "four", &diary),
        ]);
        let outcome = hooks.run(moment).next().await;
        let told = [
            "the hook `one` failed: disk full",
            "the hook `two` panicked: no disk",
            "the hook `three` was not done within 1s",
        ];
        assert_eq!(sentences(&outcome), told);
        assert_eq!(diary.read(), ["one", "four"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_outlives_its_deadline_is_dropped() {
    for (moment, deadline) in EVERY_MOMENT.into_iter().zip([10, 10, 10, 5]) {
        let diary = Diary::default();
        let hanging = diary.clone();
        let hook = hook(moment, "hangs", move || {
            let held = hanging.note_at_end("dropped");
            async move {
                let _held = held;
                pending().await
            }
        });
        let began = Instant::now();
        let outcome = alone(hook).await;
        assert_eq!(sentences(&outcome), [format!("the hook `hangs` was not done within {deadline}s")]);
        assert_eq!(began.elapsed(), deadline * SECOND);
        assert_eq!(diary.read(), ["dropped"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hook_without_a_deadline_is_waited_for() {
    let hook = Hook::at_exit("flush", || async {
        sleep(100 * SECOND).await;
        Ok::<_, String>(())
    });
    assert!(alone(hook.deadline(Duration::MAX)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_caught_and_told_with_its_message() {
    let panics: [(Hook, &str); 4] = [
        (Hook::at_exit("a", || async { panic!("in the future") as Result<(), String> }), "in the future"),
        (Hook::at_exit("a", || -> std::future::Ready<io::Result<()>> { panic!("in the closure") }), "in the closure"),
        (Hook::at_exit("a", || async { panic!("{} of them", 2) as Result<(), String> }), "2 of them"),
        (Hook::at_exit("a", || async { panic_any(7) as Result<(), String> }), "with something that is no text"),
    ];
    for (hook, message) in panics {
        assert_eq!(sentences(&alone(hook).await), [format!("the hook `a` panicked: {message}")]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_of_any_kind_is_told_with_its_causes() {
    let failed = |what| format!("the hook `a` failed: {what}");
    let text = Hook::at_exit("a", || async { Err("text") });
    assert_eq!(sentences(&alone(text).await), [failed("text")]);
    let io = Hook::at_exit("a", || async { Err(io::Error::other("io")) });
    assert_eq!(sentences(&alone(io).await), [failed("io")]);
    let any = Hook::at_exit("a", || async { Err(anyhow::anyhow!("cause").context("effect")) });
    assert_eq!(sentences(&alone(any).await), [failed("effect: cause")]);
}

#[tokio::test(start_paused = true)]
async fn undos_come_latest_first_and_only_for_what_was_begun() {
    let diary = Diary::default();
    let mut hooks = all([
        lock("one", &diary, Ok(())),
        lock("two", &diary, Ok(())),
        lock("half", &diary, Err("half way")),
        lock("three", &diary, Ok(())),
    ]);
    let mut running = hooks.run(Moment::BeforeCommit);
    assert_eq!(sentences(&running.next().await), ["the hook `half` failed: half way"]);
    assert!(running.undo().next().await.is_ok());
    let order = ["release one", "release two", "release half", "undo half", "undo two", "undo one"];
    assert_eq!(diary.read(), order);
}

#[tokio::test(start_paused = true)]
async fn what_has_not_begun_is_not_undone() {
    let diary = Diary::default();
    let mut hooks = all([lock("one", &diary, Ok(()))]);
    assert!(hooks.run(Moment::BeforeCommit).undo().next().await.is_ok());
    assert_eq!(diary.read(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_release_that_hangs_or_panics_is_undone() {
    for hang in [true, false] {
        let diary = Diary::default();
        let undo = diary.clone();
        let mut hooks = all([Hook::before_commit(
            "half",
            move || async move { if hang { pending().await } else { panic!("half way") as Result<(), String> } },
            move || {
                undo.note("undo half");
                async { Ok::<_, String>(()) }
            },
        )]);
        let mut running = hooks.run(Moment::BeforeCommit);
        assert!(!running.next().await.is_ok());
        assert!(running.undo().next().await.is_ok());
        assert_eq!(diary.read(), ["undo half"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_that_still_runs_has_ended_before_its_undo_begins() {
    let diary = Diary::default();
    let (release, undo) = (diary.clone(), diary.clone());
    let mut hooks = all([
        lock("one", &diary, Ok(())),
        Hook::before_commit(
            "two",
            move || {
                let held = release.note_at_end("release two dropped");
                async move {
                    let _held = held;
                    pending::<Result<(), String>>().await
                }
            },
            move || {
                undo.note("undo two");
                async { Ok::<_, String>(()) }
            },
        ),
    ]);
    let mut running = hooks.run(Moment::BeforeCommit);
    tokio::select! {
        _ = running.next() => panic!("one of them hangs"),
        () = sleep(SECOND) => {}
    }
    assert!(running.undo().next().await.is_ok(), "what was called off has not failed");
    assert_eq!(diary.read(), ["release one", "release two dropped", "undo two", "undo one"]);
}

#[tokio::test(start_paused = true)]
async fn an_undo_that_fails_keeps_no_other_from_being_tried() {
    let diary = Diary::default();
    let release = || async { Ok::<_, String>(()) };
    let mut hooks = all([
        lock("one", &diary, Ok(())),
        Hook::before_commit("two", release, || async { Err("it is gone") }),
        Hook::before_commit("three", release, pending::<Result<(), String>>).deadline(2 * SECOND),
    ]);
    let mut running = hooks.run(Moment::BeforeCommit);
    assert!(running.next().await.is_ok());
    let outcome = running.undo().next().await;
    let told = ["the undo of the hook `three` was not done within 2s", "the undo of the hook `two` failed: it is gone"];
    assert_eq!(sentences(&outcome), told);
    assert_eq!(diary.read(), ["release one", "undo one"]);
}

#[tokio::test(start_paused = true)]
async fn a_hook_may_spawn_tasks_which_outlive_it() {
    let diary = Diary::default();
    let spawning = diary.clone();
    let outcome = alone(Hook::at_exit("spawns", move || {
        let diary = spawning.clone();
        async move {
            tokio::spawn(async move {
                sleep(20 * SECOND).await;
                diary.note("spawned");
            });
            Ok::<_, String>(())
        }
    }));
    assert!(outcome.await.is_ok());
    assert_eq!(diary.read(), [""; 0]);
    sleep(21 * SECOND).await;
    assert_eq!(diary.read(), ["spawned"]);
}

#[tokio::test(start_paused = true)]
async fn who_asks_again_waits_for_the_hook_that_runs_by_the_same_deadline() {
    let begun = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&begun);
    let mut hooks = all([hook(Moment::BeforeSpawn, "hangs", move || {
        count.fetch_add(1, Ordering::Relaxed);
        pending()
    })]);
    let mut running = hooks.run(Moment::BeforeSpawn);
    let began = Instant::now();
    for _ in 0..9 {
        tokio::select! {
            _ = running.next() => panic!("it hangs"),
            () = sleep(SECOND) => {}
        }
    }
    assert!(!running.next().await.is_ok());
    assert_eq!((began.elapsed(), begun.load(Ordering::Relaxed)), (10 * SECOND, 1));
}

#[tokio::test(start_paused = true)]
async fn hooks_that_nobody_waits_for_any_more_are_aborted() {
    let diary = Diary::default();
    let (dropped, gone) = (diary.clone(), Arc::new(Semaphore::new(0)));
    let release = Arc::clone(&gone);
    let mut hooks = all([
        hook(Moment::AtExit, "hangs", move || {
            let held = (dropped.note_at_end("dropped"), GivesAtEnd(Arc::clone(&release)));
            async move {
                let _held = held;
                pending().await
            }
        }),
        noting(Moment::AtExit, "next", &diary),
    ]);
    let mut running = hooks.run(Moment::AtExit);
    assert!(running.next().now_or_never().is_none());
    yield_now().await;
    assert_eq!(diary.read(), [""; 0], "it runs");
    drop(running);
    gone.acquire().await.unwrap().forget();
    assert_eq!(diary.read(), ["dropped"]);
}

struct GivesAtEnd(Arc<Semaphore>);

impl Drop for GivesAtEnd {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_moment_without_hooks_is_over_at_once() {
    for moment in EVERY_MOMENT {
        let mut hooks = Hooks::default();
        assert!(!hooks.has(moment));
        let outcome = hooks.run(moment).next().now_or_never();
        assert!(outcome.is_some_and(|outcome| outcome.is_ok()));
        let undone = hooks.run(moment).undo().next().now_or_never();
        assert!(undone.is_some_and(|outcome| outcome.is_ok()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_is_registered_while_others_run_waits_for_the_next_turn() {
    let diary = Diary::default();
    let hooks = Arc::new(Mutex::new(all([])));
    let (registering, noted) = (Arc::clone(&hooks), diary.clone());
    hooks.lock().unwrap().add(hook(Moment::BeforeSpawn, "registers", move || {
        registering.lock().unwrap().add(noting(Moment::BeforeSpawn, "late", &noted));
        async { Ok(()) }
    }));
    let mut running = hooks.lock().unwrap().run(Moment::BeforeSpawn);
    assert!(running.next().await.is_ok());
    assert_eq!(diary.read(), [""; 0]);
    let mut running = hooks.lock().unwrap().run(Moment::BeforeSpawn);
    assert!(running.next().await.is_ok());
    assert_eq!(diary.read(), ["late"]);
}

#[tokio::test(start_paused = true)]
async fn what_comes_once_in_a_process_runs_once_and_what_comes_too_late_for_it_is_seen() {
    for moment in EVERY_MOMENT {
        let diary = Diary::default();
        let mut hooks = all([noting(moment, "early", &diary)]);
        assert!(hooks.run(moment).next().await.is_ok());
        assert_eq!(hooks.has(moment), matches!(moment, Moment::BeforeSpawn | Moment::BeforeCommit), "{moment:?}");
        hooks.add(noting(moment, "late", &diary));
        assert!(hooks.has(moment));
    }
}

//! Providers that give, fail, hang and panic; and what comes of a predecessor's.

use std::{convert::Infallible, future::pending, sync::Arc, time::Duration};

use tokio::time::{Instant, timeout};

use super::{Inherited, Providers};
use crate::{ErrorKind, name::Name, state::PassedState};

fn name(name: &str) -> Name {
    Name::new(name).unwrap()
}

fn state(of: &str, version: u32, bytes: &[u8]) -> PassedState {
    PassedState::new(name(of), version, bytes.to_vec())
}

/// One that gives these bytes.
fn gives(providers: &Providers, of: &str, version: u32, bytes: Vec<u8>) {
    let give = move || std::future::ready(Ok::<_, Infallible>(bytes.clone()));
    providers.add(name(of), version, give).unwrap();
}

// ------------------------------------------------------------------------------------------------------------ providers

#[tokio::test]
async fn what_all_have_given_is_taken_by_name_and_version() {
    let providers = Providers::default();
    gives(&providers, "b", 2, b"two".to_vec());
    gives(&providers, "a", 1, vec![]);
    let taken = providers.take().next().await.all().unwrap();
    assert_eq!(taken, [state("a", 1, b""), state("b", 2, b"two")]);
}

#[tokio::test]
async fn a_provider_is_asked_at_each_restart_and_replaced_by_the_next_of_its_name() {
    let providers = Providers::default();
    gives(&providers, "a", 1, b"old".to_vec());
    assert_eq!(providers.take().next().await.states, [state("a", 1, b"old")]);
    gives(&providers, "a", 2, b"new".to_vec());
    for _ in 0..2 {
        assert_eq!(providers.take().next().await.states, [state("a", 2, b"new")]);
    }
}

#[tokio::test]
async fn without_providers_nothing_is_taken_at_once() {
    assert_eq!(Providers::default().take().next().await.all().unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn all_are_asked_at_once_so_that_two_that_hang_take_one_deadline() {
    let providers = Providers::default();
    for of in ["hangs", "hangs too"] {
        providers.add(name(of), 1, pending::<Result<_, Infallible>>).unwrap();
    }
    gives(&providers, "gives", 1, b"x".to_vec());
    let began = Instant::now();
    let taken = providers.take().next().await;
    assert_eq!(began.elapsed(), Duration::from_secs(10));
    assert_eq!(taken.states, [state("gives", 1, b"x")]);
    let why = "was not done within 10s".to_owned();
    assert_eq!(taken.failed, [(name("hangs"), why.clone()), (name("hangs too"), why)]);
}

#[tokio::test]
async fn a_failure_is_told_with_its_reason_and_takes_nothing_from_the_others() {
    let providers = Providers::default();
    providers.add(name("bad"), 1, || std::future::ready(Err("no database"))).unwrap();
    gives(&providers, "good", 1, b"x".to_vec());
    let taken = providers.take().next().await;
    assert_eq!(taken.states, [state("good", 1, b"x")]);
    assert_eq!(taken.failed, [(name("bad"), "failed: no database".to_owned())]);
    let error = taken.all().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::State);
    assert_eq!(error.message(), "the state \"bad\" for the successor failed: no database");
}

#[tokio::test]
async fn a_panic_is_a_failure_also_before_there_is_a_future() {
    let providers = Providers::default();
    let bad = || -> std::future::Ready<Result<Vec<u8>, Infallible>> { panic!("no disk") };
    providers.add(name("bad"), 1, bad).unwrap();
    for _ in 0..2 {
        assert_eq!(providers.take().next().await.failed, [(name("bad"), "panicked: no disk".to_owned())]);
    }
}

#[tokio::test]
async fn what_is_larger_than_may_be_passed_is_a_failure() {
    const MOST: usize = PassedState::MOST_BYTES;
    let providers = Providers::default();
    gives(&providers, "0", 1, vec![0; MOST + 1]);
    for of in ["1", "2", "3", "4"] {
        gives(&providers, of, 1, vec![0; MOST]);
    }
    gives(&providers, "5", 1, vec![0; 1]);
    gives(&providers, "6", 1, vec![]);
    let taken = providers.take().next().await;
    let names: Vec<_> = taken.states.iter().map(|state| state.name().as_str()).collect();
    assert_eq!(names, ["1", "2", "3", "4", "6"]);
    let alone = "has 16777217 bytes, the limit is 16777216".to_owned();
    let together = "makes it 67108865 bytes together, the limit is 67108864".to_owned();
    assert_eq!(taken.failed, [(name("0"), alone), (name("5"), together)]);
}

#[tokio::test]
async fn a_name_too_many_is_refused_and_an_old_one_is_not() {
    let providers = Providers::default();
    for number in 0..PassedState::MOST_NAMES {
        gives(&providers, &number.to_string(), 1, vec![]);
    }
    gives(&providers, "7", 2, vec![]);
    let refused = providers.add(name("x"), 1, pending::<Result<_, Infallible>>);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::State);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_dropped_loses_nothing_and_begins_nothing_anew() {
    let providers = Providers::default();
    gives(&providers, "a", 1, b"x".to_vec());
    let asked = Arc::new(());
    let counts = Arc::clone(&asked);
    let slow = move || {
        // Kept by the future: so many have begun.
        let asked = Arc::clone(&counts);
        async move {
            tokio::time::sleep(Duration::from_secs(5)).await;
            drop(asked);
            Ok::<_, Infallible>(b"y".to_vec())
        }
    };
    providers.add(name("b"), 1, slow).unwrap();
    let mut taking = providers.take();
    for _ in 0..4 {
        assert!(timeout(Duration::from_secs(1), taking.next()).await.is_err());
        assert_eq!(Arc::strong_count(&asked), 3, "the provider's, and that of one future");
    }
    let began = Instant::now();
    assert_eq!(taking.next().await.states, [state("a", 1, b"x"), state("b", 1, b"y")]);
    assert_eq!(began.elapsed(), Duration::from_secs(1));
}

#[tokio::test]
async fn providers_that_are_not_waited_for_any_more_are_stopped() {
    let providers = Providers::default();
    let asked = Arc::new(());
    let counts = Arc::clone(&asked);
    let hangs = move || {
        let asked = Arc::clone(&counts);
        async move {
            pending::<()>().await;
            drop(asked);
            Ok::<_, Infallible>(vec![])
        }
    };
    providers.add(name("hangs"), 1, hangs).unwrap();
    let taking = providers.take();
    while Arc::strong_count(&asked) < 3 {
        tokio::task::yield_now().await;
    }
    drop(taking);
    while Arc::strong_count(&asked) > 2 {
        tokio::task::yield_now().await;
    }
}

// ------------------------------------------------------------------------------------------------------------ inherited

#[tokio::test]
async fn what_has_come_is_given_once() {
    let (inherited, _expected) = Inherited::new(vec![state("a", 1, b"x"), state("b", 2, b"y")]);
    assert_eq!(inherited.state(&name("a")), Some(state("a", 1, b"x")));
    assert_eq!(inherited.state(&name("a")), None);
    assert_eq!(inherited.state(&name("c")), None);
    assert_eq!(inherited.state(&name("b")), Some(state("b", 2, b"y")));
}

#[tokio::test(start_paused = true)]
async fn a_final_state_is_awaited_and_a_wait_that_is_dropped_takes_nothing() {
    let (inherited, expected) = Inherited::new(vec![state("a", 1, b"early")]);
    assert!(timeout(Duration::from_secs(60), inherited.final_state(name("a"))).await.is_err());
    let before = inherited.final_state(name("a"));
    expected.settle(vec![state("a", 2, b"late")]);
    drop(before);
    assert_eq!(inherited.final_state(name("b")).await, None);
    assert_eq!(inherited.final_state(name("a")).await, Some(state("a", 2, b"late")));
    assert_eq!(inherited.final_state(name("a")).await, None, "it is given once");
    assert_eq!(inherited.state(&name("a")), Some(state("a", 1, b"early")), "the two moments have names of their own");
}

#[tokio::test]
async fn when_none_can_come_any_more_nobody_waits() {
    let (inherited, expected) = Inherited::new(vec![]);
    let waits = tokio::spawn(inherited.final_state(name("a")));
    drop(expected);
    assert_eq!(waits.await.unwrap(), None);
}

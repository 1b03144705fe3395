//! A generation's end, seen by clients that are there when it begins.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{Fleet, Setup, process};

/// How a generation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Stop,
    Restart,
}

/// Of both ways.
pub const GRACE: Duration = Duration::from_millis(300);
pub const DEADLINE: Duration = Duration::from_millis(1_200);

/// Longer than any end takes that comes in time, on a machine under load, and shorter than one that does not come.
const SLACK: Duration = Duration::from_secs(20);

impl Way {
    pub const BOTH: [Self; 2] = [Self::Stop, Self::Restart];

    /// Begins the drain of generation 0, and waits until it has begun.
    pub fn begin(self, fleet: &mut Fleet) {
        match self {
            Self::Stop => {
                fleet.signal(fleet.first(), Signal::SIGTERM);
                fleet.until("ending generation=0 ");
            }
            Self::Restart => drop(fleet.restart(0, fleet.first())),
        }
    }
}

/// How long a drain takes that nothing hurries.
const FOR_EVER: Duration = Duration::from_secs(600);

/// A server that ends what idles after the grace, and whose deadline never comes. All clients at once, for what happens to
/// one of them is the matter here, and not when.
pub fn server() -> Setup {
    with_deadline(FOR_EVER).with("AT_ONCE", "1")
}

/// The same, one client after the other.
pub fn spread() -> Setup {
    with_deadline(FOR_EVER)
}

/// A server whose deadline comes.
pub fn hurried() -> Setup {
    with_deadline(DEADLINE).with("AT_ONCE", "1")
}

/// What a successor could take is what these tests are about, so it gets nothing.
fn with_deadline(deadline: Duration) -> Setup {
    let milliseconds = |time: Duration| time.as_millis().to_string();
    let setup = Setup::new().without_handover().with("GRACE_MS", milliseconds(GRACE));
    setup.with("STOP_DEADLINE_MS", milliseconds(deadline)).with("RESTART_DEADLINE_MS", milliseconds(deadline))
}

/// Makes connections and waits until generation 0 has accepted all of them: at a restart the rest would be the
/// successor's.
pub fn accepted<C>(fleet: &Fleet, connections: usize, make: impl FnOnce(&Fleet) -> C) -> C {
    let held = || process::descriptors(fleet.first()).len();
    let before = held();
    let made = make(fleet);
    process::until(|| held() == before + connections);
    made
}

/// For each way of a server to end: a client connects and does something, the drain begins, and it does something more,
/// holding its connection as long as it likes. The process ends in time, in order, and tells how the connection ended, by
/// its kind: `http1:finished/told/raced/cut`. How long it took, at least.
#[track_caller]
pub fn drained<C>(
    setup: impl Fn() -> Setup,
    before: impl Fn(&mut Fleet) -> C,
    after: impl Fn(C),
    ended: &str,
) -> Duration {
    let took = Way::BOTH.map(|way| {
        let mut fleet = setup().start();
        let held = process::descriptors(fleet.first()).len();
        let client = before(&mut fleet);
        process::until(|| process::descriptors(fleet.first()).len() == held + 1);
        let began = Instant::now();
        way.begin(&mut fleet);
        after(client);
        let done = fleet.until("done generation=0");
        let took = began.elapsed();
        assert_eq!((&done["kinds"], done.number("code")), (ended, 0), "at a {way:?}:\n{}", fleet.log());
        assert!(took < SLACK, "a {way:?} took {took:?}");
        assert!(fleet.first_exit().success());
        took
    });
    took.into_iter().min().expect("two ways")
}

/// The same with a client that is in its midst when the deadline comes, and is cut no sooner.
#[track_caller]
pub fn cut<C>(before: impl Fn(&mut Fleet) -> C, after: impl Fn(C), kind: &str) {
    let took = drained(hurried, before, after, &format!("{kind}:0/0/0/1"));
    assert!(took >= DEADLINE, "cut after {took:?}");
}

/// Lets time pass in which the server may do what it must not.
pub fn pass(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        std::thread::park_timeout(end.saturating_duration_since(Instant::now()));
    }
}

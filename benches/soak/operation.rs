//! What is done to the server, drawn from a seed.

use std::time::Duration;

use fastrand::Rng;

use super::{clients::Kind, fault::Fault, storm::Storm};

/// What is done to the server. All that is left to chance is in it, so a seed gives the same ones in the same order.
#[derive(Clone, Copy, Debug)]
pub(super) enum Operation {
    Restart {
        by: Way,
    },
    BadBinary {
        fault: Fault,
        by: Way,
    },
    /// It stands still at a moment of a restart, and goes on.
    Freeze {
        whom: Whom,
        after: Duration,
        time: Duration,
    },
    KillSuccessor {
        when: Moment,
        after: Duration,
    },
    KillPredecessor {
        after: Duration,
    },
    KillDraining {
        after: Duration,
    },
    /// Outside of a restart; and then a supervisor starts the server again.
    KillServing {
        down: Duration,
    },
    TwoAtOnce {
        ways: [Way; 2],
        apart: Duration,
    },
    /// One that has been replaced already.
    AskDraining {
        by_signal: bool,
    },
    More {
        kind: Kind,
        clients: u32,
    },
    Fewer,
    Storm {
        storm: Storm,
        count: u32,
        time: Duration,
    },
    /// So few descriptors more than it has, for so long; and a restart meanwhile.
    Shortage {
        spare: u64,
        time: Duration,
        restart: bool,
    },
}

/// How one asks for a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Signal,
    Method,
    Control,
    /// Another process that is started with the same path takes over.
    TakeOver,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whom {
    Predecessor,
    Successor,
    /// One that drains.
    Draining,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    BeforeReady,
    OnProbation,
}

/// Draws all that is left to chance of one kind.
type Draw = fn(&mut Rng) -> Operation;

impl Operation {
    /// How often each kind is drawn, of all weights together.
    const WEIGHTS: [(usize, Draw); 13] = [
        (22, |rng| Self::Restart { by: Way::draw(rng) }),
        (14, |rng| Self::BadBinary { fault: choose(rng, &Fault::ALL), by: choose(rng, &Way::ASKED) }),
        (12, Self::freeze),
        (8, |rng| {
            let when = choose(rng, &[Moment::BeforeReady, Moment::OnProbation]);
            Self::KillSuccessor { when, after: ms(rng, 0, 150) }
        }),
        (3, |rng| Self::KillPredecessor { after: ms(rng, 0, 80) }),
        (5, |rng| Self::KillDraining { after: ms(rng, 0, 400) }),
        (2, |rng| Self::KillServing { down: ms(rng, 0, 300) }),
        (7, |rng| Self::TwoAtOnce { ways: [Way::draw(rng), Way::draw(rng)], apart: ms(rng, 0, 30) }),
        (4, |rng| Self::AskDraining { by_signal: rng.bool() }),
        (7, |rng| Self::More { kind: choose(rng, &Kind::ALL), clients: rng.u32(1..=8) }),
        (6, |_| Self::Fewer),
        (10, |rng| {
            let (storm, count) = (choose(rng, &Storm::ALL), rng.u32(20..=300));
            Self::Storm { storm, count, time: ms(rng, 100, 1500) }
        }),
        (4, |rng| Self::Shortage { spare: rng.u64(0..=24), time: ms(rng, 200, 1500), restart: rng.bool() }),
    ];

    pub(super) fn draw(rng: &mut Rng) -> Self {
        let all = Self::WEIGHTS.iter().map(|(weight, _)| weight).sum();
        let mut at = rng.usize(0..all);
        for (weight, draw) in Self::WEIGHTS {
            if at < weight {
                return draw(rng);
            }
            at -= weight;
        }
        unreachable!("less than all weights")
    }

    fn freeze(rng: &mut Rng) -> Self {
        let whom = choose(rng, &[Whom::Predecessor, Whom::Successor, Whom::Draining]);
        // Every third is longer than the ready deadline.
        let time = if rng.u8(0..3) == 0 { ms(rng, 5_200, 7_000) } else { ms(rng, 1, 900) };
        Self::Freeze { whom, after: ms(rng, 0, 120), time }
    }

    pub(super) fn name(self) -> String {
        let text = format!("{self:?}");
        text.split([' ', '{']).next().unwrap_or_default().to_owned()
    }
}

impl Way {
    /// Those that the serving process itself carries out.
    const ASKED: [Self; 3] = [Self::Signal, Self::Method, Self::Control];

    fn draw(rng: &mut Rng) -> Self {
        choose(rng, &[Self::Signal, Self::Method, Self::Control, Self::TakeOver])
    }
}

fn choose<T: Copy>(rng: &mut Rng, from: &[T]) -> T {
    from[rng.usize(0..from.len())]
}

fn ms(rng: &mut Rng, from: u64, to: u64) -> Duration {
    Duration::from_millis(rng.u64(from..=to))
}

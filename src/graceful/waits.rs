//! What the loop waits for, where there may be nothing of the sort to wait for.

use std::{future::pending, os::fd::OwnedFd, sync::Arc};

use tokio::time::{Instant, sleep_until};

use super::{
    life::Ground,
    service::{Service, death},
    work::{Done, FinalState, Work},
};
use crate::{
    control::{Door, Visitor},
    estate::Taken,
    hooks::{Outcome, Running},
    phase::Event,
    process::{Predecessor, Successor},
};

pub(super) async fn signal(ground: &mut Option<Ground>) -> Event {
    match ground {
        Some(ground) => ground.signals.next().await,
        None => pending().await,
    }
}

pub(super) async fn predecessor(predecessor: &mut Option<Predecessor>) -> Option<Event> {
    match predecessor {
        Some(predecessor) => predecessor.next().await,
        None => pending().await,
    }
}

pub(super) async fn successor(successor: &mut Option<Successor>) -> Option<Event> {
    match successor {
        Some(successor) => successor.next().await,
        None => pending().await,
    }
}

pub(super) async fn work(work: &mut Option<Work>) -> Done {
    match work {
        Some(work) => work.next().await,
        None => pending().await,
    }
}

pub(super) async fn final_state(state: &mut Option<FinalState>) -> Taken {
    match state {
        Some(FinalState::Taking(taking, _)) => taking.next().await,
        Some(FinalState::Expecting(_)) | None => pending().await,
    }
}

pub(super) async fn aftermath(aftermath: &mut Option<Running>) -> Outcome {
    match aftermath {
        Some(hooks) => hooks.next().await,
        None => pending().await,
    }
}

pub(super) async fn dying(handle: Option<&Arc<OwnedFd>>) {
    match handle {
        Some(handle) => death(handle).await,
        None => pending().await,
    }
}

pub(super) async fn service(service: &mut Option<Service>) {
    match service {
        Some(service) => service.next().await,
        None => pending().await,
    }
}

pub(super) async fn door(door: &mut Option<Door>) -> Option<Visitor> {
    match door {
        Some(door) => door.next().await,
        None => pending().await,
    }
}

pub(super) async fn deadline(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => pending().await,
    }
}

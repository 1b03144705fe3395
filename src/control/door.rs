//! The server's side of the control path: who comes there, and what they want.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    net::{UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{Allowed, Visitor, denied::Denied};

/// How many may be unanswered at once: more wait in the listener's queue, and cost no descriptor there.
const PLACES: usize = 32;

/// The pause after an accept that failed. Without one a process that is out of descriptors spins, for the connection stays
/// in the queue.
const PAUSE: Duration = Duration::from_millis(250);

/// Admits visitors, each heard by a task of its own, so that one who stalls delays nobody.
#[derive(Debug)]
pub(crate) struct Door {
    /// `None` once it is shut.
    listener: Option<UnixListener>,
    allowed: Allowed,
    denied: Denied,
    places: Arc<Semaphore>,
    arriving: JoinSet<Option<Visitor>>,
    /// While accepting fails: when to try again.
    paused: Option<Instant>,
}

impl Door {
    pub(crate) fn new(listener: UnixListener, allowed: Allowed) -> Self {
        let (places, arriving) = (Arc::new(Semaphore::new(PLACES)), JoinSet::new());
        let denied = Denied::default();
        Self { listener: Some(listener), allowed, denied, places, arriving, paused: None }
    }

    /// Closes the listener, so that the next ones come to another generation. Those who have come already are still heard.
    pub(crate) fn shut(&mut self) {
        self.listener = None;
    }

    /// Whether it lets others in than those who have come already.
    pub(crate) fn is_open(&self) -> bool {
        self.listener.is_some()
    }

    /// The next one who is allowed to ask, and has said what is wanted. What goes wrong with a visitor is answered to that
    /// one, and logged. `None`: it is shut, and all who had come were heard, each of whom may take five seconds.
    ///
    /// # Cancel safety
    ///
    /// Nobody who has come is lost.
    pub(crate) async fn next(&mut self) -> Option<Visitor> {
        while self.is_open() || !self.arriving.is_empty() {
            tokio::select! {
                Some(heard) = self.arriving.join_next() => match heard {
                    Ok(Some(visitor)) => return Some(visitor),
                    Ok(None) => {}
                    Err(error) => crate::log::error!(%error, "hear a visitor of the control path"),
                },
                (stream, place) = accept(self.listener.as_ref(), &self.places, &mut self.paused) => {
                    self.arriving.spawn(Visitor::hear(stream, self.allowed.clone(), self.denied.clone(), place));
                }
            }
        }
        None
    }
}

/// Cancel safe: nothing is awaited once a connection has come.
async fn accept(
    listener: Option<&UnixListener>,
    places: &Arc<Semaphore>,
    paused: &mut Option<Instant>,
) -> (UnixStream, OwnedSemaphorePermit) {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    let place = places.clone().acquire_owned().await.expect("this semaphore is never closed");
    loop {
        if let Some(until) = *paused {
            sleep_until(until).await;
        }
        match listener.accept().await {
            Ok((stream, _)) => {
                if paused.take().is_some() {
                    crate::log::info!("the control path accepts again");
                }
                return (stream, place);
            }
            Err(error) => failed(&error, paused),
        }
    }
}

/// Logged once until it works again, or the log fills up with the same line.
fn failed(error: &io::Error, paused: &mut Option<Instant>) {
    if paused.replace(Instant::now() + PAUSE).is_none() {
        crate::log::warn!(%error, "cannot accept at the control path, trying again until it works");
    }
}

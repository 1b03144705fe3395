//! What all clients have in common.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use crate::{
    Outcome, Target,
    exchange::Answer,
    failure::Failure,
    meter::{Asked, Meter},
    tally::Parting,
    target::{Handshake, Stream},
    witness::{Opened, Witness},
};

/// What all clients have in common: where they go, when, and what they write in the book.
#[derive(Debug)]
pub(crate) struct Client {
    target: Target,
    handshake: Option<Handshake>,
    meter: Arc<Meter>,
    witness: Witness,
    stopped: watch::Receiver<()>,
    pace: Pace,
    /// How the last connection ended, as far as one knows; `None` before the first.
    parting: Option<Parting>,
    /// When its request is due, for a client that asks steadily.
    due: Option<Instant>,
}

/// A client's times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// How long a request may take.
    pub(crate) deadline: Duration,
    /// The pause between an answer and the next request.
    pub(crate) think: Duration,
    /// From one request to the next, for a client that asks steadily and does not think.
    pub(crate) every: Option<Duration>,
    /// How much later than the others' this client's first request is.
    pub(crate) late: Duration,
}

impl Client {
    /// After a failed connect: a closed port answers within microseconds, and a loop around it would take the
    /// processor from the very server that is starting.
    const BACK_OFF: Duration = Duration::from_millis(10);

    pub(crate) fn new(
        (target, handshake): (Target, Option<Handshake>),
        meter: Arc<Meter>,
        stopped: watch::Receiver<()>,
        pace: Pace,
        witness: Witness,
    ) -> Self {
        Self { target, handshake, meter, witness, stopped, pace, parting: None, due: None }
    }

    /// Whether nobody has asked to stop.
    pub(crate) fn goes_on(&self) -> bool {
        self.stopped.has_changed().is_ok()
    }

    /// Waits for its place among the clients that pause.
    pub(crate) async fn take_turn(&mut self) {
        self.pause(self.pace.late).await;
        self.due = self.pace.every.map(|_| Instant::now());
    }

    /// Waits until the next request is due, if this client asks steadily, and pauses else.
    pub(crate) async fn rest(&mut self) {
        let Some((due, every)) = self.due.zip(self.pace.every) else { return self.think().await };
        let due = due + every;
        self.due = Some(due);
        // Not at all where the answer came too late: what is overdue is asked at once, and has been slow from when it was due.
        self.pause(due.saturating_duration_since(Instant::now())).await;
    }

    /// Pauses between an answer and the next request, if this client does; a stop ends the pause.
    pub(crate) async fn think(&self) {
        self.pause(self.pace.think).await;
    }

    pub(crate) fn rests(&self) -> bool {
        self.due.is_some() || !self.pace.think.is_zero()
    }

    async fn pause(&self, time: Duration) {
        let mut stopped = self.stopped.clone();
        if !time.is_zero() {
            tokio::select! { () = sleep(time) => {} _ = stopped.changed() => {} }
        }
    }

    /// Starts the clock of a request. That of one that was due before has run since then.
    pub(crate) fn ask(&self) -> Asked {
        self.meter.ask(self.due.unwrap_or_else(Instant::now), self.pace.deadline)
    }

    /// A number for a request, by which its body differs from others.
    pub(crate) fn serial(&self) -> u64 {
        self.meter.serial()
    }

    /// Opens a connection that this client means to keep: each but the first is a reconnect.
    pub(crate) async fn connect(&mut self) -> Result<Stream, Failure> {
        let before = self.witness.had();
        let stream = self.dial().await?;
        // Untold, until the server tells.
        if let Some(parting) = self.parting.replace(Parting::Untold) {
            self.meter.reconnected(parting);
            self.witness.reconnected(parting, before);
        }
        Ok(stream)
    }

    /// Opens a connection for one request.
    pub(crate) async fn dial(&self) -> Result<Stream, Failure> {
        let opened = Opened { local: None, asked: Instant::now() };
        self.witness.asked(opened);
        let (stream, local) = self.target.connect(self.pace.deadline).await?;
        self.witness.opened(Opened { local, ..opened });
        match &self.handshake {
            Some(handshake) => handshake.shake(stream).await,
            None => Ok(stream),
        }
    }

    /// The server said that it ends the connection.
    pub(crate) fn told(&mut self) {
        self.parting = Some(Parting::Told);
    }

    pub(crate) fn answered(&self, asked: Asked, answer: &Answer) {
        self.meter.answered(asked, answer);
    }

    /// Counts a failure that says nothing about the connection.
    pub(crate) fn note(&self, failure: &Failure) {
        self.meter.failed(failure);
        self.witness.failed(failure);
    }

    pub(crate) async fn failed(&mut self, failure: &Failure) {
        self.note(failure);
        match failure.outcome {
            Outcome::UnansweredAfterClose => self.told(),
            Outcome::Refused | Outcome::ConnectError => sleep(Self::BACK_OFF).await,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Window;

    const MS: Duration = Duration::from_millis(1);

    fn steady(every: Duration) -> (Client, watch::Sender<()>) {
        let (stop, stopped) = watch::channel(());
        let pace = Pace { deadline: Duration::MAX, think: Duration::ZERO, every: Some(every), late: Duration::ZERO };
        let meter = Arc::new(Meter::new(Window::default()));
        (Client::new(("127.0.0.1:0".into(), None), meter, stopped, pace, Witness::default()), stop)
    }

    #[tokio::test(start_paused = true)]
    async fn a_steady_client_asks_when_it_is_due_however_long_an_answer_took() {
        let (mut client, _stop) = steady(10 * MS);
        client.take_turn().await;
        let began = Instant::now();
        for answer_took in [3, 10, 0] {
            sleep(answer_took * MS).await;
            client.rest().await;
        }
        assert_eq!(began.elapsed(), 30 * MS);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_asked_late_has_been_slow_since_it_was_due() {
        let (mut client, _stop) = steady(10 * MS);
        client.take_turn().await;
        let began = Instant::now();
        sleep(35 * MS).await; // the first answer
        for due in [10, 20, 30] {
            client.rest().await;
            assert_eq!((client.ask().at, began.elapsed()), (began + due * MS, 35 * MS));
        }
        client.rest().await;
        assert_eq!((client.ask().at, began.elapsed()), (began + 40 * MS, 40 * MS));
    }
}

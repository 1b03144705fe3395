use std::{collections::BTreeMap, fmt, os::fd::OwnedFd, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Exit, departure::Departure, inbox::Inbox};
use crate::{
    transfer::giving::Event,
    wire::{Message, Offer},
};

/// In one frame.
const PER_FRAME: usize = 32;
const BYTES_PER_FRAME: usize = 2 * 1024 * 1024;

/// A successor that has said nothing for so long about what it has to answer at once is offered nothing more.
const STALL: Duration = Duration::from_secs(5);

/// Carries connections out of this process. The roof says what it is given, and tells what it has heard.
pub(crate) struct Departures {
    inbox: Arc<Inbox>,
    /// By their ids. At most 64, for each holds a permit.
    undecided: BTreeMap<u64, Offered>,
    last_id: u64,
    last_number: u64,
    /// When one that has to be answered at once was last offered, or decided.
    moved: Option<Instant>,
    /// What was undecided has been given up, so a late answer is no lie.
    given_up: bool,
}

#[derive(Debug)]
struct Offered {
    batch: u64,
    departure: Departure,
}

/// A batch to be said.
#[derive(Debug)]
pub(crate) struct Departing {
    pub(crate) number: u64,
    pub(crate) message: Message,
    pub(crate) descriptors: Vec<Arc<OwnedFd>>,
}

impl Departures {
    /// Neither open nor closed.
    pub(crate) fn new() -> (Self, Exit) {
        let inbox = Arc::new(Inbox::default());
        let exit = Exit(Arc::clone(&inbox));
        let departures =
            Self { inbox, undecided: BTreeMap::new(), last_id: 0, last_number: 0, moved: None, given_up: false };
        (departures, exit)
    }

    /// Whether a successor was to take connections, at any time. What becomes of one before that concerns no connection.
    pub(crate) fn was_expected(&self) -> bool {
        self.inbox.was_expected()
    }

    /// A successor will take connections, but not yet: the exit is open, without room.
    pub(crate) fn expect(&mut self) {
        self.inbox.expect();
    }

    /// Whether somebody may wait for room.
    pub(crate) fn is_open(&self) -> bool {
        self.inbox.is_open()
    }

    /// FINAL END was said: from now on there is room.
    pub(crate) fn open(&mut self) {
        self.inbox.open();
    }

    /// Nothing more is offered, ever. What waits for its turn is back; what was offered stays undecided, for only the
    /// successor decides about it.
    pub(crate) fn close(&mut self, why: &str) {
        self.inbox.close(why);
    }

    /// The next batch: of what has come until now, in turn. Waits for ever once the exit is closed.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost: what comes meanwhile is in the next one.
    pub(crate) async fn next(&mut self) -> Departing {
        loop {
            let batch = self.inbox.take(PER_FRAME, BYTES_PER_FRAME);
            if !batch.is_empty() {
                return self.offer(batch);
            }
            self.inbox.came().await;
        }
    }

    fn offer(&mut self, batch: Vec<Departure>) -> Departing {
        self.last_number += 1;
        if batch.iter().any(Departure::is_answered_at_once) {
            self.moved = Some(Instant::now());
        }
        let number = self.last_number;
        let (mut offers, mut descriptors) = (Vec::new(), Vec::new());
        for mut departure in batch {
            self.last_id += 1;
            let (offer, descriptor): (Offer, _) = departure.offer(self.last_id);
            offers.push(offer);
            descriptors.push(descriptor);
            self.undecided.insert(self.last_id, Offered { batch: number, departure });
        }
        Departing { number, message: Message::Offer(offers), descriptors }
    }

    /// A batch of which not a byte has gone out, nor ever will, for want of something in this process: it is back.
    pub(crate) fn left_out(&mut self, number: u64) {
        let is_of_it = |offered: &Offered| offered.batch == number;
        let ids: Vec<_> = self.undecided.iter().filter(|(_, it)| is_of_it(it)).map(|(id, _)| *id).collect();
        for id in ids {
            self.tell(id, Event::LeftOut, "it could not be offered to the successor");
        }
    }

    /// TAKEN was heard.
    pub(crate) fn taken(&mut self, ids: &[u64]) {
        for id in ids {
            self.answered(*id, Event::Taken, "");
        }
    }

    /// DECLINED was heard.
    pub(crate) fn declined(&mut self, those: Vec<(u64, String)>) {
        for (id, why) in those {
            self.answered(id, Event::Declined, &format!("the successor declined it: {why}"));
        }
    }

    /// The channel has been read to its end: what is undecided is this process's again. Closed.
    pub(crate) fn channel_ended(&mut self) {
        self.settle_all(Event::ChannelEnded, "the successor has ended");
    }

    /// The successor said nonsense: nothing that it says later would be believed, so nothing that is undecided is ever
    /// decided here. Closed.
    pub(crate) fn garbled(&mut self) {
        self.settle_all(Event::Garbled, "the successor talks nonsense");
    }

    /// The same where the fault is this process's own: it can't say any more, and does not listen either.
    pub(crate) fn mute(&mut self) {
        self.settle_all(Event::Garbled, "nothing can be said to the successor any more");
    }

    /// The drain's deadline: this process's copies are closed, and the successor decides alone. Closed.
    pub(crate) fn deadline(&mut self) {
        self.settle_all(Event::Deadline, "the drain's deadline has come");
    }

    /// When the successor has said nothing for too long about what it has to answer at once. The roof then calls
    /// [`Departures::close`], which takes nothing back.
    pub(crate) fn stalls_at(&self) -> Option<Instant> {
        let waits = self.inbox.is_open() && self.undecided.values().any(|it| it.departure.is_answered_at_once());
        self.moved.filter(|_| waits).map(|moved| moved + STALL)
    }

    /// Nothing is undecided, and nothing waits for its turn. Until then the channel is kept open in both directions.
    pub(crate) fn is_empty(&self) -> bool {
        self.undecided.is_empty() && self.inbox.is_empty()
    }

    fn answered(&mut self, id: u64, event: Event, why: &str) {
        if let Some(offered) = self.undecided.get(&id) {
            if offered.departure.is_answered_at_once() {
                self.moved = Some(Instant::now());
            }
            self.tell(id, event, why);
        } else if self.given_up && id <= self.last_id {
            crate::log::debug!(id, "the successor has decided about a connection that was given up");
        } else {
            crate::log::warn!(
                id,
                "the successor decides about a connection that it was not offered, or again: ignored"
            );
        }
    }

    fn settle_all(&mut self, event: Event, why: &str) {
        self.inbox.close(why);
        self.given_up = true;
        for id in self.undecided.keys().copied().collect::<Vec<_>>() {
            self.tell(id, event, why);
        }
    }

    fn tell(&mut self, id: u64, event: Event, why: &str) {
        let Some(Offered { batch, departure }) = self.undecided.remove(&id) else { return };
        if let Some(departure) = departure.on(event, why) {
            self.undecided.insert(id, Offered { batch, departure });
        }
    }
}

/// The roof's loop has ended, and nothing will be heard any more: nobody waits for it in vain.
impl Drop for Departures {
    fn drop(&mut self) {
        self.deadline();
    }
}

impl fmt::Debug for Departures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Departures").field("undecided", &self.undecided).finish_non_exhaustive()
    }
}

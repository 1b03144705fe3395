use std::{
    collections::{BTreeMap, HashMap},
    fmt, mem,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use tokio::time::Instant;

use super::{Door, Entrances, Parcel, Place, entrances::Admission};
use crate::{
    name::Name,
    sys,
    transfer::{
        Taking,
        taking::{Action, Event},
    },
    wire::{MOST_UNDECIDED, Message, Offer},
};

/// Takes connections into this process. The roof says what it is given, and tells what it has heard.
pub(crate) struct Arrivals {
    entrances: Entrances,
    /// For how long those of a protocol for which nobody has asked are held.
    unclaimed: Duration,
    held: Vec<Arrived>,
    /// By the number of the batch of TAKEN.
    saying: BTreeMap<u64, Vec<Admitted>>,
    declined: Vec<(u64, String)>,
    /// When those for a protocol that nobody has asked for, or fetches, are declined. Counted from the first: those that
    /// come after it do not prolong it, or the predecessor would never get them back.
    deadlines: HashMap<Name, Option<Instant>>,
    last_number: u64,
    predecessor: Predecessor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Predecessor {
    Talks,
    Gone,
    HungUpOn,
}

struct Arrived {
    taking: Taking,
    /// Where it goes, or why nowhere.
    door: Result<Door, String>,
    offer: Offer,
    socket: OwnedFd,
}

/// One that has a place, while TAKEN is being said.
struct Admitted {
    taking: Taking,
    id: u64,
    parcel: Parcel,
    place: Place,
}

impl Arrivals {
    pub(crate) fn new(entrances: Entrances, unclaimed: Duration) -> Self {
        Self {
            entrances,
            unclaimed,
            held: Vec::new(),
            saying: BTreeMap::new(),
            declined: Vec::new(),
            deadlines: HashMap::new(),
            last_number: 0,
            predecessor: Predecessor::Talks,
        }
    }

    /// OFFER was heard. `None` in place of a descriptor: it is lost for want of room in this process. What is to be said
    /// of them is what [`Arrivals::say`] gives next.
    pub(crate) fn offered(&mut self, offers: Vec<(Offer, Option<OwnedFd>)>) {
        for (offer, socket) in offers {
            if self.is_undecided(offer.id) {
                // Nothing is said of it: a DECLINED would give the predecessor back what TAKEN has made ours.
                crate::log::warn!(id = offer.id, "a connection was offered again before it was decided about: ignored");
                continue;
            }
            let Some(socket) = socket.filter(|socket| !sys::is_scarce(socket)) else {
                self.refuse(offer.id, "no descriptors left".to_owned());
                continue;
            };
            let mut arrived = Arrived { taking: Taking::first(), door: Door::of(&offer.to), offer, socket };
            let event = match self.predecessor {
                Predecessor::Talks => None,
                Predecessor::Gone => Some(Event::PredecessorGone),
                Predecessor::HungUpOn => Some(Event::HungUp),
            };
            if let Some(event) = event {
                (arrived.taking, _) = arrived.taking.on(event);
            }
            if self.undecided() >= MOST_UNDECIDED {
                self.decline(arrived, format!("{MOST_UNDECIDED} connections are undecided already"));
            } else if !arrived.taking.is_settled() {
                self.held.push(arrived);
            }
        }
    }

    /// What is to be said now, each with a number by which the roof tells what became of it. Asked for after
    /// [`Arrivals::offered`], at [`Arrivals::next_deadline`], and when [`Arrivals::changed`] resolves.
    pub(crate) fn say(&mut self) -> Vec<(u64, Message)> {
        let admitted = self.decide();
        let declined = mem::take(&mut self.declined);
        let mut words = Vec::new();
        if !admitted.is_empty() {
            let ids = admitted.iter().map(|it| it.id).collect();
            words.push((self.number(), Message::Taken(ids)));
            self.saying.insert(self.last_number, admitted);
        }
        if !declined.is_empty() && self.predecessor == Predecessor::Talks {
            words.push((self.number(), Message::declined(declined)));
        }
        self.conclude();
        words
    }

    /// The kernel has the whole frame: from here on they are this process's own. To be told at once, before anything else.
    pub(crate) fn went_out(&mut self, number: u64) {
        self.settle(number, Event::WentOut);
    }

    /// It could not be said, for want of something in this process: they are not this process's, and are closed. The roof
    /// hangs up afterwards.
    pub(crate) fn unsaid(&mut self, number: u64) {
        self.settle(number, Event::Unsaid);
    }

    /// The predecessor is gone and has been read to its end. What was being said is as good as said, and what is held may
    /// still be taken.
    pub(crate) fn predecessor_gone(&mut self) {
        self.no_more(Predecessor::Gone, Event::PredecessorGone);
    }

    /// The channel to a predecessor that talks nonsense is closed: what has not gone out is not this process's.
    pub(crate) fn hung_up(&mut self) {
        self.no_more(Predecessor::HungUpOn, Event::HungUp);
    }

    /// When those for a protocol for which nobody has asked are declined: [`Arrivals::say`] does it.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let deadline = |arrived: &Arrived| match &arrived.door {
            Ok(Door::Protocol(name)) => self.deadlines.get(name).copied().flatten(),
            _ => None,
        };
        self.held.iter().filter_map(deadline).min()
    }

    /// Something has changed among the entrances: [`Arrivals::say`] has to look again.
    ///
    /// # Cancel safety
    ///
    /// No change is missed.
    pub(crate) async fn changed(&mut self) {
        self.entrances.changed().await;
    }

    /// Asks for a place for each that is held. Gives those for which TAKEN is to be said.
    fn decide(&mut self) -> Vec<Admitted> {
        let mut admitted = Vec::new();
        // What can't go back any more has nothing to wait for.
        let can_wait = self.predecessor == Predecessor::Talks;
        for mut arrived in mem::take(&mut self.held) {
            let admission = match &arrived.door {
                Ok(door) => match self.entrances.admit(door, &arrived.offer, arrived.socket.as_fd(), can_wait) {
                    held @ (Admission::Nobody | Admission::Full) => self.hold(door, held),
                    Admission::Place(place) => {
                        self.moves_on(door);
                        Admission::Place(place)
                    }
                    refusal @ Admission::No(_) => refusal,
                },
                Err(why) => Admission::No(why.clone()),
            };
            match admission {
                Admission::Nobody | Admission::Full => self.held.push(arrived),
                Admission::No(why) => self.decline(arrived, why),
                Admission::Place(place) => {
                    let (taking, action) = arrived.taking.on(Event::Admitted);
                    arrived.taking = taking;
                    let settled = arrived.admitted(place).act(action);
                    admitted.extend(settled);
                }
            }
        }
        admitted
    }

    /// Whether one that nobody takes is held: those of a protocol, for a time, because the application may not have come
    /// to ask for it, or to fetch those that it has.
    fn hold(&mut self, door: &Door, held: Admission) -> Admission {
        let name = match door {
            // It takes them one after the other, and a predecessor that waits too long drains the others itself.
            Door::Serve(_) if matches!(held, Admission::Full) => return held,
            Door::Serve(name) => return Admission::No(format!("nobody serves the socket `{name}`")),
            Door::Protocol(name) => name,
        };
        let now = Instant::now();
        let deadline = *self.deadlines.entry(name.clone()).or_insert_with(|| now.checked_add(self.unclaimed));
        if deadline.is_none_or(|deadline| deadline > now) {
            return held;
        }
        let did = if matches!(held, Admission::Full) { "fetched more of" } else { "asked for" };
        Admission::No(format!("nobody {did} the protocol `{name}` within {:?}", self.unclaimed))
    }

    /// Somebody fetches those of a protocol: who is held from now on is held anew.
    fn moves_on(&mut self, door: &Door) {
        if let Door::Protocol(name) = door {
            self.deadlines.remove(name);
        }
    }

    /// Closed first, and said then: whoever hears it is the only one who has it.
    fn decline(&mut self, arrived: Arrived, why: String) {
        let (_, action) = arrived.taking.on(Event::Declined);
        let id = arrived.offer.id;
        drop(arrived);
        if action == Action::Decline {
            self.refuse(id, why);
        }
    }

    /// What is not here, or not any more.
    fn refuse(&mut self, id: u64, why: String) {
        crate::log::debug!(id, why, "a connection was declined");
        self.declined.push((id, why));
    }

    fn settle(&mut self, number: u64, event: Event) {
        // DECLINED has a number too, under which there is nothing.
        for mut admitted in self.saying.remove(&number).unwrap_or_default() {
            let (taking, action) = admitted.taking.on(event);
            admitted.taking = taking;
            let unsettled = admitted.act(action);
            debug_assert!(unsettled.is_none(), "TAKEN was said, or was not");
        }
        self.conclude();
    }

    fn no_more(&mut self, predecessor: Predecessor, event: Event) {
        self.predecessor = predecessor;
        for number in self.saying.keys().copied().collect::<Vec<_>>() {
            self.settle(number, event);
        }
        self.held.retain_mut(|arrived| {
            (arrived.taking, _) = arrived.taking.on(event);
            !arrived.taking.is_settled()
        });
        let unsaid = self.say();
        debug_assert!(unsaid.is_empty(), "there is nobody to tell");
    }

    /// Where nobody comes any more, those who wait behind an entrance are to know it.
    fn conclude(&self) {
        if self.predecessor != Predecessor::Talks && self.undecided() == 0 {
            self.entrances.close("there is no predecessor any more");
        }
    }

    fn undecided(&self) -> usize {
        self.held.len() + self.saying.values().map(Vec::len).sum::<usize>()
    }

    /// Or decided, and not said yet.
    fn is_undecided(&self, id: u64) -> bool {
        let declined = self.declined.iter().any(|it| it.0 == id);
        declined || self.held.iter().any(|it| it.offer.id == id) || self.saying.values().flatten().any(|it| it.id == id)
    }

    fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }
}

/// The roof's loop has ended: nobody comes any more, and whoever waits behind an entrance is to know it.
impl Drop for Arrivals {
    fn drop(&mut self) {
        self.entrances.close("this generation has ended");
    }
}

impl Arrived {
    fn admitted(self, place: Place) -> Admitted {
        let Self { taking, offer: Offer { id, to, waited_milliseconds, read, state }, socket, .. } = self;
        let waited = Duration::from_millis(waited_milliseconds);
        Admitted { taking, id, parcel: Parcel { to, socket, read, state, waited }, place }
    }
}

impl Admitted {
    /// Itself, while nothing is settled.
    fn act(self, action: Action) -> Option<Self> {
        match action {
            Action::Begin => {
                (self.place)(self.parcel);
                None
            }
            // Its place is free again, and the socket closed, which no client sees: the predecessor has it too.
            Action::Close | Action::Decline => None,
            Action::SayTaken | Action::Nothing => Some(self),
        }
    }
}

impl fmt::Debug for Arrivals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held: Vec<_> = self.held.iter().map(|it| &it.offer).collect();
        let saying: Vec<_> = self.saying.values().flatten().map(|it| it.id).collect();
        f.debug_struct("Arrivals")
            .field("held", &held)
            .field("saying", &saying)
            .field("predecessor", &self.predecessor)
            .finish_non_exhaustive()
    }
}
